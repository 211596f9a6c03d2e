"""The picture of a shadow, light and dark: what champion and candidate said to the same texts. PNG, drawn without a display."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from headgate.evaluation.pictures import PALETTES, Palette, Theme, write_cells
from headgate.release.shadow_report import ShadowReport

WRITTEN_UP_TO, NAMES_UP_TO = 25, 80


def matrix_figure(shadow: ShadowReport, theme: Theme = "light") -> Figure:
    """Texts by the champion's label (rows) and the candidate's (columns), with row shares; agreement is on the diagonal.

    Right of each row: the share of the champion's answers with this label that the candidate gave too. Above each column: the share of
    the candidate's that the champion gave too.
    """
    colours, names = PALETTES[theme], shadow.labels
    side = max(2.0, len(names) * (0.56 if len(names) <= WRITTEN_UP_TO else 0.1))
    longest = max(map(len, names), default=0) if len(names) <= NAMES_UP_TO else 0
    left, right, above, below = 0.085 * longest + 0.5, 1.1, 0.9, 0.06 * longest + 0.6
    width, height = left + side + right, above + side + below
    figure = Figure(figsize=(width, height), facecolor=colours.paper)
    axes = figure.add_axes((left / width, below / height, side / width, side / height))
    _draw(axes, shadow, np.array(shadow.matrix, dtype=float).reshape(len(names), len(names)), colours)
    return figure


def _draw(axes: Axes, shadow: ShadowReport, counts: NDArray[np.float64], colours: Palette) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    agreed = LinearSegmentedColormap.from_list("agreed", colours.right)(shares)
    other = LinearSegmentedColormap.from_list("other", colours.wrong)(np.sqrt(shares))  # the root makes small shares visible
    axes.imshow(np.where(np.eye(len(counts), dtype=bool)[:, :, None], agreed, other), aspect="equal")
    axes.spines[:].set_visible(False)
    names, written = shadow.labels if len(shadow.labels) <= NAMES_UP_TO else (), len(shadow.labels) <= WRITTEN_UP_TO
    size = 9 if written else 4
    axes.set_xticks(
        range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", color=colours.ink, fontsize=size, parse_math=False
    )
    axes.set_yticks(range(len(names)), names, color=colours.ink, fontsize=size, parse_math=False)
    axes.tick_params(length=0)
    axes.set_xlabel("candidate's answer", color=colours.faint)
    axes.set_ylabel("champion's answer", color=colours.faint)
    axes.set_title(
        f"Same requests: {shadow.agreement or 0:.1%} agree",
        loc="left",
        color=colours.ink,
        fontweight="bold",
        pad=26 if written else 8,
        fontsize=11,
    )
    if written:
        _write(axes, counts, shares, colours)


def _write(axes: Axes, counts: NDArray[np.float64], shares: NDArray[np.float64], colours: Palette) -> None:
    write_cells(axes, counts, shares, colours)
    for i, (row, column) in enumerate(zip(counts, counts.T, strict=True)):
        if row.sum():
            axes.text(len(counts) - 0.4, i, f"{row[i] / row.sum():.0%} agree", va="center", color=colours.faint, fontsize=8)
        if column.sum():
            axes.text(i, -0.62, f"{column[i] / column.sum():.0%}", ha="center", color=colours.faint, fontsize=7.5)
