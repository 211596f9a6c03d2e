"""The page of an A/B test, in the evidence page's form, and where it lies in the lake."""

import base64
import hashlib
from typing import Any

from markupsafe import Markup

from headgate.evaluation.evidence import beside, environment
from headgate.lake import Lake
from headgate.release.ab_test import ABReport, Compared, Side
from headgate.release.rollout import Concluded, ab_test_folder


def keep_report(lake: Lake, report: ABReport) -> Concluded:
    """Write page and numbers under the release's evidence, named by the page's digest, so that it can be repeated; says how it ended."""
    page = render(report).encode()
    digest = hashlib.sha256(page).hexdigest()
    place = f"{ab_test_folder(report.release, report.environment)}/{digest[:16]}"
    lake.put_if_absent(f"{place}/report.json", report.to_bytes())
    lake.put_if_absent(f"{place}/index.html", page)
    return report.concluded.model_copy(update={"page": f"{place}/index.html", "digest": digest})


def render(report: ABReport) -> str:
    """The page as HTML; it asks for nothing outside itself."""
    script = beside("evidence.js")
    scale = max([0.001, *(max(-one.low, one.high) for one in report.compared)])
    return (
        environment()
        .get_template("ab_test.html")
        .render(
            r=report,
            ended=report.concluded,
            tiles=_tiles(report),
            rows=[_row(one, scale) for one in report.compared],
            style=Markup(beside("evidence.css")),  # noqa: S704  # our own file
            script=Markup(script),  # noqa: S704  # our own file
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _tiles(report: ABReport) -> list[tuple[str, str, str]]:
    """The few numbers at the top: name, value, what stands beside it."""
    ours, theirs = report.requests["challenger"], report.requests["champion"]
    found = [("Requests", f"{ours:,}", f"champion {theirs:,}")]
    wanted = ("right_share", "correction_rate", "error_rate", "abstention_rate", "confidence")
    named = [one for one in report.compared if one.metric in wanted]
    found += [(_words(one.metric), _value(one.challenger), f"champion {_value(one.champion)}") for one in named]
    return [*found, ("Texts of both", f"{report.paired.texts:,}", f"{report.paired.judged:,} with an outcome")]


def _row(one: Compared, scale: float) -> dict[str, Any]:
    """A metric with its drawing; coloured where it is shown to be better or worse."""
    low, high = one.improvement
    look = "up" if one.sign and low > 0 else "down" if one.sign and high < 0 else ""
    return {"one": one, "challenger": _value(one.challenger), "champion": _value(one.champion), "bar": _bar(one, scale), "look": look}


def _bar(one: Compared, scale: float) -> Markup:
    """A drawing from -scale to +scale: the interval, the difference and zero."""
    low, middle, high = (f"{80 + 76 * value / scale:.1f}" for value in (one.low, one.difference, one.high))
    return Markup(
        '<svg class="interval" viewBox="0 0 160 16" role="img" aria-label="{:+.2f} to {:+.2f} points">'
        '<line class="zero" x1="80" x2="80" y1="0" y2="16"/><line class="range" x1="{}" x2="{}" y1="8" y2="8"/>'
        '<circle cx="{}" cy="8" r="3.5"/></svg>'
    ).format(100 * one.low, 100 * one.high, low, high, middle)


def _value(side: Side) -> str:
    return f"{side.value:.3f}" if side.hits is None else f"{side.value:.2%}"


def _words(metric: str) -> str:
    return metric.replace("_", " ").capitalize()
