"""Whether rows are still what they were: one comparison, for new annotations and for the traffic of production.

Two numbers decide together: `p`, whether chance explains a difference, and the size of it (`effect`, `psi`), whether it matters. Both are
free of the bias of small samples, so that a batch of 50 rows and one of 5,000 are held against the same bound.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2 as chi_square
from scipy.stats import ks_2samp, kstwo

from headgate.record import Record

Floats = NDArray[np.float64]
Column = Sequence[Any] | NDArray[Any]
Counts = Mapping[str, int]
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
    return _corrected(shifts)


def compare_counts(reference: Mapping[str, Counts], current: Mapping[str, Counts], numbers: Collection[str] = ()) -> tuple[Shift, ...]:
    """The same of columns that were counted already; the keys of those in `numbers` are numbers, each standing for the rows of its bin."""
    shifts = []
    for column in current:
        if column in reference:
            names, table = counted(reference[column], current[column], column in numbers)
            shifts.append(_of_table(column, names, table, column in numbers))
    return _corrected(shifts)


def counted(reference: Counts, current: Counts, number: bool) -> tuple[list[str], NDArray[np.int64]]:
    """The bins that occur in two counts, in order, and their rows: (2, bins)."""
    names = sorted({*reference, *current}, key=float if number else str)
    return names, np.array([[part.get(name, 0) for name in names] for part in (reference, current)], dtype=np.int64).reshape(2, len(names))


def distances(reference: NDArray[Any], current: NDArray[Any], number: bool) -> Floats:
    """How far pairs of counted samples, (pairs, bins) each, lie apart: (pairs,), nothing taken off for what chance gives.

    Numbers: the Kolmogorov-Smirnov distance. Categories: Cohen's w between the two, over their pooled shares. Empty samples are 0 apart.
    """
    sizes = reference.sum(axis=1, keepdims=True), current.sum(axis=1, keepdims=True)
    before, now = (part / np.maximum(size, 1) for part, size in zip((reference, current), sizes, strict=True))
    if number:
        found = np.abs(np.cumsum(now - before, axis=1)).max(axis=1, initial=0)
    else:
        pooled = (reference + current) / np.maximum(sizes[0] + sizes[1], 1)
        found = np.sqrt(((now - before) ** 2 / np.where(pooled, pooled, 1)).sum(axis=1))
    nothing = (sizes[0] * sizes[1] == 0)[:, 0]
    return np.where(nothing, 0.0, found)


def holm(ps: Sequence[float]) -> list[float]:
    """p values corrected for their number by Holm's step-down method (1979), in their order."""
    order = np.argsort(ps)
    stepped = np.maximum.accumulate(np.asarray(ps, dtype=float)[order] * np.arange(len(ps), 0, -1)) if len(ps) else np.zeros(0)
    corrected = np.empty(len(ps))
    corrected[order] = np.minimum(stepped, 1)
    return [float(p) for p in corrected]


def tenths(values: Floats, counts: NDArray[np.int64]) -> Floats:
    """The values, at most nine, that part counted numbers into tenths: each the last one of its tenth."""
    reached = np.cumsum(counts) / max(1, counts.sum())
    found = np.searchsorted(reached, np.arange(1, BINS) / BINS - 1e-12)
    return np.unique(values[np.minimum(found, len(values) - 1)])


def _corrected(shifts: Sequence[Shift]) -> tuple[Shift, ...]:
    corrected = holm([one.p for one in shifts])
    return tuple(one.model_copy(update={"p": p}) for one, p in zip(shifts, corrected, strict=True))


def _nothing(column: str, reference_rows: int, current_rows: int) -> Shift:
    return Shift(column=column, reference_rows=reference_rows, current_rows=current_rows, p=1, effect=0, psi=0, before=0, now=0)


def _of_table(column: str, names: Sequence[str], table: NDArray[np.int64], number: bool) -> Shift:
    if not (sizes := table.sum(axis=1)).all():
        return _nothing(column, *map(int, sizes))
    return _counted_numbers(column, np.array(names, dtype=float), table) if number else _counted_categories(column, names, table)


def _counted_numbers(column: str, values: Floats, table: NDArray[np.int64]) -> Shift:
    """Kolmogorov-Smirnov of binned numbers; its p is somewhat too large, as for any ties."""
    first, second = map(int, table.sum(axis=1))
    effect = float(distances(table[:1], table[1:], number=True)[0])
    place = np.searchsorted(tenths(values, table[0]), values, side="left")
    binned = np.stack([np.bincount(place, weights=part) for part in table]).astype(np.int64)
    before, now = (float(values[np.searchsorted(np.cumsum(part), part.sum() / 2)]) for part in table)
    return Shift(
        column=column,
        reference_rows=first,
        current_rows=second,
        p=float(kstwo.sf(effect, max(1, round(first * second / (first + second))))),
        effect=effect,
        psi=_stability(binned),
        before=before,
        now=now,
    )


def _shift(column: str, reference: NDArray[Any], current: NDArray[Any]) -> Shift:
    if not len(reference) or not len(current):
        return _nothing(column, len(reference), len(current))
    return (_numbers if reference.dtype.kind in "iuf" else _categories)(column, reference, current)


def _categories(column: str, reference: NDArray[Any], current: NDArray[Any]) -> Shift:
    names, numbers = np.unique(np.concatenate([reference.astype(str), current.astype(str)]), return_inverse=True)
    table = np.stack([np.bincount(part, minlength=len(names)) for part in (numbers[: len(reference)], numbers[len(reference) :])])
    return _counted_categories(column, names, table)


def _counted_categories(column: str, names: Column, table: NDArray[np.int64]) -> Shift:
    first, second = map(int, table.sum(axis=1))
    before, now = table[0] / first, table[1] / second
    most = int((now - before).argmax())
    p, effect = independence(table)
    return Shift(
        column=column,
        reference_rows=first,
        current_rows=second,
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
