"""What a person gives the classifier, checked before anything is loaded: texts, labels, weights, parameters."""

import reprlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.exceptions import DataConversionWarning

from headgate.errors import BadInput
from headgate.settings import Train

Label = str | int | bool


class Unfit(BadInput, ValueError):
    """Input that the estimator refuses: BadInput for Headgate, ValueError for scikit-learn and whoever builds on it."""


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """What fit learns from: texts, the sorted classes, each text's number among them, and weights that differ (None: all alike)."""

    texts: list[str]
    classes: NDArray[Any]
    targets: NDArray[np.intp]
    weights: NDArray[np.float64] | None


def labelled_texts(X: Any, y: Any, sample_weight: Any = None) -> LabelledTexts:
    """Texts X with labels y, rows of weight zero left out; Unfit says what cannot be learnt from."""
    texts, labels = texts_of(X), labels_of(y)
    if len(texts) != len(labels):
        raise Unfit(f"expected one label a text, found {len(texts)} texts and {len(labels)} labels")
    weights = weights_of(sample_weight, len(texts))
    kept = np.flatnonzero(weights).tolist()
    labels = [labels[row] for row in kept]
    _check_two_labels(labels, left_out=len(texts) - len(kept))
    classes = classes_of(labels)
    number = {label: i for i, label in enumerate(classes.tolist())}
    targets = np.array([number[label] for label in labels], dtype=np.intp)
    return LabelledTexts([texts[row] for row in kept], classes, targets, None if np.ptp(weights[kept]) == 0 else weights[kept])


def texts_of(X: Any) -> list[str]:
    """The texts of a list, Series, 1-d array or one-column frame; Unfit names the first row (from 0) that is no text."""
    column = _column(X)
    if isinstance(column, (str, bytes, Mapping, set)):
        raise Unfit(f"X: expected a sequence of texts, found one {type(X).__name__}; put its texts in a list")
    texts = list(column)
    faults = [row for row, text in enumerate(texts) if not isinstance(text, str)]
    if faults:
        found = f"{type(texts[faults[0]]).__name__} {reprlib.repr(texts[faults[0]])}"
        raise Unfit(f"{_rows(faults)}: expected a text, found {found}; leave rows of None, NaN and the like out or make them text")
    _check_unicode(texts, "text")
    return texts


def labels_of(y: Any) -> list[Label]:
    """The labels as plain str, int or bool, all of one kind; Unfit otherwise, and for more than one label a row."""
    if y is None:
        raise Unfit("TransformerClassifier requires y to be passed, but the target y is None; give one label a text")
    if isinstance(y, (str, bytes, Mapping, set)):
        raise Unfit(f"y: expected a sequence of labels, found one {type(y).__name__}; put its labels in a list")
    labels = [_label(row, label) for row, label in enumerate(_target_column(y))]
    if len({type(label) for label in labels}) > 1:
        raise Unfit("y: expected labels of one kind, found texts, numbers or bools mixed; make them all text")
    if labels and isinstance(labels[0], str):
        _check_unicode([str(label) for label in labels], "label")
    return labels


def weights_of(sample_weight: Any, rows: int) -> NDArray[np.float64]:
    """One weight a row, finite and not negative; all ones for None."""
    if sample_weight is None:
        return np.ones(rows)
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError):
        raise Unfit(f"sample_weight: expected one number a row, found {reprlib.repr(sample_weight)}") from None
    if weights.shape != (rows,):
        raise Unfit(f"sample_weight: expected one number for each of the {rows} rows, found shape {weights.shape}")
    faults = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0))).tolist()
    if faults:
        raise Unfit(f"sample_weight, {_rows(faults)}: expected a number of at least 0, found {weights[faults[0]]}")
    if rows and not weights.any():
        raise Unfit(f"sample_weight: expected at least one weight above zero, found zero in all {rows} rows")
    return weights


def groups_of(groups: Any, rows: int, sample_weight: Any = None) -> NDArray[np.int64]:
    """A number for the group of each row that has a weight; Unfit unless there is one group a row."""
    if len(groups) != rows:
        raise Unfit(f"groups: expected one for each of the {rows} rows, found {len(groups)}")
    numbers: NDArray[np.int64] = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1].astype(np.int64)
    return numbers[np.flatnonzero(weights_of(sample_weight, rows))]


