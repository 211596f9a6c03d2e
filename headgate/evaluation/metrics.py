"""Quality of one model, from labels alone. Pure: no files, clock or network."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headgate.errors import BadInput
from headgate.evaluation.report import LabelMetrics, Level, Metrics, ScoreBin

Counts = NDArray[np.int64]


def measure(
    truth: Sequence[str], predicted: Sequence[str | None], outcomes: Sequence[str], scores: Sequence[float | None] | None = None
) -> Metrics:
    """Metrics of one model; `predicted` is None where the outcome is "skipped". All arguments have one entry a row."""
    _check_lengths(truth, predicted, outcomes, scores)
    said = pd.Series(list(outcomes), dtype=object)
    kept = np.flatnonzero(said.ne("skipped").to_numpy())
    right = np.array(list(truth), dtype=object)[kept].tolist()
    called = _labels(predicted, kept)
    scored = int(said.eq("scored").sum())
    return Metrics(
        **dict(measure_level(right, called)),
        rows=len(truth),
        scored=scored,
        abstained=len(kept) - scored,
        skipped=len(truth) - len(kept),
        coverage=scored / len(truth) if len(truth) else 0.0,
        top=measure_level(top_level(right), top_level(called)) if _hierarchical(right) else None,
        calibration=calibrate(right, called, np.array(list(scores), dtype=object)[kept].tolist()) if scores is not None else (),
    )


def measure_level(truth: Sequence[str], predicted: Sequence[str]) -> Level:
    """Accuracy, macro-F1, label metrics and confusion of rows that all have a label."""
    names = tuple(sorted({*truth, *predicted}))
    confusion = confusion_matrix(truth, predicted, names)
    labels = tuple(_label_metrics(name, confusion, i) for i, name in enumerate(names))
    supported = [label.f1 for label in labels if label.support]
    return Level(
        accuracy=_ratio(int(np.trace(confusion)), len(truth)),
        macro_f1=float(np.mean(supported)) if supported else 0.0,
        labels=labels,
        label_names=names,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def confusion_matrix(truth: Sequence[str], predicted: Sequence[str], names: Sequence[str]) -> Counts:
    """Counts by true label (rows) and predicted label (columns), in the order of `names`."""
    index = pd.Index(list(names), dtype=object)
    true, called = (index.get_indexer(pd.Index(list(column), dtype=object)) for column in (truth, predicted))
    flat = np.bincount(true * len(names) + called, minlength=len(names) ** 2)
    return flat.reshape(len(names), len(names)).astype(np.int64)


def top_level(labels: Sequence[str]) -> list[str]:
    """The part of each label before its first slash."""
    tops = {label: label.split("/", 1)[0] for label in set(labels)}
    return [tops[label] for label in labels]


def calibrate(truth: Sequence[str], predicted: Sequence[str], scores: Sequence[float | None], bins: int = 10) -> tuple[ScoreBin, ...]:
    """Mean score and share right for each filled tenth of the scores; rows without a score are left out."""
    given = pd.to_numeric(pd.Series(list(scores), dtype=object)).to_numpy(dtype=float)
    hits = np.array([t == p for t, p in zip(truth, predicted, strict=True)], dtype=float)
    values, right = given[~np.isnan(given)], hits[~np.isnan(given)]
    place = np.clip((values * bins).astype(int), 0, bins - 1)
    filled = [(b, place == b) for b in range(bins) if (place == b).any()]
    return tuple(
        ScoreBin(low=b / bins, rows=int(mask.sum()), score=float(values[mask].mean()), accuracy=float(right[mask].mean()))
        for b, mask in filled
    )


def _label_metrics(name: str, confusion: Counts, i: int) -> LabelMetrics:
    hits, support, called = int(confusion[i, i]), int(confusion[i].sum()), int(confusion[:, i].sum())
    return LabelMetrics(
        label=name,
        support=support,
        true_positives=hits,
        false_positives=called - hits,
        false_negatives=support - hits,
        precision=_ratio(hits, called),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, support + called),
    )


def _hierarchical(labels: Sequence[str]) -> bool:
    return any("/" in label for label in set(labels))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _labels(predicted: Sequence[str | None], kept: "NDArray[np.intp]") -> list[str]:
    """The labels of the kept rows; BadInput names the first row without one."""
    called: list[str] = np.array([*predicted, None], dtype=object)[kept].tolist()
    for row, label in zip(kept.tolist(), called, strict=True):
        if not isinstance(label, str):
            raise BadInput(f"row {row}: expected a label, found none; only a skipped row may lack one")
    return called


def _check_lengths(truth: Sequence[str], *others: Sequence[object] | None) -> None:
    lengths = [len(truth), *(len(other) for other in others if other is not None)]
    if len(set(lengths)) != 1:
        raise BadInput(f"expected one entry a row in truth, predicted, outcomes and scores, found lengths {lengths}")
