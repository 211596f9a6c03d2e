"""Candidate against champion on the same rows. Pure and seeded.

The bootstrap resamples rows. Rows with the same true label and the same two answers are alike, so a resample is one multinomial
draw over the distinct triples: the same distribution, at a cost that follows the triples and not the rows.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import binomtest, norm

from headgate.evaluation.report import Change, Comparison, LabelChange

CONFIDENCE = 0.9  # two-sided, so that each side is wrong once in twenty
RESAMPLES = 2000
_CELLS_AT_ONCE = 4_000_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def compare(truth: Sequence[str], candidate: Sequence[str | None], champion: Sequence[str | None], seed: int = 0) -> Comparison | None:
    """Paired comparison over the rows that both models labelled; None if there is no such row."""
    rows = [(t, a, b) for t, a, b in zip(truth, candidate, champion, strict=True) if isinstance(a, str) and isinstance(b, str)]
    if not rows:
        return None
    names, codes = np.unique(np.array(rows, dtype=object).astype(str), return_inverse=True)
    triples, counts = np.unique(codes.reshape(-1, 3), axis=0, return_counts=True)
    right, was_right = triples[:, 1] == triples[:, 0], triples[:, 2] == triples[:, 0]
    harmful, beneficial = int(counts[~right & was_right].sum()), int(counts[right & ~was_right].sum())
    accuracy, macro_f1 = _bootstrap(triples, counts, len(names), np.random.default_rng(seed))
    return Comparison(
        rows=len(rows),
        harmful=harmful,
        beneficial=beneficial,
        p_value=mcnemar(harmful, beneficial),
        accuracy=accuracy,
        macro_f1=macro_f1,
        labels=tuple(_label_change(str(name), triples, counts, i) for i, name in enumerate(names) if (triples[:, 0] == i).any()),
    )


def mcnemar(harmful: int, beneficial: int) -> float:
    """Exact two-sided p value that equally good models would differ this much (McNemar 1947, binomial form)."""
    changed = harmful + beneficial
    return float(binomtest(harmful, changed).pvalue) if changed else 1.0


def paired_change(hits: int, champion_hits: int, harmful: int, beneficial: int, rows: int) -> Change:
    """Difference of two paired proportions, with Agresti and Min's interval (2005), which stays honest for a handful of rows."""
    padded, down, up = rows + 2, harmful + 0.5, beneficial + 0.5
    centre = (up - down) / padded
    spread = np.sqrt(down + up - (up - down) ** 2 / padded) / padded * norm.ppf((1 + CONFIDENCE) / 2)
    return Change(
        candidate=hits / rows,
        champion=champion_hits / rows,
        difference=(hits - champion_hits) / rows,
        low=max(-1.0, float(centre - spread)),
        high=min(1.0, float(centre + spread)),
    )


def _label_change(name: str, triples: Ints, counts: Ints, label: int) -> LabelChange:
    mine = triples[:, 0] == label
    right, was_right = triples[:, 1] == label, triples[:, 2] == label
    harmful, beneficial = int(counts[mine & ~right & was_right].sum()), int(counts[mine & right & ~was_right].sum())
    hits, champion_hits, rows = int(counts[mine & right].sum()), int(counts[mine & was_right].sum()), int(counts[mine].sum())
    change = paired_change(hits, champion_hits, harmful, beneficial, rows)
    return LabelChange(label=name, rows=rows, recall=change, p_value=mcnemar(harmful, beneficial))


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
