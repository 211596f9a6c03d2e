"""Drift held against the champion's own history: what windows drawn from it show by chance is what a new window may show.

Traffic is dependent (threads, campaigns, the hour of the day), so rows are not drawn one by one: a window is four consecutive blocks, and
a drawn window
takes each of its blocks whole from the same place of another window of the history (block bootstrap: Künsch 1989; seasons kept in their
places: Politis 2001).
Both sides are drawn anew, so that short histories give wide bounds, and what windows larger than the judged one show is scaled up to its
size. Texts are compared by
the maximum mean
discrepancy of their embeddings (Gretton et al. 2012, JMLR 13), with the Gaussian kernel through random features (Rahimi and Recht 2007), so
that a block is one sum.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm as normal
from scipy.stats import t as student

from headgate.monitoring.drift import Counts, Shift, compare_counts, counted, distances, holm, tenths
from headgate.monitoring.hours import NUMBERS, Hour
from headgate.record import Record

Floats = NDArray[np.float64]
Draws = tuple[Floats, Floats]
BLOCKS, DRAWS, MOST_DRAWS, WHOLE_DRAWS = 4, 4_999, 49_999, 999
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
    features: Floats | None = np.stack([one for one in sums if one is not None]).astype(np.float64).sum(axis=0) if sums else None
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
    histories: Mapping[str, Sequence[Block]],
    windows: Mapping[str, Sequence[Block]],
    false_alarm_share: float,
    min_psi: float,
    draws: int | None = None,
) -> tuple[Drift, ...]:
    """The drift of each column of a window against its own history, corrected for their number.

    false_alarm_share: of windows in which nothing changed, so many may have a drifted column. Every history has a block for each place of
    a window.
    """
    share = false_alarm_share / max(1, len(histories))
    draws = draws or min(MOST_DRAWS, max(DRAWS, int(2 / share)))
    found = {column: _distances(column, history, windows[column], draws, share) for column, history in histories.items()}
    shifts = {
        column: compare_counts(*_both(histories[column], windows[column], column), NUMBERS)[0] for column in found if column != EMBEDDING
    }
    corrected = holm([_p(*found[column], shifts.get(column)) for column in found])
    judged = []
    for (column, (distance, null)), p in zip(found.items(), corrected, strict=True):
        history, window = histories[column], windows[column]
        shift = shifts.get(column)
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


def _p(distance: float, null: Floats, shift: Shift | None) -> float:
    """Of no difference: what neither the chance of drawn windows nor, as in the textbook, that of drawn rows explains."""
    p = float((1 + (null >= distance - 1e-12).sum()) / (1 + len(null)))
    return max(p, shift.p) if shift else p


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


def _distances(column: str, history: Sequence[Block], window: Sequence[Block], draws: int, share: float) -> tuple[float, Floats]:
    """The window's distance from the history, and those of the drawn ones, (draws,); the same blocks are drawn for all columns."""
    few = _few(len(history) // BLOCKS, share)
    generator = np.random.default_rng(window[-1].number)
    distance, null = _of(column, history, window, _draw([block.place for block in history], generator, draws))
    whole = _of(column, history, window, _draw_whole(len(history) // BLOCKS, generator))[1]
    power = 1 if column == EMBEDDING else 2  # discrepancies are squared already
    days = max(1.0, float((np.abs(whole) ** power).mean()) / max(1e-12, float((np.abs(null) ** power).mean())))
    return distance, null * (few**2 * days if column == EMBEDDING else few * np.sqrt(days))


def _of(column: str, history: Sequence[Block], window: Sequence[Block], drawn: Draws) -> tuple[float, Floats]:
    return _of_embeddings(history, window, drawn) if column == EMBEDDING else _of_counts(column, history, window, drawn)


def _few(windows: int, share: float) -> float:
    """By how much more a window shows by chance than those that are drawn out of so few: as Student's t is wider than the normal."""
    freedom = BLOCKS * (windows - 1)
    return float(np.sqrt(windows / (windows - 1)) * student.ppf(1 - share / 2, freedom) / normal.ppf(1 - share / 2))


def _draw(places: Sequence[int], generator: np.random.Generator, draws: int) -> Draws:
    """How often each block of the history stands in the drawn references and in the drawn windows, (draws, blocks) each."""
    of_place, rows = np.array(places), np.arange(draws)
    references, windows = np.zeros((draws, len(places))), np.zeros((draws, len(places)))
    for place in range(BLOCKS):
        blocks = np.flatnonzero(of_place == place)
        references[:, blocks] = generator.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=draws)
        windows[rows, generator.choice(blocks, draws)] = 1
    return references, windows


def _draw_whole(windows: int, generator: np.random.Generator) -> Draws:
    """The same of windows that are drawn whole: what they show more than drawn blocks do is how much whole days differ."""
    references = generator.multinomial(windows, np.full(windows, 1 / windows), size=WHOLE_DRAWS)
    drawn = np.eye(windows)[generator.integers(windows, size=WHOLE_DRAWS)]
    return np.repeat(references, BLOCKS, axis=1).astype(float), np.repeat(drawn, BLOCKS, axis=1)


def _of_counts(column: str, history: Sequence[Block], window: Sequence[Block], drawn: Draws) -> tuple[float, Floats]:
    number = column in NUMBERS
    names, table = counted(added(history, column), added(window, column), number)
    rows = np.array([[block.counts.get(column, {}).get(name, 0) for name in names] for block in history], dtype=float)
    references, windows = drawn[0] @ rows, drawn[1] @ rows
    null = distances(references, windows, number) * np.sqrt(_scale(table.sum(axis=1), references.sum(axis=1), windows.sum(axis=1)))
    return float(distances(table[:1], table[1:], number)[0]), null


def _scale(sizes: Sequence[float] | NDArray[Any], references: Floats, windows: Floats) -> Floats:
    """By how much more a squared distance is by chance between samples of these sizes than between the drawn ones; never less."""
    chance, drawn = sum(1 / np.maximum(1, sizes)), 1 / np.maximum(1, references) + 1 / np.maximum(1, windows)
    found: Floats = np.maximum(1.0, chance / drawn)
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
    return found, null * _scale((m, n), reference_sizes, window_sizes)


def _discrepancy(first: Floats, first_sizes: Floats, second: Floats, second_sizes: Floats) -> Floats:
    """Squared maximum mean discrepancy, unbiased, of sums of features of length 1: (pairs, features), (pairs,)."""
    m, n = np.maximum(first_sizes, 2), np.maximum(second_sizes, 2)
    within = ((first**2).sum(axis=1) - m) / (m * (m - 1)) + ((second**2).sum(axis=1) - n) / (n * (n - 1))
    found: Floats = within - 2 * (first * second).sum(axis=1) / (m * n)
    return found