def classes_of(labels: Sequence[Label]) -> NDArray[Any]:
    """The sorted labels; texts as objects, since NumPy's own strings drop NUL characters at their end."""
    names = sorted(set(labels))
    return np.array(names, dtype=object if names and isinstance(names[0], str) else None)


def parameters_of(given: Mapping[str, Any]) -> Train:
    """The parameters within the bounds that the settings name; Unfit lists every fault at once."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
    try:
        return Train.model_validate(plain, strict=True)
    except ValidationError as fault:
        faults = [f"{e['loc'][0]}: {e['msg'].replace('Input should be', 'expected to be')}, found {e['input']!r}" for e in fault.errors()]
        raise Unfit("; ".join(faults)) from None


def _check_two_labels(labels: Sequence[Label], left_out: int) -> None:
    if len(found := sorted(set(labels))) < 2:
        zero = f" ({left_out} rows of weight zero left out)" if left_out else ""
        classes = "1 class" if found else "no class"
        raise Unfit(f"y: expected at least two labels to tell apart, found {classes} in {len(labels)} rows: {found}{zero}")


def _column(X: Any) -> Any:
    columns = getattr(X, "columns", None)
    if columns is not None and getattr(X, "ndim", 2) == 2:
        if len(columns) == 1:
            return X[columns[0]]
        raise Unfit(f"X: expected one column of texts, found a frame of {len(columns)}: {reprlib.repr(list(columns))}; pass one of them")
    if len(shape := _shape(X)) != 1:
        found = f"{'a sparse matrix' if hasattr(X, 'toarray') else type(X).__name__} of shape {shape}"
        raise Unfit(f"X: expected one text a row (1-d), found {found}; pass one column, such as X[:, 0]")
    return _objects(X)


def _target_column(y: Any) -> Any:
    shape = _shape(y)
    if len(shape) == 2 and shape[1] == 1:
        warnings.warn("A column-vector y was passed when a 1d array was expected; it is read as one label a row", DataConversionWarning, 5)
        return _objects(y)[:, 0]
    if len(shape) != 1:
        raise Unfit(f"y: expected one label a row (1-d), found shape {shape}; {_MULTI_LABEL}")
    return _objects(y)


def _shape(given: Any) -> tuple[int, ...]:
    """The shape that it says it has; a list, and what lies in it, is one dimension."""
    if hasattr(given, "shape"):
        return tuple(given.shape)
    return np.shape(np.asarray(given)) if hasattr(given, "__array__") else (-1,)


def _objects(given: Any) -> Any:
    """What can be an array as one of Python's own objects; a list is left as it is, so that lists in it stay lists."""
    return np.asarray(given, dtype=object) if hasattr(given, "__array__") else given


_MULTI_LABEL = "multi-label data is not supported: keep one label a row, or train one classifier a label"


def _label(row: int, label: Any) -> Label:
    if isinstance(label, (list, tuple, set, frozenset, dict, np.ndarray)):
        raise Unfit(f"row {row}: expected one label, found {type(label).__name__} of {len(label)}; {_MULTI_LABEL}")
    if isinstance(label, (float, np.floating)) and label.is_integer():
        return int(label)
    for kind, made_of in _KINDS.items():
        if isinstance(label, made_of):
            return kind(label)
    tail = "; continuous targets are not labels" if isinstance(label, (float, np.floating)) else ""
    raise Unfit(f"row {row}: expected a label (text, whole number or bool), found {label!r}{tail}")


_KINDS: dict[Callable[[Any], Label], tuple[type, ...]] = {str: (str,), bool: (bool, np.bool_), int: (int, np.integer)}


def _check_unicode(texts: Sequence[str], what: str) -> None:
    for row, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as fault:
            found = f"{text[fault.start]!r} at character {fault.start}"
            raise Unfit(f"row {row}: expected a {what} of valid Unicode, found the lone surrogate {found}; decode the file again") from None


def _rows(faults: Sequence[int]) -> str:
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"row {faults[0]}{more}"
