"""The picture of the traffic over the whole story, light and dark: latency, which release answered, and what failed."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headgate.evaluation.pictures import PALETTES, Palette, Theme, dress, png
from stack.demo.record import ActRecord
from stack.demo.traffic import Request

SLOT_S = 2.0
_SHARES = {"light": ("#1d5fbf", "#0f766e", "#8a5000", "#7a3e9d"), "dark": ("#6ea8fe", "#2dd4bf", "#f0b957", "#c99bf0")}
PIXELS_PER_INCH = 80


def traffic_picture(requests: Sequence[Request], acts: Sequence[ActRecord], names: Sequence[str]) -> dict[str, Any]:
    """Data URIs in both themes, as the evidence page's parts show them."""
    both = {theme: png(traffic_figure(requests, acts, names, theme)) for theme in PALETTES}
    width = int.from_bytes(both["light"][16:20]) * PIXELS_PER_INCH // 150
    uris: dict[str, Any] = {theme: f"data:image/png;base64,{base64.b64encode(picture).decode()}" for theme, picture in both.items()}
    return {"shows": "Latency and share by release of every request", "width": width, **uris}


def traffic_figure(requests: Sequence[Request], acts: Sequence[ActRecord], names: Sequence[str], theme: Theme = "light") -> Figure:
    """Above, each answer's latency with the p95 of every two seconds; below, the share of each release (names in order of their age)."""
    colours = PALETTES[theme]
    begin = acts[0].began.timestamp()
    figure = Figure(figsize=(13.2, 5.6), facecolor=colours.paper)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2), gridspec_kw={"hspace": 0.1})
    times = np.array([request.at - begin for request in requests])
    _latency(above, requests, times, names, theme, colours)
    _shares(below, requests, times, names, theme)
    for axes in (above, below):
        for act in acts:
            axes.axvline(act.began.timestamp() - begin, color=colours.line, linewidth=1, zorder=0)
    for act in acts:
        above.annotate(
            str(act.number + 1),
            (act.began.timestamp() - begin, 1.01),
            xycoords=("data", "axes fraction"),
            color=colours.faint,
            fontsize=9,
        )
    dress(above, colours, "", "ms, logarithmic")
    above.tick_params(labelbottom=False)
    dress(below, colours, "seconds since the first act began (its number is above)", "share of answers")
    above.legend(loc="upper left", frameon=False, labelcolor=colours.ink, fontsize=8, ncols=6, markerscale=3)
    return figure


def _latency(axes: Axes, requests: Sequence[Request], times: Any, names: Sequence[str], theme: Theme, colours: Palette) -> None:
    ms = np.array([request.ms for request in requests])
    for name, colour in zip(names, _cycle(theme, len(names)), strict=True):
        of = np.array([request.release == name and not request.failed for request in requests], dtype=bool)
        axes.scatter(times[of], ms[of], s=2, color=colour, alpha=0.5, linewidths=0, label=f"release {name[:8]}")
    slots, middle = _slots(times)
    p95 = [np.percentile(ms[slot], 95) for slot in slots]
    axes.plot(middle, p95, color=colours.ink, linewidth=1, label=f"p95 of {SLOT_S:g} s")
    bad = np.array([request.failed for request in requests], dtype=bool)
    if bad.any():
        axes.scatter(times[bad], ms[bad], marker="x", s=6, color=colours.orange, label="failed", zorder=5)
    axes.set_yscale("log")


def _shares(axes: Axes, requests: Sequence[Request], times: Any, names: Sequence[str], theme: Theme) -> None:
    slots, middle = _slots(times)
    by = np.array([[np.mean([requests[place].release == name for place in slot]) for name in names] for slot in slots])
    if len(by) and names:
        axes.stackplot(middle, by.T, colors=_cycle(theme, len(names)), alpha=0.85)
    axes.set_ylim(0, 1)


def _slots(times: Any) -> tuple[list[Any], list[float]]:
    """The places of the requests of each slot that has any, and its middle."""
    numbers = (times // SLOT_S).astype(int)
    found = np.unique(numbers)
    return [np.flatnonzero(numbers == one) for one in found], [float(one + 0.5) * SLOT_S for one in found]


def _cycle(theme: Theme, count: int) -> list[str]:
    colours = _SHARES[theme]
    return [colours[place % len(colours)] for place in range(count)]
