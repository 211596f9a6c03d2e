"""Pictures of a load test, light and dark: candidate in blue, champion in orange. PNG, drawn without a display."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from headgate.evaluation.load_report import LoadReport, LoadSide, LoadStep
from headgate.evaluation.pictures import PALETTES, Palette, Theme, dress, legend, write

SIZE = (6.4, 3.4)


def latency_figure(load: LoadReport, theme: Theme = "light") -> Figure:
    """Histogram of the latencies with the cache off, and below it the share of requests that took longer; p50, p95 and p99 marked."""
    colours = PALETTES[theme]
    figure = Figure(figsize=(6.4, 4.6), facecolor=colours.paper)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1), gridspec_kw={"hspace": 0.12})
    for side in _uncached(load):
        _draw_histogram(above, side, _colour(side.role, colours))
        _draw_tail(below, side, _colour(side.role, colours))
    for axes in (above, below):
        axes.set_xscale("log")
        _plain_numbers(axes)
    dress(above, colours, "", "requests")
    above.tick_params(labelbottom=False)
    dress(below, colours, "latency from the intended start, ms", "share that took longer")
    below.set_yscale("log")
    below.set_ylim(top=1.3)
    below.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    below.legend(loc="lower left", frameon=False, labelcolor=colours.ink, fontsize=8, handlelength=1.4)  # always under the falling line
    legend(above, colours, "Latency, cache off")
    return figure


def timeline_figure(load: LoadReport, theme: Theme = "light") -> Figure:
    """Median and p95 through the test with the cache off, with the seconds that had errors marked."""
    colours = PALETTES[theme]
    figure = Figure(figsize=SIZE, facecolor=colours.paper)
    axes = figure.subplots()
    for side in _uncached(load):
        _draw_timeline(axes, side, _colour(side.role, colours))
    bad = [one for side in _uncached(load) for one in side.seconds if one.errors]
    if bad:
        axes.scatter([one.second for one in bad], [one.p95_ms for one in bad], color=colours.ink, marker="x", zorder=4, label="errors")
    dress(axes, colours, "seconds since the warm-up", "ms: median, and p95 dashed")
    axes.set_ylim(bottom=0)
    legend(axes, colours, "Latency by second")
    return figure


def stairs_figure(load: LoadReport, theme: Theme = "light") -> Figure:
    """Asked rate against good answers a second, and against p95: hollow marks are steps that were not sustained."""
    colours = PALETTES[theme]
    figure = Figure(figsize=(6.4, 4.6), facecolor=colours.paper)
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.12})
    rates = [step.rate_per_s for step in load.stairs]
    ends = [min(rates), max(rates)]
    above.plot(ends, ends, color=colours.faint, linestyle=(0, (4, 4)), linewidth=1, label="as asked")
    for role in reversed(load.saturation_per_s):  # the candidate lies on top, and its marks are smaller
        steps = sorted((step for step in load.stairs if step.role == role), key=lambda step: step.rate_per_s)
        _draw_steps(above, steps, [step.achieved_rate_per_s for step in steps], _colour(role, colours), colours, role)
        _draw_steps(below, steps, [step.p95_ms for step in steps], _colour(role, colours), colours, role)
    for axes in (above, below):
        axes.set_xscale("log")
        axes.set_yscale("log")
        _plain_numbers(axes)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(_number))
        axes.yaxis.set_minor_formatter(NullFormatter())
    dress(above, colours, "", "good answers a second")
    above.tick_params(labelbottom=False)
    dress(below, colours, "requests a second that were asked for", "p95, ms")
    legend(above, colours, "Rising rate")
    return figure


def draw_load(load: LoadReport, out: Path) -> tuple[str, ...]:
    """Write the pictures of a load test under `out`, in both themes; returns their file names."""
    drawn = {"latency": latency_figure, "latency_timeline": timeline_figure} | ({"stairs": stairs_figure} if load.stairs else {})
    light = {f"{name}.png": figure(load) for name, figure in drawn.items()}
    return write(light | {f"{name}_dark.png": figure(load, "dark") for name, figure in drawn.items()}, out)


def _uncached(load: LoadReport) -> Sequence[LoadSide]:
    return [side for side in load.sides if not side.cache]


def _colour(role: str, colours: Palette) -> str:
    return colours.blue if role == "candidate" else colours.orange


def _draw_histogram(axes: Axes, side: LoadSide, colour: str) -> None:
    edges = [*(one.low_ms for one in side.histogram), side.histogram[-1].high_ms]
    axes.stairs([one.requests for one in side.histogram], edges, color=colour, fill=True, alpha=0.25)
    axes.stairs([one.requests for one in side.histogram], edges, color=colour, linewidth=1.4, label=side.role)


def _draw_tail(axes: Axes, side: LoadSide, colour: str) -> None:
    """From the first bin on; where no request took longer the line ends."""
    counts = np.array([one.requests for one in side.histogram])
    longer = 1 - counts.cumsum() / counts.sum()
    edges = np.array([one.high_ms for one in side.histogram])
    told = f"{side.role}: p50 {_ms(side.p50_ms)}, p95 {_ms(side.p95_ms)}, p99 {_ms(side.p99_ms)} ms"
    axes.plot(edges[longer > 1e-9], longer[longer > 1e-9], color=colour, linewidth=1.6, label=told)
    axes.plot([side.p50_ms, side.p95_ms, side.p99_ms], [0.5, 0.05, 0.01], "o", color=colour, markersize=4.5)


def _draw_timeline(axes: Axes, side: LoadSide, colour: str) -> None:
    x, p50, p95 = ([getattr(one, name) for one in side.seconds] for name in ("second", "p50_ms", "p95_ms"))
    axes.fill_between(x, p50, p95, color=colour, alpha=0.12, linewidth=0)
    axes.plot(x, p95, color=colour, linewidth=1.2, linestyle=(0, (3, 1.5)))
    axes.plot(x, p50, color=colour, linewidth=2, label=side.role)


def _draw_steps(axes: Axes, steps: Sequence[LoadStep], heights: Sequence[float], colour: str, colours: Palette, name: str) -> None:
    """A line with a mark for each step; a height of 0 has no place on the axis."""
    marks = [(step.rate_per_s, max(height, 0.1), step.sustained) for step, height in zip(steps, heights, strict=True)]
    axes.plot([rate for rate, _, _ in marks], [height for _, height, _ in marks], color=colour, linewidth=1.6, label=name)
    size = 26 if name == "candidate" else 60
    for held, face in ((True, colour), (False, colours.paper)):
        x, y = ([mark[i] for mark in marks if mark[2] == held] for i in (0, 1))
        axes.scatter(x, y, s=size, facecolor=face, edgecolor=colour, linewidth=1.6, zorder=3)


def _plain_numbers(axes: Axes) -> None:
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(_number))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)


def _number(value: float, _: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
