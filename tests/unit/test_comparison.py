"""The paired comparison is exact where it can be, seeded, and covers the truth."""

import numpy as np
import pytest

from headgate.evaluation.comparison import compare, mcnemar, paired_change
from headgate.evaluation.metrics import measure_level

LABELS = ["a", "b", "c"]


def answers(rng: np.random.Generator, rows: int, accuracies: tuple[float, float]) -> tuple[list[str], list[str], list[str]]:
    truth = rng.integers(0, 3, rows)
    columns = [np.where(rng.random(rows) < accuracy, truth, (truth + 1) % 3) for accuracy in accuracies]
    return tuple([LABELS[i] for i in column] for column in (truth, *columns))  # type: ignore[return-value]


def test_point_estimates_are_those_of_the_metrics() -> None:
    truth, candidate, champion = answers(np.random.default_rng(0), 500, (0.8, 0.7))
    paired = compare(truth, candidate, champion)
    assert paired is not None
    new, old = measure_level(truth, candidate), measure_level(truth, champion)
    assert paired.accuracy.candidate == pytest.approx(new.accuracy)
    assert paired.macro_f1.candidate == pytest.approx(new.macro_f1)
    assert paired.macro_f1.difference == pytest.approx(new.macro_f1 - old.macro_f1)
    assert [one.recall.candidate for one in paired.labels] == pytest.approx([one.recall for one in new.labels])
    assert (paired.beneficial - paired.harmful) / paired.rows == pytest.approx(paired.accuracy.difference)


def test_the_same_seed_gives_the_same_interval() -> None:
    columns = answers(np.random.default_rng(0), 200, (0.8, 0.8))
    assert compare(*columns, seed=1) == compare(*columns, seed=1)
    assert compare(*columns, seed=1) != compare(*columns, seed=2)


def test_the_bootstrap_agrees_with_resampling_row_by_row() -> None:
    truth, candidate, champion = answers(np.random.default_rng(0), 200, (0.8, 0.75))
    paired = compare(truth, candidate, champion)
    assert paired is not None
    rng, differences = np.random.default_rng(1), []
    for _ in range(1000):
        rows = rng.integers(0, 200, 200)
        t, a, b = ([column[i] for i in rows] for column in (truth, candidate, champion))
        differences.append(measure_level(t, a).macro_f1 - measure_level(t, b).macro_f1)
    assert [paired.macro_f1.low, paired.macro_f1.high] == pytest.approx(np.quantile(differences, [0.05, 0.95]), abs=0.01)


def test_nine_of_ten_intervals_hold_the_true_difference() -> None:
    rng, held = np.random.default_rng(5), 0
    for _ in range(200):
        paired = compare(*answers(rng, 200, (0.80, 0.75)))
        assert paired is not None
        held += paired.accuracy.low <= 0.05 <= paired.accuracy.high
    assert 0.84 <= held / 200 <= 0.96


def test_rows_that_either_model_skipped_are_left_out() -> None:
    paired = compare(["a", "b", "a"], ["a", None, "a"], ["b", "b", None])
    assert paired is not None
    assert (paired.rows, paired.harmful, paired.beneficial) == (1, 0, 1)
    assert compare(["a"], [None], ["a"]) is None


def test_mcnemar_is_exact() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == pytest.approx(2 * 0.5**5)
    assert mcnemar(8, 2) == pytest.approx(0.109375)


def test_the_label_interval_stays_wide_for_a_handful_of_rows() -> None:
    change = paired_change(hits=0, champion_hits=2, harmful=2, beneficial=0, rows=2)
    assert change.difference == -1.0
    assert change.high > -0.15
    same = paired_change(hits=2, champion_hits=2, harmful=0, beneficial=0, rows=2)
    assert same.low < -0.2 < 0.2 < same.high


def test_a_hundred_thousand_rows_and_150_labels_are_compared() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 150, 100_000)
    columns = [np.where(rng.random(100_000) < 0.9, truth, rng.integers(0, 150, 100_000)) for _ in range(2)]
    names = np.array([f"label-{i:03}" for i in range(150)])
    paired = compare(*(names[column].tolist() for column in (truth, *columns)))
    assert paired is not None
    assert paired.rows == 100_000
    assert len(paired.labels) == 150
