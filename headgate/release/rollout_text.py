"""How a rollout under way reads: step, weights, what was seen against the limits, time left, and why. Pure."""

from datetime import datetime

from headgate.release.rollout import Action, Finding, Situation
from headgate.settings import Stage

COLUMNS = ("metric", "challenger", "champion", "allowed", "evidence", "verdict")
STEPS = {
    "deploy": "is deployed",
    "test": "endpoint test",
    "shift": "traffic moves",
    "promote": "is promoted",
    "finish": "is champion",
    "roll_back": "goes back",
    "warn": "watched",
    "wait": "watched",
}


def headline(stage: Stage, now: Situation, action: Action, clock: datetime) -> str:
    """One line: which step, both weights, how much time is left."""
    share = f"challenger {now.challenger_percent}%, champion {100 - now.challenger_percent}%"
    return f"release {now.release[:12]} in {stage.environment}: {STEPS[action.kind]}; {share}{_left(stage, now, clock)}"


def text_lines(stage: Stage, now: Situation, action: Action, clock: datetime) -> list[str]:
    """For a terminal: the headline, why, and a table of the metrics."""
    rows = [COLUMNS, *(_row(one) for one in now.analysis.findings)] if now.analysis.findings else []
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))] if rows else []
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [headline(stage, now, action, clock), f"why: {action.reason}", *table]


def markdown(stage: Stage, now: Situation, action: Action, clock: datetime) -> str:
    """For Prefect's page."""
    lines = [f"**{headline(stage, now, action, clock)}**", "", f"Why: {action.reason}", ""]
    if now.analysis.findings:
        rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(_row(one) for one in now.analysis.findings)]
        lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join([*lines, "", f"{clock:%Y-%m-%d %H:%M:%S} UTC"])


def _row(one: Finding) -> tuple[str, ...]:
    return one.metric, one.value(one.challenger), one.value(one.champion), one.allowed, one.odds, one.verdict


def _left(stage: Stage, now: Situation, clock: datetime) -> str:
    """Until this share has been watched long enough, and until it is given up."""
    shares, since = stage.traffic_routing.shares, now.shifted_at
    if since is None or now.challenger_percent not in shares:
        return ""
    elapsed = (clock - since).total_seconds()
    last = now.challenger_percent == shares[-1]
    wanted = stage.traffic_routing.wait_interval_s + (stage.bake_time_s if last else 0)
    left, most = max(wanted - elapsed, 0.0), max(stage.auto_rollback.max_duration_s - elapsed, 0.0)
    return f"; {left:.0f} s left of {wanted:g} s, at most {most:.0f} s"
