"""What the classifier cannot learn from is refused before anything is loaded, in full sentences."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from headgate.errors import BadInput
from headgate.model.classifier import TransformerClassifier
from headgate.model.estimator_input import labelled_texts, labels_of, texts_of

MULTI = "multi-label data is not supported: keep one label a row, or train one classifier a label"
NOT_TEXT = "leave rows of None, NaN and the like out or make them text"
TWO = ["a", "b"]


def told(X: Any, y: Any, sample_weight: Any = None) -> str:
    """What fit says of it; the base model does not exist, so that nothing is loaded first."""
    with pytest.raises(BadInput) as fault:
        TransformerClassifier("no-such-model").fit(X, y, sample_weight)
    assert isinstance(fault.value, ValueError)
    return str(fault.value)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("ab", "X: expected a sequence of texts, found one str; put its texts in a list"),
        ({"a": 1}, "X: expected a sequence of texts, found one dict; put its texts in a list"),
        (["a", 3], f"row 1: expected a text, found int 3; {NOT_TEXT}"),
        (["a", None, "b", float("nan")], f"row 1 (and 1 more): expected a text, found NoneType None; {NOT_TEXT}"),
        (pd.Series(["a", np.nan]), f"row 1: expected a text, found float nan; {NOT_TEXT}"),
        (pd.Series(["a", pd.NA], dtype="string"), f"row 1: expected a text, found NAType <NA>; {NOT_TEXT}"),
        ([b"a", "b"], f"row 0: expected a text, found bytes b'a'; {NOT_TEXT}"),
        ([["a"], ["b"]], f"row 0 (and 1 more): expected a text, found list ['a']; {NOT_TEXT}"),
        (
            ["a", "b\ud800"],
            "row 1: expected a text of valid Unicode, found the lone surrogate '\\ud800' at character 1; decode the file again",
        ),
        (np.array([["a"], ["b"]]), "X: expected one text a row (1-d), found ndarray of shape (2, 1); pass one column, such as X[:, 0]"),
        (np.array("a"), "X: expected one text a row (1-d), found ndarray of shape (); pass one column, such as X[:, 0]"),
        (
            sparse.eye(2).tocsr(),
            "X: expected one text a row (1-d), found a sparse matrix of shape (2, 2); pass one column, such as X[:, 0]",
        ),
        (pd.DataFrame({"a": TWO, "b": TWO}), "X: expected one column of texts, found a frame of 2: ['a', 'b']; pass one of them"),
    ],
)
def test_what_is_no_column_of_texts_is_refused(texts: Any, message: str) -> None:
    assert told(texts, ["x", "y"]) == message


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "TransformerClassifier requires y to be passed, but the target y is None; give one label a text"),
        ("ab", "y: expected a sequence of labels, found one str; put its labels in a list"),
        (["x"], "expected one label a text, found 2 texts and 1 labels"),
        (["x", "x"], "y: expected at least two labels to tell apart, found 1 class in 2 rows: ['x']"),
        ([["x"], ["y", "z"]], f"row 0: expected one label, found list of 1; {MULTI}"),
        (["x", {"y", "z"}], f"row 1: expected one label, found set of 2; {MULTI}"),
        (np.eye(2, dtype=int), f"y: expected one label a row (1-d), found shape (2, 2); {MULTI}"),
        (["x", None], "row 1: expected a label (text, whole number or bool), found None"),
        (["x", b"y"], "row 1: expected a label (text, whole number or bool), found b'y'"),
        ([0, float("nan")], "row 1: expected a label (text, whole number or bool), found nan; continuous targets are not labels"),
        ([0.5, 1.5], "row 0: expected a label (text, whole number or bool), found 0.5; continuous targets are not labels"),
        (["x", 1], "y: expected labels of one kind, found texts, numbers or bools mixed; make them all text"),
        ([True, 0], "y: expected labels of one kind, found texts, numbers or bools mixed; make them all text"),
        (
            ["x", "\udfff"],
            "row 1: expected a label of valid Unicode, found the lone surrogate '\\udfff' at character 0; decode the file again",
        ),
    ],
)
def test_what_is_not_one_label_a_text_is_refused(labels: Any, message: str) -> None:
    assert told(TWO, labels) == message


def test_no_rows_are_refused() -> None:
    assert told([], []) == "y: expected at least two labels to tell apart, found no class in 0 rows: []"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "sample_weight: expected one number for each of the 2 rows, found shape (1,)"),
        (3.0, "sample_weight: expected one number for each of the 2 rows, found shape ()"),
        ([[1], [1]], "sample_weight: expected one number for each of the 2 rows, found shape (2, 1)"),
        (["a", "b"], "sample_weight: expected one number a row, found ['a', 'b']"),
        ([1, -1], "sample_weight, row 1: expected a number of at least 0, found -1.0"),
        ([np.nan, np.inf], "sample_weight, row 0 (and 1 more): expected a number of at least 0, found nan"),
        ([0, 0], "sample_weight: expected at least one weight above zero, found zero in all 2 rows"),
        ([0, 1], "y: expected at least two labels to tell apart, found 1 class in 1 rows: ['y'] (1 rows of weight zero left out)"),
    ],
)
def test_weights_that_weigh_nothing_or_not_each_row_are_refused(weights: Any, message: str) -> None:
    assert told(TWO, ["x", "y"], weights) == message


def test_all_bad_parameters_are_told_at_once() -> None:
    with pytest.raises(BadInput) as fault:
        TransformerClassifier("no-such-model", epochs=0, max_length=1, learning_rate=-1.0, method="best", seed="1").fit(TWO, TWO)  # type: ignore[arg-type]
    assert str(fault.value) == (
        "method: expected to be 'auto', 'fine-tune' or 'linear-head', found 'best'; "
        "epochs: expected to be greater than or equal to 1, found 0; "
        "learning_rate: expected to be greater than 0, found -1.0; "
        "max_length: expected to be greater than or equal to 8, found 1; "
        "seed: expected to be a valid integer, found '1'"
    )


@pytest.mark.parametrize(
    "texts",
    [
        ("a", "b"),
        np.array(TWO),
        np.array(TWO, dtype=object),
        pd.Series(TWO, index=[7, 3]),
        pd.Series(TWO, dtype="string"),
        pd.Series(TWO, dtype="category"),
        pd.DataFrame({"text": TWO}),
        pd.DataFrame({0: TWO}),
        (text for text in TWO),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_column_of_texts_may_come_in_any_holder(texts: Any) -> None:
    found = texts_of(texts)
    assert found == TWO
    assert {type(text) for text in found} <= {str, np.str_}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array(["x", "y"]), ["x", "y"]),
        (pd.Series(["x", "y"], dtype="category"), ["x", "y"]),
        (np.array([1, 0], dtype=np.int8), [1, 0]),
        (np.array([1.0, 0.0]), [1, 0]),
        (np.array([True, False]), [True, False]),
        (pd.Series([1, 0], dtype="Int64"), [1, 0]),
    ],
)
def test_labels_become_pythons_own(labels: Any, expected: list[Any]) -> None:
    found = labels_of(labels)
    assert found == expected
    assert [type(label) for label in found] == [type(label) for label in expected]


def test_a_label_keeps_the_nul_at_its_end_that_numpys_strings_drop() -> None:
    assert labelled_texts(TWO, ["x\0", "x"]).classes.tolist() == ["x", "x\0"]
