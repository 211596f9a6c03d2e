"""How a rollout under way reads: step, weights, what was seen against the limits, time left, and why. Pure."""

from datetime import datetime

from headgate.release.rollout import Action, Finding, Situation
from headgate.settings import Stage

COLUMNS = ("metric", "challenger", "champion", "allowed", "evidence", "verdict")
STEPS = {
    "deploy": "is deployed",
    "test": "endpoint test",
    "submit": "the target begins to shift",
    "shift": "traffic moves",
    "hold": "the A/B test begins",
    "report": "the A/B test is reported",
    "promote": "is promoted",
    "finish": "is champion",
    "roll_back": "goes back",
    "warn": "watched",
    "wait": "watched",
}


def headline(stage: Stage, now: Situation, action: Action, clock: datetime) -> str:
    """One line: which step, both weights, how much time is left."""
    share = f"challenger {now.challenger_percent}%, champion {100 - now.challenger_percent}%"
    step = "A/B test" if now.holding and action.kind in ("wait", "warn") else STEPS[action.kind]
    return f"release {now.release[:12]} in {stage.environment}: {step}; {share}{_left(stage, now, clock)}"


def text_lines(stage: Stage, now: Situation, action: Action, clock: datetime) -> list[str]:
    """For a terminal: the headline, why, and a table of the metrics."""
    rows = [COLUMNS, *(_row(one) for one in now.analysis.findings)] if now.analysis.findings else []
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))] if rows else []
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [headline(stage, now, action, clock), f"why: {action.reason}", *_ab_lines(stage, now), *table]


def markdown(stage: Stage, now: Situation, action: Action, clock: datetime, pages: str = "") -> str:
    """For Prefect's page; `pages` is the address under which the lake's pages are read."""
    lines = [f"**{headline(stage, now, action, clock)}**", "", f"Why: {action.reason}", ""]
    lines += [f"{told}\n" for told in _ab_lines(stage, now)]
    if now.concluded and now.concluded.page and pages:
        lines += [f"[Open the A/B test's page]({pages}/{now.concluded.page})", ""]
    if now.analysis.findings:
        rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(_row(one) for one in now.analysis.findings)]
        lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join([*lines, "", f"{clock:%Y-%m-%d %H:%M:%S} UTC"])


def _row(one: Finding) -> tuple[str, ...]:
    return one.metric, one.value(one.challenger), one.value(one.champion), one.allowed, one.odds, one.verdict


def _ab_lines(stage: Stage, now: Situation) -> list[str]:
    """What is known of the A/B test: its end, or that its numbers are not looked at before."""
    if now.concluded:
        return [f"A/B test: {now.concluded.told}" + (f"; page {now.concluded.page}" if now.concluded.page else "")]
    if now.holding and stage.ab_test:
        return [
            f"A/B test: its statistics are looked at once, after {stage.ab_test.hold_s:g} s; below are the limits that can end it before"
        ]
    return []


def _left(stage: Stage, now: Situation, clock: datetime) -> str:
    """Until this share has been watched long enough, and until it is given up."""
    shares, since = stage.traffic_routing.shares, now.shifted_at
    if since is None:
        return ""
    elapsed = (clock - since).total_seconds()
    if now.holding and stage.ab_test:
        wanted = stage.ab_test.hold_s
        return _told(wanted - elapsed, wanted, wanted + stage.auto_rollback.max_duration_s - elapsed)
    if now.challenger_percent not in shares:
        return ""
    last = now.challenger_percent == shares[-1]
    wanted = stage.traffic_routing.wait_interval_s + (stage.bake_time_s if last else 0)
    return _told(wanted - elapsed, wanted, stage.auto_rollback.max_duration_s - elapsed)


def _told(left: float, wanted: float, most: float) -> str:
    return f"; {max(left, 0.0):.0f} s left of {wanted:g} s, at most {max(most, 0.0):.0f} s"
