"""Pictures of an evaluation, light and dark: confusion matrices, reliability. PNG, drawn without a display. Load: load_pictures.py."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from headgate.evaluation.report import LabelMetrics, Level, Metrics

Theme = Literal["light", "dark"]
DPI = 150
_COUNTS_UP_TO = 25
_NAMES_UP_TO = 80


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one theme; `right` and `wrong` run from no row to all rows of a label."""

    paper: str
    ink: str
    faint: str
    line: str
    blue: str
    orange: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    on_strong: str


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        "#ffffff",
        "#1c2430",
        "#667085",
        "#e4e7ec",
        "#1d5fbf",
        "#d9541e",
        ("#f6f8fa", "#8fc1b5", "#0f766e"),
        ("#f6f8fa", "#f6b48f", "#c2410c"),
        "#ffffff",
    ),
    "dark": Palette(
        "#161b22",
        "#e6edf3",
        "#8b949e",
        "#30363d",
        "#6ea8fe",
        "#ff9a5c",
        ("#1d242d", "#1f6f66", "#2dd4bf"),
        ("#1d242d", "#8a3d1a", "#fb8a4a"),
        "#0b0f14",
    ),
}


def confusion_figure(panels: Sequence[tuple[str, Level]], theme: Theme = "light") -> Figure:
    """One confusion matrix a panel, side by side: counts and row shares, TP and FN by row, FP by column."""
    colours = PALETTES[theme]
    names = [name for _, level in panels for name in level.label_names]
    side = _side(max(len(level.label_names) for _, level in panels))
    left, right, above, below = 0.085 * max(map(len, names), default=0) + 0.5, 1.3, 1.0, 0.06 * max(map(len, names), default=0) + 0.6
    width, height = left + side + right, above + side + below
    figure = Figure(figsize=(width * len(panels), height), facecolor=colours.paper)
    for i, (title, level) in enumerate(panels):
        place = ((i * width + left) / (width * len(panels)), below / height, side / (width * len(panels)), side / height)
        _draw_confusion(figure.add_axes(place), title, level, colours)
    return figure


def _side(labels: int) -> float:
    """Inches of a matrix of so many labels."""
    return max(2.0, labels * (0.56 if labels <= _COUNTS_UP_TO else 0.1))


def reliability_figure(panels: Sequence[tuple[str, Metrics]], theme: Theme = "light") -> Figure:
    """How often each model is right at each score; the diagonal is what the score promises. Dot areas follow the rows."""
    colours = PALETTES[theme]
    figure = Figure(figsize=(6.4, 3.4), facecolor=colours.paper)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=colours.faint, linestyle=(0, (4, 4)), linewidth=1, label="as promised")
    for (title, metrics), colour, marker in zip(panels, (colours.blue, colours.orange), ("o", "s"), strict=False):
        rows = max((one.rows for one in metrics.calibration), default=1)
        x, y = [one.score for one in metrics.calibration], [one.accuracy for one in metrics.calibration]
        axes.plot(x, y, color=colour, linewidth=1.6, label=title)
        axes.scatter(x, y, s=[20 + 120 * one.rows / rows for one in metrics.calibration], color=colour, marker=marker, alpha=0.85, zorder=3)
    dress(axes, colours, "score", "share of rows that were right")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    legend(axes, colours, "Reliability")
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG; equal figures give equal bytes."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12, metadata={"Software": None})
    return target.getvalue()


def draw_regression(candidate: Metrics, champion: Metrics | None, out: Path) -> tuple[str, ...]:
    """Write the pictures of a regression test under `out`; returns their file names."""
    panels = [("Candidate", candidate), *([("Champion", champion)] if champion else [])]
    figures = {"confusion.png": confusion_figure(panels), "reliability.png": reliability_figure(panels)}
    tops = [(title, metrics.top) for title, metrics in panels if metrics.top]
    if tops:
        figures["confusion_top.png"] = confusion_figure(tops)
    return write(figures, out)


def write(figures: dict[str, Figure], out: Path) -> tuple[str, ...]:
    """Write each figure as PNG under `out`; returns their file names."""
    out.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        (out / name).write_bytes(png(figure))
    return tuple(figures)


