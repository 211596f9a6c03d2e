"""The picture of a calibration: how often each gate stopped each planted regression, and what more rows would show."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, ScalarFormatter

from headgate.evaluation.calibration_report import Calibration, Planted, Rate, RowsNeeded
from headgate.evaluation.calibration_text import ALL_GATES, columns_of, gate_in_words, rates_by_column
from headgate.evaluation.pictures import PALETTES, Palette, Theme

_ROW, _COLUMN, _NAMES = 0.36, 1.05, 2.9


def calibration_figure(found: Calibration, theme: Theme = "light") -> Figure:
    """Stopped shares as a coloured table, quality before load; below it false stops and misses by rows of a label, where measured."""
    colours = PALETTES[theme]
    tables = [("quality", found.at_recommended or found.at_present), ("load", found.load)]
    tables = [(kind, rows) for kind, rows in tables if rows]
    heights = [_ROW * len(rows) + 1.6 for _, rows in tables] + ([3.0] if found.rows_needed else [])
    width = _NAMES + _COLUMN * max(len(columns_of(rows)) for _, rows in tables) + 0.3
    figure = Figure(figsize=(width, sum(heights)), facecolor=colours.paper)
    top = sum(heights)
    for (kind, rows), height in zip(tables, heights, strict=False):
        columns = len(columns_of(rows))
        place = (_NAMES / width, (top - height + 0.3) / sum(heights), _COLUMN * columns / width, _ROW * len(rows) / sum(heights))
        _draw_table(figure.add_axes(place), rows, f"Stopped by each gate, % of trials: {kind}", colours)
        top -= height
    if found.rows_needed:
        place = ((_NAMES - 1.2) / width, 0.62 / sum(heights), (width - _NAMES + 0.6) / width, 1.75 / sum(heights))
        _draw_sizes(figure.add_axes(place), found.rows_needed, found.wanted_false_stops, colours)
    return figure


def _draw_table(axes: Axes, rows: Sequence[Planted], title: str, colours: Palette) -> None:
    columns = columns_of(rows)
    shares = np.array([[rates_by_column(row)[column].share for column in columns] for row in rows])
    right, wrong = (LinearSegmentedColormap.from_list(name, list(getattr(colours, name))) for name in ("right", "wrong"))
    shades = np.array([[(wrong if row.equal else right)(share) for share in line] for row, line in zip(rows, shares, strict=True)])
    axes.imshow(shades, aspect="auto")
    for (i, j), share in np.ndenumerate(shares):
        bold = "bold" if columns[j] == ALL_GATES else "normal"
        ink = colours.on_strong if share > 0.6 else colours.ink
        axes.text(j, i, _percent(float(share)), ha="center", va="center", color=ink, fontsize=8.5, fontweight=bold)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8.5, color=colours.ink)
    axes.set_xticks(range(len(columns)), [_wrapped(column) for column in columns], fontsize=7.5, color=colours.ink)
    axes.tick_params(length=0, labelbottom=False, labeltop=True)
    axes.set_title(
        title, loc="left", x=-(_NAMES - 0.15) / (_COLUMN * len(columns)), pad=38, color=colours.ink, fontsize=10.5, fontweight="bold"
    )
    axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=colours.paper, linewidth=2)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_sizes(axes: Axes, sizes: Sequence[RowsNeeded], wanted: float, colours: Palette) -> None:
    x = [one.rows_per_label for one in sizes]
    missed = [_complement(one.flips_stopped) for one in sizes]
    _line(axes, x, missed, colours.orange, "s", "20% of one label flipped, missed")
    _line(axes, x, [one.false_stops for one in sizes], colours.blue, "o", "equally good models, stopped")
    axes.axhline(wanted, color=colours.faint, linestyle=(0, (4, 4)), linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(x))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.set_ylim(-0.03, 1.03)
    axes.set_facecolor(colours.paper)
    axes.set_xlabel("rows of a label in the regression set (middle label)", color=colours.faint, fontsize=8.5)
    axes.tick_params(colors=colours.faint, labelsize=8.5)
    axes.grid(color=colours.line, linewidth=0.8)
    for spine in axes.spines.values():
        spine.set_color(colours.line)
    legend = axes.legend(loc="upper right", frameon=False, fontsize=8.5, labelcolor=colours.ink)
    legend.set_zorder(5)
    axes.set_title("What more rows would show", loc="left", color=colours.ink, fontsize=10.5, fontweight="bold")


def _line(axes: Axes, x: Sequence[int], rates: Sequence[Rate], colour: str, marker: str, label: str) -> None:
    middle = np.array([one.share for one in rates])
    spread: Any = np.abs(np.array([[one.low, one.high] for one in rates]).T - middle)
    axes.errorbar(x, middle, yerr=spread, color=colour, marker=marker, linewidth=1.6, capsize=3, label=label)


def _complement(rate: Rate) -> Rate:
    return Rate(stopped=rate.trials - rate.stopped, trials=rate.trials, share=1 - rate.share, low=1 - rate.high, high=1 - rate.low)


def _wrapped(column: str) -> str:
    return textwrap.fill(gate_in_words(column), 15, break_long_words=False)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share in (0, 1) or share >= 0.1 else f"{100 * share:.1f}"
