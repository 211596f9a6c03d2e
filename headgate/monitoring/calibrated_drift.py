"""Drift held against the champion's own history: what windows drawn from it show by chance is what a new window may show.

Traffic is dependent (threads, campaigns, the hour of the day), so rows are not drawn one by one: a window is four consecutive blocks, and
a drawn window
takes each of its blocks whole from the same place of another window of the history (block bootstrap: Künsch 1989; seasons kept in their
places: Politis 2001).
Both sides are drawn anew, the window as large as the one that is judged, so that short histories give wide bounds. Texts are compared by
the maximum mean
discrepancy of their embeddings (Gretton et al. 2012, JMLR 13), with the Gaussian kernel through random features (Rahimi and Recht 2007), so
that a block is one sum.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from headgate.monitoring.drift import Counts, Shift, compare_counts, counted, distances, holm, tenths
from headgate.monitoring.hours import NUMBERS, Hour
from headgate.record import Record

Floats = NDArray[np.float64]
Draws = tuple[Floats, Floats]
Null = Callable[[str, Draws], tuple[float, Floats]]
BLOCKS, DRAWS = 4, 4_999
EMBEDDING = "embedding"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Slice(Record):
    """The part of a column that grew the most: a category, or numbers from `low` (not in it) to `high`, each None where it is open."""

    column: str
    name: str | None = None
    low: float | None = None
    high: float | None = None
    before: float
    now: float

    def holds(self, value: float | str) -> bool:
        """Whether a value lies in it."""
        if self.name is not None or isinstance(value, str):
            return value == self.name
        return (self.low is None or value > self.low) and (self.high is None or value <= self.high)


class Drift(Record):
    """What became of one column. distance: as `distances` has it, of embeddings the discrepancy. p: by the drawn windows, corrected.

    chance: the distance that drawn windows exceed as often as a false alarm is allowed. shift: the comparison of `drift.compare`, with
    its textbook p.
    """

    column: str
    rows: int
    reference_rows: int
    distance: float
    chance: float
    p: float
    drifted: bool
    shift: Shift | None = None
    grown: Slice | None = None


@dataclass(frozen=True)
class Block:
    """Traffic of consecutive hours, numbered from 1970 on; empty ones count too."""

    number: int
    counts: dict[str, Counts] = field(default_factory=dict)
    embedded: int = 0
    features: Floats | None = None

    @property
    def place(self) -> int:
        """Which block of its window it is."""
        return self.number % BLOCKS


def block_number(at: datetime, block_hours: int) -> int:
    """The block that a moment lies in."""
    return int((at - EPOCH) // timedelta(hours=block_hours))


def block_start(number: int, block_hours: int) -> datetime:
    """When a block begins."""
    return EPOCH + number * timedelta(hours=block_hours)


def blocks_of(hours: Iterable[Hour], block_hours: int, first: int, last: int) -> list[Block]:
    """The blocks from first to last, the last one not in it."""
    by_number: dict[int, list[Hour]] = {number: [] for number in range(first, last)}
    for hour in hours:
        if (number := block_number(hour.hour, block_hours)) in by_number:
            by_number[number].append(hour)
    return [_block(number, found) for number, found in by_number.items()]


def _block(number: int, hours: list[Hour]) -> Block:
    counts: dict[str, dict[str, int]] = {}
    for hour in hours:
        for column, found in hour.counts.items():
            into = counts.setdefault(column, {})
            for name, rows in found.items():
                into[name] = into.get(name, 0) + rows
    sums = [hour.feature_sum for hour in hours if hour.embedded]
    features = np.sum(np.stack([one for one in sums if one is not None]), axis=0, dtype=np.float64) if sums else None
    return Block(number, dict(counts), sum(hour.embedded for hour in hours), features)


def slices_of(drifts: Iterable[Drift]) -> tuple[Slice, ...]:
    """What grew in the drifted columns."""
    return tuple(drift.grown for drift in drifts if drift.drifted and drift.grown)


def added(blocks: Sequence[Block], column: str) -> dict[str, int]:
    """The counts of a column over blocks."""
    found: dict[str, int] = {}
    for block in blocks:
        for name, rows in block.counts.get(column, {}).items():
            found[name] = found.get(name, 0) + rows
    return found


def rows_of(blocks: Sequence[Block], column: str) -> int:
    """How many rows blocks have of a column."""
    return sum(block.embedded for block in blocks) if column == EMBEDDING else sum(added(blocks, column).values())


def judge(
    histories: Mapping[str, Sequence[Block]], windows: Mapping[str, Sequence[Block]], false_alarm_share: float, min_psi: float
) -> tuple[Drift, ...]:
    """The drift of each column of a window against its own history, corrected for their number.

    false_alarm_share: of windows in which nothing changed, so many may have a drifted column. Every history has a block for each place of
    a window.
    """
    found = {column: _distances(column, history, windows[column]) for column, history in histories.items()}
    ps = [float((1 + (null >= distance - 1e-12).sum()) / (1 + len(null))) for distance, null in found.values()]
    corrected, share = holm(ps), false_alarm_share / max(1, len(found))
    judged = []
    for (column, (distance, null)), p in zip(found.items(), corrected, strict=True):
        history, window = histories[column], windows[column]
        shift = None if column == EMBEDDING else compare_counts(*_both(history, window, column), NUMBERS)[0]
        large = shift is None or shift.psi >= min_psi
        judged.append(
            Drift(
                column=column,
                rows=rows_of(window, column),
                reference_rows=rows_of(history, column),
                distance=distance,
                chance=float(np.quantile(null, 1 - share)),
                p=p,
                drifted=p <= false_alarm_share and large,
                shift=shift,
                grown=None if column == EMBEDDING else grown(added(history, column), added(window, column), column),
            )
        )
    return tuple(judged)


def grown(reference: Counts, current: Counts, column: str) -> Slice | None:
    """The category, or the tenth of the reference's numbers, whose share grew the most; None where a side is empty or nothing grew."""
    names, table = counted(reference, current, column in NUMBERS)
    if not table.sum(axis=1).all():
        return None
    if column not in NUMBERS:
        before, now = table / table.sum(axis=1, keepdims=True)
        most = int((now - before).argmax())
        return Slice(column=column, name=names[most], before=before[most], now=now[most]) if now[most] > before[most] else None
    values = np.array(names, dtype=float)
    edges = tenths(values, table[0])
    place = np.searchsorted(edges, values, side="left")
    before, now = (np.bincount(place, weights=part, minlength=len(edges) + 1) / part.sum() for part in table)
    most = int((now - before).argmax())
    low, high = (float(edges[most - 1]) if most else None), (float(edges[most]) if most < len(edges) else None)
    return Slice(column=column, low=low, high=high, before=before[most], now=now[most]) if now[most] > before[most] else None


