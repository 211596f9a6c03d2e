"""The end of an A/B test: its report is made, kept and audited. Knows no Prefect; each step can be repeated."""

from datetime import datetime, timedelta

from deployments.target import Target
from headgate.errors import Terminal
from headgate.lake import Lake
from headgate.release.ab_test_counts import count
from headgate.release.ab_test_page import keep_report
from headgate.release.ab_test_report import ab_report
from headgate.release.audit import append
from headgate.release.record import Release
from headgate.release.rollout import Concluded
from headgate.settings import ABTest, Stage


def conclude(lake: Lake, target: Target, endpoint: str, release: Release, stage: Stage, since: datetime, now: datetime) -> Concluded:
    """Report on exactly the hold's time from since on, write the page and the audit entry, and say how it ended.

    A report that cannot be made decides nothing where the policy asks for numbers only, and is inconclusive where it decides.
    """
    assert stage.ab_test is not None
    try:
        ended = _reported(lake, target, endpoint, release, stage, stage.ab_test, since)
    except Terminal as fault:
        verdict = "informs" if stage.ab_test.min_effect is None else "inconclusive"
        ended = Concluded.model_validate({"verdict": verdict, "told": f"no report could be made: {fault}"})
    append(
        lake,
        now=now,
        who="automation:rollout",
        action="ab_test",
        model=release.model,
        release=release.id,
        environment=stage.environment,
        reason=f"{ended.told}; page {ended.page or 'none'}, sha256 {ended.digest or 'none'}",
    )
    return ended


def _reported(lake: Lake, target: Target, endpoint: str, release: Release, stage: Stage, test: ABTest, since: datetime) -> Concluded:
    until = since + timedelta(seconds=test.hold_s)
    live = target.status(endpoint).champion
    counted = count(target.answers(endpoint, since, until))
    champion = live.release if live else None
    return keep_report(lake, ab_report(counted, test, release.model, stage.environment, release.id, champion, since, until))
