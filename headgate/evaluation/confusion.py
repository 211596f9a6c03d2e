"""Confusion matrices as the evidence page draws them: which labels are shown, where each cell lies and how strong its colour is. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headgate.evaluation.report import LabelMetrics, Level

WRITTEN_UP_TO = 16  # labels; more than these are a part with numbers and a map without
PART = 10
CELL, RIGHT, TOP, NAME_SHOWN, LETTER = 46, 112, 56, 28, 6.4
MAP_SIDE, MAP_SHADES = 330, 10

Counts = NDArray[np.float64]
Panel = tuple[str, Level]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell with a number: its place in pixels, the share of its row, and how it looks."""

    x: float
    y: float
    count: int
    share: float
    opacity: float
    right: bool
    says: str

    @property
    def strong(self) -> bool:
        """Whether its colour is too strong for dark text."""
        return self.opacity > 0.6


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix with names and numbers. `labels` holds the metrics of the lines that are one label; a last line may be all others."""

    title: str
    names: tuple[str, ...]
    labels: tuple[LabelMetrics, ...]
    cells: tuple[Cell, ...]
    empty: tuple[tuple[float, float], ...]
    rules: tuple[float, ...]

    @property
    def shown_names(self) -> tuple[str, ...]:
        """The names as they fit beside the matrix."""
        return tuple(shortened(name) for name in self.names)

    @property
    def gutter(self) -> int:
        """Pixels that the longest name takes."""
        return int(LETTER * max(map(len, self.shown_names), default=0)) + 26

    @property
    def side(self) -> int:
        """Pixels of the square."""
        return CELL * len(self.names)

    @property
    def width(self) -> int:
        """Pixels of the whole drawing."""
        return self.gutter + self.side + RIGHT

    @property
    def height(self) -> int:
        """Pixels of the whole drawing, the slanted names below included."""
        return TOP + self.side + int(0.6 * self.gutter) + 18


@dataclass(frozen=True, slots=True)
class Map:
    """All labels as dots: SVG paths in units of one cell, each with its shade."""

    title: str
    labels: int
    paths: tuple[tuple[str, float, str], ...]

    @property
    def side(self) -> int:
        """Pixels of the square."""
        return MAP_SIDE


@dataclass(frozen=True, slots=True)
class Confusion:
    """What one level of labels shows: matrices side by side, and maps where there are many labels."""

    matrices: tuple[Matrix, ...] = ()
    maps: tuple[Map, ...] = ()
    hidden: int = 0


def confusion(panels: Sequence[Panel]) -> Confusion:
    """Every label of each model; of many labels the most confused ones of all models, and a map of the whole."""
    if not panels:
        return Confusion()
    most = max(len(level.label_names) for _, level in panels)
    if most <= WRITTEN_UP_TO:
        return Confusion(matrices=tuple(_whole(*panel) for panel in panels))
    names = most_confused([level for _, level in panels], PART)
    parts = tuple(_part(title, level, names) for title, level in panels) if names else ()
    return Confusion(parts, tuple(_map(*panel) for panel in panels), most - len(names))


def most_confused(levels: Sequence[Level], most: int) -> tuple[str, ...]:
    """At most so many labels, those of the most frequent mistakes; sorted by name, so that neighbours stay together."""
    mistakes: Counter[tuple[str, str]] = Counter()
    for level in levels:
        counts = _counts(level)
        np.fill_diagonal(counts, 0)
        for i, j in np.argwhere(counts).tolist():
            mistakes[level.label_names[i], level.label_names[j]] += int(counts[i, j])
    found: dict[str, None] = {}
    for pair, _ in sorted(mistakes.items(), key=lambda item: (-item[1], item[0])):
        if len(found.keys() | set(pair)) <= most:
            found |= dict.fromkeys(pair)
    return tuple(sorted(found))


def shortened(name: str) -> str:
    """A name that fits beside a matrix; one with control characters in escapes."""
    shown = name if name.isprintable() else repr(name)[1:-1]
    return shown if len(shown) <= NAME_SHOWN else f"{shown[: NAME_SHOWN - 1]}\N{HORIZONTAL ELLIPSIS}"


def _counts(level: Level) -> Counts:
    return np.array(level.confusion, dtype=float).reshape(len(level.label_names), -1)


def _whole(title: str, level: Level) -> Matrix:
    counts = _counts(level)
    return _matrix(_titled(title, level), level.label_names, level.labels, counts, counts.sum(axis=1))


def _part(title: str, level: Level, names: Sequence[str]) -> Matrix:
    """Some labels; all others are the last row and column, whose own cell stays empty."""
    whole, place = _counts(level), {name: i for i, name in enumerate(level.label_names)}
    kept = [place[name] for name in names if name in place]
    counts = np.zeros((len(kept) + 1, len(kept) + 1))
    counts[:-1, :-1] = whole[np.ix_(kept, kept)]
    counts[:-1, -1] = whole[kept].sum(axis=1) - counts[:-1, :-1].sum(axis=1)
    counts[-1, :-1] = whole[:, kept].sum(axis=0) - counts[:-1, :-1].sum(axis=0)
    rows = np.append(whole[kept].sum(axis=1), whole.sum() - whole[kept].sum())
    shown = (*(level.label_names[i] for i in kept), f"{len(place) - len(kept)} other labels")
    return _matrix(_titled(title, level), shown, tuple(level.labels[i] for i in kept), counts, rows)


def _titled(title: str, level: Level) -> str:
    return f"{title}: accuracy {level.accuracy:.1%}, macro-F1 {level.macro_f1:.1%}"


def _matrix(title: str, names: tuple[str, ...], labels: tuple[LabelMetrics, ...], counts: Counts, rows: Counts) -> Matrix:
    shares = counts / np.maximum(rows[:, None], 1)
    empty = tuple((float(CELL * j), float(CELL * i)) for i, j in np.argwhere(counts == 0).tolist())
    return Matrix(title, names, labels, tuple(_cells(names, counts, shares)), empty, tuple(_rules(names)))


def _cells(names: Sequence[str], counts: Counts, shares: Counts) -> Iterator[Cell]:
    for i, j in np.argwhere(counts).tolist():
        count, share, right = int(counts[i, j]), float(shares[i, j]), i == j
        says = f"{names[i]} called {names[j]}: {count:,} rows, {share:.1%} of the label"
        yield Cell(float(CELL * j), float(CELL * i), count, share, _opacity(share, right), right, says)


def _opacity(share: float, right: bool) -> float:
    """The root makes small shares of mistakes visible."""
    return round(max(0.06, share if right else share**0.5), 2)


def _rules(names: Sequence[str]) -> Iterator[float]:
    """Where a group of labels of one first level begins or ends."""
    tops = [name.split("/", 1)[0] for name in names]
    for i in range(1, len(tops)):
        if tops[i] != tops[i - 1] and max(tops.count(tops[i]), tops.count(tops[i - 1])) > 1:
            yield float(CELL * i)


def _map(title: str, level: Level) -> Map:
    counts = _counts(level)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    strength = np.where(np.eye(len(counts), dtype=bool), shares, np.sqrt(shares))
    shade = np.ceil(strength * MAP_SHADES).astype(int)
    paths = [
        ("right" if right else "wrong", step / MAP_SHADES, _dots((shade == step) & (np.eye(len(counts), dtype=bool) == right)))
        for right in (True, False)
        for step in range(1, MAP_SHADES + 1)
    ]
    return Map(_titled(title, level), len(counts), tuple(path for path in paths if path[2]))


def _dots(mask: NDArray[np.bool_]) -> str:
    return "".join(f"M{j} {i}h1v1h-1z" for i, j in np.argwhere(mask).tolist())
