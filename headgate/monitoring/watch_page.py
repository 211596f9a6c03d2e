"""The page of a look at production, and the same in a few lines of Markdown."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import headgate.evaluation
from headgate.evaluation.pictures import png
from headgate.lake import Lake
from headgate.monitoring.alarms import slice_words
from headgate.monitoring.calibrated_drift import Drift
from headgate.monitoring.drift import Shift
from headgate.monitoring.estimated_accuracy import Corrected, Estimate
from headgate.monitoring.history import Measurement
from headgate.monitoring.traffic import Traffic
from headgate.monitoring.trends import Trends, trends_figure
from headgate.monitoring.watch_records import keep_status, page_key, replace
from headgate.settings import Watch

MEASUREMENTS = 15


def render(traffic: Traffic, found: Trends, reasons: Mapping[str, str], measurements: Sequence[Measurement], watch: Watch) -> str:
    """The page as HTML; it shows counts and shares, never a text, and asks for nothing outside itself."""
    window = traffic.start, traffic.end
    light, dark = (
        (base64.b64encode(png(trends_figure(found, window, theme))).decode() if found.steps else "") for theme in ("light", "dark")
    )
    return (
        _environment()
        .get_template("watch_page.html")
        .render(
            t=traffic,
            reasons=reasons,
            watch=watch,
            light=light,
            dark=dark,
            measurements=list(reversed(measurements[-MEASUREMENTS:])),
            style=Markup((Path(headgate.evaluation.__file__).parent / "evidence.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        )
    )


def keep_page(lake: Lake, traffic: Traffic, page: str) -> None:
    """Keep the page under its window's end, the first of a window, and as the newest."""
    data = page.encode()
    lake.put_if_absent(f"watching/{traffic.model}/report/{traffic.end:%Y%m%dT%H}.html", data)
    replace(lake, page_key(traffic.model), data)


def keep_newest(lake: Lake, traffic: Traffic, reasons: Mapping[str, str]) -> None:
    """Keep what the newest look found."""
    replace(lake, f"watching/{traffic.model}/newest.json", traffic.to_bytes())
    keep_status(lake, traffic.model, status_line(traffic, reasons))


def summary(traffic: Traffic, reasons: Mapping[str, str], url: str) -> str:
    """Markdown for the Prefect UI."""
    lines = [
        f"Release {traffic.release[:12]}, window {_time(traffic.start)} to {_time(traffic.end)} UTC, {traffic.answers} answers.",
        f"[Page]({url})",
        "",
        *(f"* **{name}**: {words}" for name, words in reasons.items()),
        *([] if reasons else ["* no alarm" if traffic.drifts else "* nothing could be judged yet"]),
        f"* estimated accuracy {_estimate(traffic.estimate)}, before {_estimate(traffic.estimate_before)}",
        f"* corrections: {_corrections(traffic.corrected)}",
        "",
    ]
    if traffic.drifts:
        lines += ["| column | drifted | PSI | distance | by chance at most | p |", "|---|---|---|---|---|---|"]
        lines += [_markdown_row(drift) for drift in traffic.drifts]
    return "\n".join([*lines, "", *(f"* not judged: {name}: {why}" for name, why in traffic.not_judged.items())])


def _markdown_row(drift: Drift) -> str:
    psi = f"{drift.shift.psi:.3f}" if drift.shift else ""
    found = (drift.column, "yes" if drift.drifted else "no", psi, f"{drift.distance:.3g}", f"{drift.chance:.3g}", f"{drift.p:.2g}")
    return f"| {' | '.join(found)} |"


def status_line(traffic: Traffic, reasons: Mapping[str, str]) -> str:
    """One line for `headgate status`."""
    state = f"ALARM ({', '.join(reasons)})" if reasons else ("as before" if traffic.drifts else "not judged yet")
    told = f", estimated accuracy {traffic.estimate.accuracy:.1%}" if traffic.estimate else ""
    return f"traffic up to {_time(traffic.end)} UTC: {state}, {traffic.answers} answers{told}"


@cache
def _environment() -> Environment:
    made = Environment(loader=PackageLoader("headgate.monitoring", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    made.globals |= {"time": _time, "estimate": _estimate, "corrections": _corrections, "grown": _grown, "number": _number}
    return made


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def _estimate(found: Estimate | None) -> str:
    return f"{found.accuracy:.1%} ({found.low:.1%} to {found.high:.1%}, n = {found.answers})" if found else "no answers"


def _corrections(found: Corrected | None) -> str:
    if not found or not found.told:
        return "none"
    low, high = found.interval
    return (
        f"{found.share_confirmed:.0%} confirmed ({low:.0%} to {high:.0%}, n = {found.told} by {found.people} user(s)); "
        f"accuracy at most {found.at_most:.1%} of {found.answers}"
    )


def _grown(drift: Drift) -> str:
    return f"{slice_words(drift)}: {drift.grown.before:.1%} to {drift.grown.now:.1%}" if drift.grown else ""


def _number(shift: Shift, value: float) -> str:
    return f"{value:.1%}" if shift.grown else f"{value:.0f}"
