"""Pictures of a load test, light and dark. PNG, drawn without a display."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from headgate.evaluation.load_report import LoadReport
from headgate.evaluation.pictures import PALETTES, Theme, dress, legend, write


def latency_figure(load: LoadReport, theme: Theme = "light") -> Figure:
    """Histogram of the latencies with the three percentiles."""
    colours = PALETTES[theme]
    figure = Figure(figsize=(6.4, 3.4), facecolor=colours.paper)
    axes = figure.subplots()
    bins = load.candidate.histogram
    widths = [one.high_ms - one.low_ms for one in bins]
    axes.bar([one.low_ms for one in bins], [one.requests for one in bins], width=widths, align="edge", color=colours.blue, alpha=0.85)
    for name, value, style in (
        ("p50", load.candidate.p50_ms, "-"),
        ("p95", load.candidate.p95_ms, "--"),
        ("p99", load.candidate.p99_ms, ":"),
    ):
        axes.axvline(value, color=colours.orange, linestyle=style, linewidth=1.6, label=f"{name} {value:,.0f} ms")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    dress(axes, colours, "latency from the intended start, ms", "requests")
    legend(axes, colours, "Latency")
    return figure


def timeline_figure(load: LoadReport, theme: Theme = "light") -> Figure:
    """Latency second by second, with the seconds that had errors marked."""
    colours = PALETTES[theme]
    figure = Figure(figsize=(6.4, 3.4), facecolor=colours.paper)
    axes = figure.subplots()
    x = [one.second for one in load.candidate.seconds]
    axes.fill_between(
        x, [one.p50_ms for one in load.candidate.seconds], [one.p95_ms for one in load.candidate.seconds], color=colours.blue, alpha=0.18
    )
    axes.plot(x, [one.p95_ms for one in load.candidate.seconds], color=colours.blue, linewidth=1.4, label="p95")
    axes.plot(x, [one.p50_ms for one in load.candidate.seconds], color=colours.blue, linewidth=2.2, label="p50")
    bad = [one for one in load.candidate.seconds if one.errors]
    if bad:
        axes.scatter([one.second for one in bad], [one.p95_ms for one in bad], color=colours.orange, zorder=3, label="errors")
    dress(axes, colours, "seconds since the warm-up", "latency, ms")
    axes.set_ylim(bottom=0)
    legend(axes, colours, "Latency by second")
    return figure


def draw_load(load: LoadReport, out: Path) -> tuple[str, ...]:
    """Write the pictures of a load test under `out`; returns their file names."""
    return write({"latency.png": latency_figure(load), "latency_timeline.png": timeline_figure(load)}, out)
