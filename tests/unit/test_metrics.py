"""Metrics agree with scikit-learn and count skipped and abstained rows as designed."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from headgate.errors import BadInput
from headgate.evaluation.metrics import measure, measure_level, top_level

NAMES = ("objection/budget", "objection/timing", "other", "positive")


def noisy(rows: int = 400) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(3)
    truth = rng.choice(NAMES, rows).tolist()
    return truth, [t if rng.random() < 0.7 else str(rng.choice(NAMES)) for t in truth]


def test_metrics_agree_with_scikit_learn() -> None:
    truth, predicted = noisy()
    level = measure_level(truth, predicted)
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=list(NAMES))
    assert level.accuracy == pytest.approx(accuracy_score(truth, predicted))
    assert level.macro_f1 == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert level.label_names == NAMES
    assert [one.precision for one in level.labels] == pytest.approx(precision)
    assert [one.recall for one in level.labels] == pytest.approx(recall)
    assert [one.f1 for one in level.labels] == pytest.approx(f1)
    assert [one.support for one in level.labels] == support.tolist()
    assert np.array(level.confusion).tolist() == confusion_matrix(truth, predicted, labels=list(NAMES)).tolist()


def test_a_skipped_row_counts_as_coverage_only_and_an_abstained_one_keeps_its_label() -> None:
    metrics = measure(["a", "b", "b", "a"], ["a", "b", "a", None], ["scored", "scored", "abstained", "skipped"])
    assert (metrics.rows, metrics.scored, metrics.abstained, metrics.skipped) == (4, 2, 1, 1)
    assert metrics.coverage == 0.5
    assert metrics.accuracy == pytest.approx(2 / 3)


def test_hierarchical_labels_are_measured_at_both_levels() -> None:
    truth, predicted = noisy()
    metrics = measure(truth, predicted, ["scored"] * len(truth))
    assert metrics.top is not None
    assert metrics.top.label_names == ("objection", "other", "positive")
    assert metrics.top == measure_level(top_level(truth), top_level(predicted))
    assert metrics.top.accuracy > metrics.accuracy


def test_flat_labels_have_no_top_level() -> None:
    assert measure(["a"], ["a"], ["scored"]).top is None


def test_macro_f1_is_over_labels_that_have_rows() -> None:
    level = measure_level(["a", "a", "b", "b"], ["a", "a", "b", "never seen"])
    assert [one.label for one in level.labels] == ["a", "b", "never seen"]
    assert level.macro_f1 == pytest.approx((1 + 2 / 3) / 2)


def test_calibration_compares_scores_with_what_was_right() -> None:
    metrics = measure(["a"] * 4, ["a", "b", "a", "a"], ["scored"] * 4, [0.55, 0.55, 0.95, 1.0])
    assert [(one.low, one.rows, one.accuracy) for one in metrics.calibration] == [(0.5, 2, 0.5), (0.9, 2, 1.0)]
    assert metrics.calibration[1].score == pytest.approx(0.975)


def test_no_rows_make_empty_metrics() -> None:
    metrics = measure([], [], [])
    assert (metrics.rows, metrics.accuracy, metrics.macro_f1, metrics.coverage, metrics.labels) == (0, 0.0, 0.0, 0.0, ())


def test_a_scored_row_without_a_label_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^row 1: expected a label, found none; only a skipped row may lack one$"):
        measure(["a", "a"], ["a", None], ["scored", "scored"])


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(BadInput, match=r"found lengths \[2, 1, 2\]$"):
        measure(["a", "a"], ["a"], ["scored", "scored"])