def _draw_confusion(axes: Axes, title: str, level: Level, colours: Palette) -> None:
    counts = np.array(level.confusion, dtype=float).reshape(len(level.label_names), -1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(_shades(shares, colours), aspect="equal")
    _draw_grid(axes, level.label_names, colours)
    if len(level.label_names) <= _COUNTS_UP_TO:
        write_cells(axes, counts, shares, colours)
        _write_margins(axes, level.labels, colours)
    names = level.label_names if len(level.label_names) <= _NAMES_UP_TO else ()
    size = 9 if len(level.label_names) <= _COUNTS_UP_TO else 4
    axes.set_xticks(
        range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", color=colours.ink, fontsize=size, parse_math=False
    )
    axes.set_yticks(range(len(names)), names, color=colours.ink, fontsize=size, parse_math=False)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted label", color=colours.faint)
    axes.set_ylabel("true label", color=colours.faint)
    heading = f"{title}: accuracy {level.accuracy:.1%}, macro-F1 {level.macro_f1:.1%}"
    axes.set_title(heading, loc="left", color=colours.ink, fontweight="bold", pad=36, fontsize=11)


def _shades(shares: NDArray[np.float64], colours: Palette) -> NDArray[np.float64]:
    """Right answers in one hue, wrong ones in the other; the root makes small shares of mistakes visible."""
    wrong = LinearSegmentedColormap.from_list("wrong", colours.wrong)(np.sqrt(shares))
    right = LinearSegmentedColormap.from_list("right", colours.right)(shares)
    diagonal = np.eye(len(shares), dtype=bool)[:, :, None]
    return np.where(diagonal, right, wrong)


def _draw_grid(axes: Axes, names: Sequence[str], colours: Palette) -> None:
    """Thin gaps between cells, and lines between first-level labels."""
    axes.spines[:].set_visible(False)
    if len(names) > _COUNTS_UP_TO:
        return
    axes.set_xticks(np.arange(1, len(names)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(names)) - 0.5, minor=True)
    axes.grid(which="minor", color=colours.paper, linewidth=2.5)
    axes.tick_params(which="minor", length=0)
    tops = [name.split("/", 1)[0] for name in names]
    if len(set(tops)) < len(tops):
        for i in range(1, len(tops)):
            if tops[i] != tops[i - 1]:
                axes.axhline(i - 0.5, color=colours.faint, linewidth=0.7, alpha=0.6)
                axes.axvline(i - 0.5, color=colours.faint, linewidth=0.7, alpha=0.6)


def write_cells(axes: Axes, counts: NDArray[np.float64], shares: NDArray[np.float64], colours: Palette) -> None:
    """Count and share in each cell of a matrix; both are (labels, labels)."""
    for (i, j), count in np.ndenumerate(counts):
        if not count:
            axes.text(j, i, "·", ha="center", va="center", color=colours.faint, fontsize=8)
            continue
        strength = shares[i, j] if i == j else np.sqrt(shares[i, j])
        colour = colours.on_strong if strength > 0.6 else colours.ink
        axes.text(j, i - 0.13, f"{int(count):,}", ha="center", va="center", color=colour, fontsize=10.5, fontweight="bold")
        axes.text(j, i + 0.23, f"{shares[i, j]:.0%}", ha="center", va="center", color=colour, fontsize=7.5)


def _write_margins(axes: Axes, labels: Sequence[LabelMetrics], colours: Palette) -> None:
    """Right: what became of each true label. Top: how far each predicted label can be trusted."""
    edge = len(labels) - 0.4
    for i, one in enumerate(labels):
        axes.text(edge, i - 0.15, f"TP {one.true_positives}   FN {one.false_negatives}", va="center", color=colours.ink, fontsize=8.5)
        axes.text(edge, i + 0.2, f"recall {one.recall:.0%}", va="center", color=colours.faint, fontsize=7.5)
        axes.text(i, -0.86, f"FP {one.false_positives}", ha="center", color=colours.ink, fontsize=8.5)
        axes.text(i, -0.6, f"prec {one.precision:.0%}", ha="center", color=colours.faint, fontsize=6.8)


def dress(axes: Axes, colours: Palette, x: str, y: str) -> None:
    """Give plain axes the colours of the theme, a grid and their names."""
    axes.set_facecolor(colours.paper)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(colours.line)
    axes.tick_params(colors=colours.faint, labelsize=8.5)
    axes.grid(color=colours.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(x, color=colours.faint, fontsize=9)
    axes.set_ylabel(y, color=colours.faint, fontsize=9)


def legend(axes: Axes, colours: Palette, title: str) -> None:
    """The title at the left above the axes, and the legend at the right, where no line can cross it."""
    axes.set_title(title, loc="left", color=colours.ink, fontweight="bold", fontsize=10)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=3,
        frameon=False,
        labelcolor=colours.ink,
        fontsize=8,
        handlelength=1.4,
        columnspacing=1,
    )
