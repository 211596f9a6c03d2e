"""Candidate against champion on the same rows. Pure and seeded.

The bootstrap resamples rows. Rows with the same true label and the same two answers are alike, so a resample is one multinomial
draw over the distinct triples: the same distribution, at a cost that follows the triples and not the rows.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from headgate.errors import BadInput
from headgate.evaluation.drops import (
    CONFIDENCE,
    Floats,
    Ints,
    Parts,
    count_parts,
    holm,
    mcnemar,
    p_values_of_difference,
    p_values_of_drops,
    paired_changes,
    usual_change,
)
from headgate.evaluation.report import Change, Comparison, LabelChange, SliceChange

RESAMPLES = 2000
_CELLS_AT_ONCE = 4_000_000


def compare(
    truth: Sequence[str],
    candidate: Sequence[str | None],
    champion: Sequence[str | None],
    seed: int = 0,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Comparison | None:
    """Paired comparison over the rows that both models labelled; None if there is no such row.

    All sequences have one entry a row. `columns` are slices by name: one value a row, as text. What the numbers mean for a
    release, and which drop could have been seen, `headgate.evaluation.gates.judged` adds.
    """
    names, codes, kept = _codes(truth, candidate, champion)
    if not len(codes):
        return None
    right, was_right = codes[:, 1] == codes[:, 0], codes[:, 2] == codes[:, 0]
    whole = count_parts(np.zeros(len(codes), dtype=np.int64), right, was_right, 1)
    harmful, beneficial = int(whole.harmful[0]), int(whole.beneficial[0])
    accuracy, macro_f1 = _bootstrap(*_triples(codes, len(names)), len(names), np.random.default_rng(seed))
    return Comparison(
        rows=len(codes),
        harmful=harmful,
        beneficial=beneficial,
        p_value=mcnemar(harmful, beneficial),
        accuracy=accuracy,
        macro_f1=macro_f1,
        labels=_label_changes(names, count_parts(codes[:, 0], right, was_right, len(names))),
        slices=_slice_changes({name: np.asarray(values, dtype=object)[kept] for name, values in (columns or {}).items()}, right, was_right),
    )


def parts_of(rows: Sequence[LabelChange] | Sequence[SliceChange]) -> Parts:
    """The counts behind labels or slices, from what the records say of them."""
    shares = [one.recall if isinstance(one, LabelChange) else one.accuracy for one in rows]
    counts = np.array([one.rows for one in rows], dtype=np.int64)
    hits, champion_hits = (
        np.rint(counts * np.array([getattr(share, name) for share in shares])).astype(np.int64) for name in ("candidate", "champion")
    )
    harmful = np.array([one.harmful for one in rows], dtype=np.int64)
    return Parts(counts, hits, champion_hits, harmful, harmful + hits - champion_hits)


def _codes(*columns: Sequence[str | None]) -> tuple[list[str], Ints, NDArray[np.bool_]]:
    """Names in order, a number for each answer (rows by truth, candidate, champion), and which rows have all three."""
    if len({len(column) for column in columns}) != 1:
        raise BadInput(f"expected one entry a row in every column, found lengths {[len(column) for column in columns]}")
    flat = np.concatenate([np.asarray(column, dtype=object) for column in columns])
    codes, _ = pd.factorize(flat, sort=False)
    table = codes.reshape(len(columns), -1).T.astype(np.int64)
    kept = np.asarray((table >= 0).all(axis=1))
    names, numbers = np.unique(table[kept], return_inverse=True)
    spelt = np.asarray(pd.unique(pd.Series(flat).dropna()))[names].astype(str)
    order = np.argsort(spelt)
    return [str(name) for name in spelt[order]], np.argsort(order)[numbers].reshape(-1, len(columns)).astype(np.int64), kept


def _triples(codes: Ints, labels: int) -> tuple[Ints, Ints]:
    """Distinct triples of truth and two answers, and how many rows have each."""
    numbers, counts = np.unique((codes[:, 0] * labels + codes[:, 1]) * labels + codes[:, 2], return_counts=True)
    return np.column_stack([numbers // labels**2, numbers // labels % labels, numbers % labels]), counts


def _label_changes(names: Sequence[str], parts: Parts) -> tuple[LabelChange, ...]:
    present = np.flatnonzero(parts.rows)
    parts = Parts(*(counts[present] for counts in parts))
    columns = zip(
        [names[i] for i in present.tolist()], *_judgements(parts, int(parts.rows.sum()), int(parts.beneficial.sum())), strict=True
    )
    return tuple(
        LabelChange(label=name, rows=rows, harmful=harmful, recall=change, p_value=p_value, p_drop=p_drop)
        for name, rows, harmful, change, p_value, p_drop in columns
    )


def _slice_changes(
    columns: Mapping[str, "NDArray[np.object_]"], right: NDArray[np.bool_], was_right: NDArray[np.bool_]
) -> tuple[SliceChange, ...]:
    """Every value of every column, judged as one family of hypotheses."""
    coded = {name: np.unique(values.astype(str), return_inverse=True) for name, values in columns.items()}
    if not coded:
        return ()
    counted = [count_parts(numbers.astype(np.int64), right, was_right, len(values)) for values, numbers in coded.values()]
    parts = Parts(*(np.concatenate(counts) for counts in zip(*counted, strict=True)))
    names = [(column, str(value)) for column, (values, _) in coded.items() for value in values]
    columns_of = zip(names, *_judgements(parts, len(right), int((right & ~was_right).sum())), strict=True)
    return tuple(
        SliceChange(column=name[0], value=name[1], rows=rows, harmful=harmful, accuracy=change, p_value=p_value, p_drop=p_drop)
        for name, rows, harmful, change, p_value, p_drop in columns_of
    )


def _judgements(parts: Parts, rows: int, beneficial: int) -> tuple[list[int], list[int], list[Change], list[float], list[float]]:
    """Rows, harmful rows, change, McNemar's p value and the corrected p value of a drop, one entry a part."""
    drops = holm(p_values_of_drops(parts, usual_change(beneficial, rows)))
    differences = p_values_of_difference(parts.harmful, parts.beneficial)
    return parts.rows.tolist(), parts.harmful.tolist(), paired_changes(parts), differences.tolist(), drops.tolist()


