"""Trends of production by label: shares by the hour or the day as small multiples, drawn without a display."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import ceil

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from headgate.evaluation.pictures import PALETTES, Palette, Theme
from headgate.monitoring.hours import Hour
from headgate.record import Record

MOST_LABELS, ACROSS, BY_HOUR_DAYS = 12, 4, 3
OTHERS = "all others"


class Step(Record):
    """Answers of one hour or day: rows by label, what was held back and skipped, the mean confidence of answers given."""

    at: datetime
    answers: int
    labels: dict[str, int]
    held_back: int
    skipped: int
    confidence: float | None


class Trends(Record):
    """The steps of a span, oldest first, empty ones left out; labels by frequency, the rare ones as one."""

    step_hours: int
    labels: tuple[str, ...]
    steps: tuple[Step, ...]


def trends(hours: Sequence[Hour], release: str) -> Trends:
    """The trends of a release's answers: by the hour up to three days, then by the day. Pure."""
    mine = [hour for hour in hours if hour.release == release and hour.answers]
    long = bool(mine) and mine[-1].hour - mine[0].hour > timedelta(days=BY_HOUR_DAYS)
    groups: dict[datetime, list[Hour]] = {}
    for hour in mine:
        at = hour.hour.astimezone(UTC)
        groups.setdefault(at.replace(hour=0) if long else at, []).append(hour)
    totals: dict[str, int] = {}
    for hour in mine:
        _add(totals, hour.counts.get("label", {}))
    names = sorted(totals, key=lambda name: (-totals[name], name))
    kept = names if len(names) <= MOST_LABELS else [*names[: MOST_LABELS - 1], OTHERS]
    steps = tuple(_step(at, group, set(kept)) for at, group in sorted(groups.items()))
    return Trends(step_hours=24 if long else 1, labels=tuple(kept), steps=steps)


def _step(at: datetime, hours: Sequence[Hour], kept: set[str]) -> Step:
    labels: dict[str, int] = {}
    outcomes: dict[str, int] = {}
    for hour in hours:
        _add(labels, hour.counts.get("label", {}))
        for name, rows in hour.counts.get("outcome", {}).items():
            _add(outcomes, {name.split(":")[0]: rows})
    merged: dict[str, int] = {}
    for name, rows in labels.items():
        _add(merged, {name if name in kept else OTHERS: rows})
    scored = sum(hour.scored for hour in hours)
    return Step(
        at=at,
        answers=sum(hour.answers for hour in hours),
        labels=merged,
        held_back=outcomes.get("abstained", 0),
        skipped=outcomes.get("skipped", 0),
        confidence=sum(hour.score_sum for hour in hours) / scored if scored else None,
    )


def _add(into: dict[str, int], counts: dict[str, int]) -> None:
    for name, rows in counts.items():
        into[name] = into.get(name, 0) + rows


def trends_figure(found: Trends, window: tuple[datetime, datetime], theme: Theme = "light") -> Figure:
    """Answers, confidence, what was held back, and one panel a label; the judged window is shaded."""
    colours = PALETTES[theme]
    panels = _panels(found)
    down = ceil(len(panels) / ACROSS)
    figure = Figure(figsize=(3.1 * ACROSS, 1.75 * down + 0.3), facecolor=colours.paper, layout="constrained")
    axes = figure.subplots(down, ACROSS, squeeze=False, sharex=True).ravel()
    times = [step.at for step in found.steps]
    for number, (one, (title, values, is_share)) in enumerate(zip(axes, panels, strict=False)):
        _draw(one, title, times, values, is_share, window, colours)
        one.tick_params(labelbottom=number + ACROSS >= len(panels))  # where no panel is below
    for one in axes[len(panels) :]:
        one.set_visible(False)
    return figure


def _panels(found: Trends) -> list[tuple[str, NDArray[np.float64], bool]]:
    steps, unit = found.steps, "an hour" if found.step_hours == 1 else "a day"
    answers = np.array([step.answers for step in steps], dtype=float)
    labelled = np.maximum(1, np.array([sum(step.labels.values()) for step in steps], dtype=float))
    first = [
        (f"answers {unit}", answers, False),
        ("mean confidence", np.array([np.nan if step.confidence is None else step.confidence for step in steps]), True),
        ("held back", np.array([step.held_back for step in steps]) / np.maximum(1, answers), True),
        ("skipped", np.array([step.skipped for step in steps]) / np.maximum(1, answers), True),
    ]
    return first + [(name, np.array([step.labels.get(name, 0) for step in steps]) / labelled, True) for name in found.labels]


def _draw(
    axes: Axes,
    title: str,
    times: Sequence[datetime],
    values: NDArray[np.float64],
    is_share: bool,
    window: tuple[datetime, datetime],
    colours: Palette,
) -> None:
    axes.set_facecolor(colours.paper)
    axes.axvspan(*window, color=colours.orange, alpha=0.14, linewidth=0)  # type: ignore[arg-type]  # matplotlib takes times
    axes.plot(times, values, color=colours.blue, linewidth=1.3, marker="o", markersize=2.2)  # type: ignore[arg-type]  # as above
    axes.set_title(title, loc="left", color=colours.ink, fontsize=8.5, fontweight="bold", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(colours.line)
    axes.tick_params(colors=colours.faint, labelsize=7)
    axes.grid(color=colours.line, linewidth=0.6)
    highest = float(np.nanmax(values, initial=0.0, where=~np.isnan(values)))
    axes.set_ylim(0, max(1.15 * highest, 0.05 if is_share else 1.0))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if is_share:
        axes.yaxis.set_major_formatter("{x:.0%}")
    locator = mdates.AutoDateLocator(maxticks=5)  # type: ignore[no-untyped-call]  # matplotlib types it not yet
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # as above
    axes.xaxis.get_offset_text().set(color=colours.faint, size=7)
