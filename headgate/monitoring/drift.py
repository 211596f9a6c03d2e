"""Whether rows are still what they were: one comparison, for new annotations and for the traffic of production.

Two numbers decide together: `p`, whether chance explains a difference, and the size of it (`effect`, `psi`), whether it matters. Both are
free of the bias of small samples, so that a batch of 50 rows and one of 5,000 are held against the same bound.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2 as chi_square
from scipy.stats import ks_2samp

from headgate.record import Record

Floats = NDArray[np.float64]
Column = Sequence[Any] | NDArray[Any]
FEW_EXPECTED = 5  # Cochran 1954: with fewer expected in a cell the chi-square distribution is not trusted, and tables are drawn
TABLES, BINS, SEED = 9_999, 10, 0


class Shift(Record):
    """How one column differs between two samples.

    p: of no difference, corrected for the number of columns. effect: Cohen's w of categories, 0 for equal shares; the Kolmogorov-Smirnov
    distance of numbers, 0 to 1. psi: population stability index, where 0.1 is usually called small and 0.25 large. grown: the category
    whose share grew the most, with its share before and now; of numbers the medians are given instead.
    """

    column: str
    reference_rows: int
    current_rows: int
    p: float
    effect: float
    psi: float
    before: float
    now: float
    grown: str | None = None

    def beyond(self, effect: float, alpha: float = 0.01) -> bool:
        """Whether the difference is not by chance and at least so large."""
        return self.p <= alpha and self.effect >= effect


def compare(reference: Mapping[str, Column], current: Mapping[str, Column]) -> tuple[Shift, ...]:
    """The shift of each column that both have, in the order of `current`; a column without rows on a side has p 1 and no effect.

    Numbers (integers and floats) are compared as such, all else as categories. p is corrected by Holm's step-down method (1979).
    """
    shifts = [_shift(column, np.asarray(reference[column]), np.asarray(current[column])) for column in current if column in reference]
    corrected = _holm([one.p for one in shifts])
    return tuple(one.model_copy(update={"p": p}) for one, p in zip(shifts, corrected, strict=True))


def _shift(column: str, reference: NDArray[Any], current: NDArray[Any]) -> Shift:
    if not len(reference) or not len(current):
        return Shift(column=column, reference_rows=len(reference), current_rows=len(current), p=1, effect=0, psi=0, before=0, now=0)
    return (_numbers if reference.dtype.kind in "iuf" else _categories)(column, reference, current)


def _categories(column: str, reference: NDArray[Any], current: NDArray[Any]) -> Shift:
    names, numbers = np.unique(np.concatenate([reference.astype(str), current.astype(str)]), return_inverse=True)
    table = np.stack([np.bincount(part, minlength=len(names)) for part in (numbers[: len(reference)], numbers[len(reference) :])])
    before, now = table[0] / len(reference), table[1] / len(current)
    most = int((now - before).argmax())
    p, effect = independence(table)
    return Shift(
        column=column,
        reference_rows=len(reference),
        current_rows=len(current),
        p=p,
        effect=effect,
        psi=_stability(table),
        before=float(before[most]),
        now=float(now[most]),
        grown=str(names[most]),
    )


def independence(table: NDArray[np.int64]) -> tuple[float, float]:
    """p and the effect (Cohen's w between the two rows of shares, less what chance alone gives) of a table of counts, (2, categories).

    The excess of chi-square over its expectation is what Bergsma's correction of Cramer's V (2013) keeps; w is free of the two sizes.
    """
    table = table[:, table.sum(axis=0) > 0]
    freedom, (first, second) = table.shape[1] - 1, table.sum(axis=1)
    if freedom < 1:
        return 1.0, 0.0
    found = float(_statistic(table[1:], table)[0])
    p = float(chi_square.sf(found, freedom)) if _expected(table).min() >= FEW_EXPECTED else _drawn(table, found)
    return p, float(np.sqrt(max(0.0, found - freedom) * (first + second) / (first * second)))


def _expected(table: NDArray[np.int64]) -> Floats:
    expected: Floats = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return expected


def _statistic(second_rows: NDArray[np.int64], table: NDArray[np.int64]) -> Floats:
    """Chi-square, (tables,), of tables with the margins of `table`, each given by its second row."""
    share, pooled = table[1].sum() / table.sum(), table.sum(axis=0)
    found: Floats = ((second_rows - pooled * share) ** 2 / (pooled * share * (1 - share))).sum(axis=1)
    return found


def _drawn(table: NDArray[np.int64], found: float) -> float:
    """p by tables drawn with the same margins (Fisher's exact test by Monte Carlo), never 0."""
    draws = np.random.default_rng(SEED).multivariate_hypergeometric(table.sum(axis=0), int(table[1].sum()), size=TABLES)
    return float((1 + (_statistic(draws, table) >= found - 1e-9).sum()) / (1 + TABLES))


def _numbers(column: str, reference: NDArray[Any], current: NDArray[Any]) -> Shift:
    """Kolmogorov-Smirnov, and the stability index over tenths of the reference."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    table = np.stack([np.bincount(np.searchsorted(edges, part, side="left"), minlength=len(edges) + 1) for part in (reference, current)])
    tested = ks_2samp(reference, current, method="asymp")
    return Shift(
        column=column,
        reference_rows=len(reference),
        current_rows=len(current),
        p=float(tested.pvalue),
        effect=float(tested.statistic),
        psi=_stability(table),
        before=float(np.median(reference)),
        now=float(np.median(current)),
    )


def _stability(table: NDArray[np.int64]) -> float:
    """Population stability index of a table of counts, (2, bins), less what it comes to by chance (Yurdakul 2018)."""
    table = table[:, table.sum(axis=0) > 0]
    bins, (first, second) = table.shape[1], table.sum(axis=1)
    before, now = (table + 0.5) / (table.sum(axis=1, keepdims=True) + bins / 2)
    found = float(((now - before) * np.log(now / before)).sum())
    chance = float((bins - 1) * (1 / first + 1 / second))
    return max(0.0, found - chance)


def _holm(ps: Sequence[float]) -> list[float]:
    order = np.argsort(ps)
    stepped = np.maximum.accumulate(np.asarray(ps, dtype=float)[order] * np.arange(len(ps), 0, -1)) if len(ps) else np.zeros(0)
    corrected = np.empty(len(ps))
    corrected[order] = np.minimum(stepped, 1)
    return [float(p) for p in corrected]