def _bootstrap(triples: Ints, counts: Ints, labels: int, rng: np.random.Generator) -> tuple[Change, Change]:
    """Accuracy and macro-F1, each with percentile bounds."""
    indicators = _indicators(triples, labels)
    candidate, champion = _quality(counts[None, :].astype(float) @ indicators, labels)
    draws = [_quality(weights @ indicators, labels) for weights in _resamples(counts, rng)]
    differences = np.concatenate([a - b for a, b in draws])
    low, high = np.quantile(differences, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    accuracy, macro_f1 = (
        Change(candidate=a, champion=b, difference=a - b, low=below, high=above)
        for a, b, below, above in zip(candidate[0].tolist(), champion[0].tolist(), low.tolist(), high.tolist(), strict=True)
    )
    return accuracy, macro_f1


def _resamples(counts: Ints, rng: np.random.Generator) -> Iterator[Floats]:
    """Blocks of resampled counts, small enough for memory."""
    block = max(1, _CELLS_AT_ONCE // len(counts))
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        yield rng.multinomial(counts.sum(), counts / counts.sum(), size=size).astype(float)


def _indicators(triples: Ints, labels: int) -> "csr_array":
    """For each triple, the sums it adds to, five blocks of one column a label: support, then called and right of each model."""
    truth, candidate, champion = triples.T
    every = np.arange(len(triples))
    right, was_right = every[candidate == truth], every[champion == truth]
    rows = np.concatenate([every, every, right, every, was_right])
    columns = [truth, labels + candidate, 2 * labels + truth[right], 3 * labels + champion, 4 * labels + truth[was_right]]
    return csr_array((np.ones(len(rows)), (rows, np.concatenate(columns))), shape=(len(triples), 5 * labels))


def _quality(sums: Floats, labels: int) -> tuple[Floats, Floats]:
    """Accuracy and macro-F1 (columns) of candidate and champion for each resample (rows)."""
    support, called, right, was_called, was_right = (sums[:, i * labels : (i + 1) * labels] for i in range(5))
    return _accuracy_and_f1(support, called, right), _accuracy_and_f1(support, was_called, was_right)


def _accuracy_and_f1(support: Floats, called: Floats, right: Floats) -> Floats:
    f1 = 2 * right / np.maximum(support + called, 1)
    present = support > 0
    return np.column_stack([right.sum(axis=1) / support.sum(axis=1), (f1 * present).sum(axis=1) / present.sum(axis=1)])
