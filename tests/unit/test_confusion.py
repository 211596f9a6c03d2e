"""Which labels a confusion matrix shows, and what its cells say."""

import numpy as np
import pytest

from headgate.evaluation.confusion import PART, WRITTEN_UP_TO, Confusion, confusion, most_confused, shortened
from headgate.evaluation.metrics import measure
from headgate.evaluation.report import Metrics


def metrics(labels: int, rows: int = 20, wrong: float = 0.2) -> Metrics:
    rng = np.random.default_rng(0)
    names = [f"label-{i:03}" for i in range(labels)]
    truth = names * rows
    predicted = [t if rng.random() > wrong else str(rng.choice(names)) for t in truth]
    return measure(truth, predicted, ["scored"] * len(truth))


def test_few_labels_are_all_shown_with_counts_and_shares() -> None:
    found = measure(["a", "a", "a", "b"], ["a", "a", "b", "b"], ["scored"] * 4)
    (matrix,) = confusion([("Candidate", found)]).matrices
    assert matrix.title == "Candidate: accuracy 75.0%, macro-F1 73.3%"
    assert matrix.names == ("a", "b")
    assert {(cell.x, cell.y, cell.count, cell.right, cell.says) for cell in matrix.cells} == {
        (0.0, 0.0, 2, True, "a called a: 2 rows, 66.7% of the label"),
        (46.0, 0.0, 1, False, "a called b: 1 rows, 33.3% of the label"),
        (46.0, 46.0, 1, True, "b called b: 1 rows, 100.0% of the label"),
    }
    assert matrix.empty == ((0.0, 46.0),)


@pytest.mark.parametrize("labels", [2, 9, WRITTEN_UP_TO, 77, 150])
def test_every_row_of_the_set_is_in_the_picture(labels: int) -> None:
    found = metrics(labels)
    shown = confusion([("Candidate", found), ("Champion", found)])
    assert len(shown.matrices) == 2
    lines = len(shown.matrices[0].names)
    assert lines == (labels if labels <= WRITTEN_UP_TO else PART + 1)
    assert [one.labels for one in shown.maps] == ([] if labels <= WRITTEN_UP_TO else [labels, labels])
    if labels > WRITTEN_UP_TO:
        assert shown.hidden == labels - PART
        assert shown.matrices[0].names[-1] == f"{labels - PART} other labels"
        dots = sum(path.count("M") for one in shown.maps[:1] for _, _, path in one.paths)
        assert dots == np.count_nonzero(np.array(found.confusion))
    for i, one in enumerate(shown.matrices[0].labels):
        row = [cell.count for cell in shown.matrices[0].cells if cell.y == 46 * i]
        assert sum(row) == one.support, "what is not shown by name is among the others"
        column = [cell.count for cell in shown.matrices[0].cells if cell.x == 46 * i]
        assert sum(column) == one.true_positives + one.false_positives


def test_the_most_frequent_mistakes_decide_which_labels_are_shown() -> None:
    truth = [f"l{i:02}" for i in range(30)] * 4
    predicted = list(truth)
    predicted[3], predicted[33], predicted[63], predicted[7] = "l20", "l20", "l20", "l08"
    found = measure(truth, predicted, ["scored"] * len(truth))
    assert most_confused([found], 2) == ("l03", "l20")
    assert most_confused([found], 3) == ("l03", "l20")
    assert most_confused([found], 4) == ("l03", "l07", "l08", "l20")


def test_many_labels_without_a_mistake_are_a_map_only() -> None:
    shown = confusion([("Candidate", metrics(40, wrong=0.0))])
    assert shown.matrices == ()
    assert [path[0] for path in shown.maps[0].paths] == ["right"]


def test_groups_of_a_first_level_are_set_apart() -> None:
    names = ["objection/a", "objection/b", "other", "positive"]
    (matrix,) = confusion([("Candidate", measure(names, names, ["scored"] * 4))]).matrices
    assert matrix.rules == (92.0,)


def test_nothing_to_show_is_nothing() -> None:
    assert confusion([]) == Confusion()


def test_long_and_strange_names_fit() -> None:
    assert shortened("positive") == "positive"
    assert shortened("a\nb\u202e") == "a\\nb\\u202e"
    assert shortened("x" * 40) == "x" * 27 + "\N{HORIZONTAL ELLIPSIS}"