def _both(history: Sequence[Block], window: Sequence[Block], column: str) -> tuple[dict[str, Counts], dict[str, Counts]]:
    return {column: added(history, column)}, {column: added(window, column)}


def _distances(column: str, history: Sequence[Block], window: Sequence[Block]) -> tuple[float, Floats]:
    """The window's distance from the history, and those of the drawn ones, (DRAWS,); the same blocks are drawn for all columns."""
    generator = np.random.default_rng(window[-1].number)
    drawn = _draw([block.place for block in history], generator)
    return (_of_embeddings if column == EMBEDDING else _of_counts(column, generator))(history, window, drawn)


def _draw(places: Sequence[int], generator: np.random.Generator) -> Draws:
    """How often each block of the history stands in the drawn references and in the drawn windows, (DRAWS, blocks) each."""
    of_place, rows = np.array(places), np.arange(DRAWS)
    references, windows = np.zeros((DRAWS, len(places))), np.zeros((DRAWS, len(places)))
    for place in range(BLOCKS):
        blocks = np.flatnonzero(of_place == place)
        references[:, blocks] = generator.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=DRAWS)
        windows[rows, generator.choice(blocks, DRAWS)] = 1
    return references, windows


def _of_counts(column: str, generator: np.random.Generator) -> Callable[[Sequence[Block], Sequence[Block], Draws], tuple[float, Floats]]:
    def of(history: Sequence[Block], window: Sequence[Block], drawn: Draws) -> tuple[float, Floats]:
        names, table = counted(added(history, column), added(window, column), column in NUMBERS)
        rows = np.array([[block.counts.get(column, {}).get(name, 0) for name in names] for block in history], dtype=float)
        references, windows = (np.rint(part @ rows).astype(np.int64) for part in drawn)
        windows = _thinned(windows, int(table[1].sum()), generator)
        number = column in NUMBERS
        return float(distances(table[:1], table[1:], number)[0]), distances(references, windows, number)

    return of


def _thinned(windows: NDArray[np.int64], rows: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Windows of at most so many rows, drawn without replacement from larger ones: fewer rows show more by chance."""
    found = windows.copy()
    for number in np.flatnonzero(windows.sum(axis=1) > rows):
        found[number] = generator.multivariate_hypergeometric(windows[number], rows, method="marginals")
    return found


def _of_embeddings(history: Sequence[Block], window: Sequence[Block], drawn: Draws) -> tuple[float, Floats]:
    """Discrepancies (squared, unbiased), those of drawn windows scaled to the number of texts that were compared."""
    width = next(len(block.features) for block in (*history, *window) if block.features is not None)
    sums = np.stack([np.zeros(width) if block.features is None else block.features for block in history])
    sizes = np.array([float(block.embedded) for block in history])
    now = np.sum([block.features for block in window if block.features is not None], axis=0)
    n, m = float(sum(block.embedded for block in window)), sizes.sum()
    found = float(_discrepancy(sums.sum(axis=0)[None], np.array([m]), now[None], np.array([n]))[0])
    reference_sizes, window_sizes = drawn[0] @ sizes, drawn[1] @ sizes
    null = _discrepancy(drawn[0] @ sums, reference_sizes, drawn[1] @ sums, window_sizes)
    scale = (1 / n + 1 / m) / (1 / np.maximum(window_sizes, 2) + 1 / np.maximum(reference_sizes, 2))
    return found, null * np.maximum(scale, 1.0)


def _discrepancy(first: Floats, first_sizes: Floats, second: Floats, second_sizes: Floats) -> Floats:
    """Squared maximum mean discrepancy, unbiased, of sums of features of length 1: (pairs, features), (pairs,)."""
    m, n = np.maximum(first_sizes, 2), np.maximum(second_sizes, 2)
    within = ((first**2).sum(axis=1) - m) / (m * (m - 1)) + ((second**2).sum(axis=1) - n) / (n * (n - 1))
    found: Floats = within - 2 * (first * second).sum(axis=1) / (m * n)
    return found
