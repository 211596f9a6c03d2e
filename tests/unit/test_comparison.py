"""The paired comparison is exact where it can be, seeded, and covers the truth."""

import time

import numpy as np
import pytest

from headgate.errors import BadInput
from headgate.evaluation.comparison import compare, parts_of
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


def test_slices_are_compared_as_labels_are_on_the_rows_that_both_models_labelled() -> None:
    truth, candidate, champion = ["a"] * 6, ["a", "a", "a", "b", "b", None], ["a", "b", "a", "a", "a", "a"]
    paired = compare(truth, candidate, champion, columns={"source": ["x", "x", "x", "y", "y", "y"], "one": ["z"] * 6})
    assert paired is not None
    found = [(one.column, one.value, one.rows, one.harmful, one.accuracy.difference) for one in paired.slices]
    assert found == [
        ("source", "x", 3, 0, pytest.approx(1 / 3)),
        ("source", "y", 2, 2, -1.0),
        ("one", "z", 5, 2, pytest.approx(-0.2)),
    ]


def test_p_values_of_drops_are_corrected_over_all_labels() -> None:
    truth = [label for label in "abcdefgh" for _ in range(50)]
    candidate = ["x"] * 9 + truth[9:]
    paired = compare(truth, candidate, truth)
    alone = compare(truth[:50], candidate[:50], truth[:50])
    assert paired is not None
    assert alone is not None
    drops = {one.label: one.p_drop for one in paired.labels}
    assert drops["a"] is not None
    assert 0 < drops["a"] < 0.001
    assert {drops[name] for name in "bcdefgh"} == {1.0}
    assert paired.labels[0].p_value == alone.labels[0].p_value == pytest.approx(2 * 0.5**9), "McNemar's is not corrected"


def test_the_counts_behind_labels_are_found_again_from_the_record() -> None:
    truth, candidate, champion = answers(np.random.default_rng(0), 500, (0.8, 0.7))
    paired = compare(truth, candidate, champion)
    assert paired is not None
    parts = parts_of(paired.labels)
    assert (parts.harmful.sum(), parts.beneficial.sum(), parts.rows.sum()) == (paired.harmful, paired.beneficial, 500)


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(BadInput, match=r"^expected one entry a row in every column, found lengths \[2, 1, 2\]$"):
        compare(["a", "a"], ["a"], ["a", "b"])


def test_a_hundred_thousand_rows_and_150_labels_are_compared() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 150, 100_000)
    said = [np.where(rng.random(100_000) < 0.9, truth, rng.integers(0, 150, 100_000)) for _ in range(2)]
    names = np.array([f"label-{i:03}" for i in range(150)])
    columns = {"length": rng.integers(0, 4, 100_000).astype(str).tolist()}
    started = time.process_time()
    labels, candidate, champion = (names[column].tolist() for column in (truth, *said))
    paired = compare(labels, candidate, champion, columns=columns)
    assert time.process_time() - started < 20
    assert paired is not None
    assert paired.rows == 100_000
    assert (len(paired.labels), len(paired.slices)) == (150, 4)
