"""`headgate status`: what runs, what is live, what waits."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from deployments.processes import Processes
from deployments.target import EndpointStatus
from headgate.data.table import DatasetTable
from headgate.errors import HeadgateError
from headgate.lake import Lake
from headgate.monitoring.watch_records import status_of
from headgate.release.approval import decision_of
from headgate.release.champion import champion
from headgate.release.record import Release, load_release, release_ids
from headgate.release.retraining import newest_decisions
from headgate.release.rollout import ab_test_folder, next_action, steps
from headgate.release.rollout_text import text_lines
from headgate.release.shadow_text import headline
from headgate.settings import LOCAL, ModelSettings, Stage, load_settings
from stack.services import known_addresses
from tasks.places import endpoint_name, target_named, the_lake

OVERDUE_S = 60.0
LEFT_OVER = "the next rollout takes it off"
VERBS = {"approve": "approved", "reject": "rejected"}


def describe(model: str | None) -> list[str]:
    """Lines about the stack, then about each model."""
    settings = load_settings()
    lines = _stack_lines()
    for name in [model] if model else list(settings.models):
        lines += ["", *_model_lines(the_lake(), name, settings.model(name))]
    return lines


def watched(model: str | None) -> Iterator[list[str]]:
    """The same lines again and again, two seconds apart; Ctrl-C ends it."""
    try:
        while True:
            yield describe(model)
            time.sleep(2)
    except KeyboardInterrupt:
        return


def _stack_lines() -> list[str]:
    settings = load_settings()
    states = Processes(settings.home.absolute()).states()
    if not states:
        return ["stack: stopped (start it with `headgate up` or `make run`)"]
    addresses = known_addresses(settings)
    urls = addresses.model_dump() if addresses else {}
    return ["stack:", *(f"  {state.name:<34} {state.state:<9} {urls.get(state.name, '')}".rstrip() for state in states.values())]


def _model_lines(lake: Lake, name: str, settings: ModelSettings) -> list[str]:
    newest = DatasetTable(lake, settings.dataset).latest()
    data = f"data version {newest.version}, {newest.rows} rows" if newest else "no data version yet; `headgate run` makes one"
    lines, releases = [f"model {name}: {data}"], _releases(lake, name)
    for stage in settings.rollout.stages:
        live = champion(lake, name, stage.environment)
        status = _asked(name, stage)
        told = f"release {live.release[:12]} since {live.since:%Y-%m-%d %H:%M}" if live else "no champion yet"
        canary = f", challenger {status.challenger.release[:12]} with {status.split.challenger}%" if status.challenger else ""
        lines.append(
            f"  {stage.environment}: {told}{canary}, {'answers' if status.ready else 'does not answer'} {status.url or ''}".rstrip()
        )
        lines += [f"    {status.detail}"] if status.detail and not status.ready and stage.target != LOCAL else []
        if status.challenger and status.split.shadow:
            lines.append(f"    {shadow_line(lake, name, stage, status)}")
        elif status.challenger:
            lines += [f"    {line}" for line in _rollout_lines(lake, name, stage, status.challenger.release)]
        lines += _ab_test_lines(lake, live.release, stage.environment) if live else []
        lines += _last_ab_test_lines(lake, [one.id for one in releases], live.release if live else None, stage.environment)
    if seen := status_of(lake, name):
        lines.append(f"  {seen}")
    for decision in newest_decisions(lake, name, 1):
        lines.append(f"  retraining: {decision.reason} ({decision.at:%Y-%m-%d %H:%M} UTC; `headgate triggers`)")
    return lines + [_release_line(lake, found) for found in releases]


def _asked(model: str, stage: Stage) -> EndpointStatus:
    """What the endpoint says; one that cannot be asked is told of like one that does not answer."""
    endpoint = endpoint_name(model, stage.environment)
    try:
        return target_named(stage.target).status(endpoint)
    except HeadgateError as fault:
        return EndpointStatus(endpoint=endpoint, detail=str(fault))


def _ab_test_lines(lake: Lake, release: str, environment: str) -> list[str]:
    """Where the pages of the champion's A/B tests are read."""
    pages = [key for key in lake.keys(ab_test_folder(release, environment)) if key.endswith("/index.html")]
    return [f"    A/B test before promotion: {load_settings().gateway_url}/{key}" for key in pages]


def _last_ab_test_lines(lake: Lake, releases: Sequence[str], live: str | None, environment: str) -> list[str]:
    """Where the page of the newest A/B test is read and how it ended, unless it was the champion's: so one without promotion is found."""
    held = [release for release in releases if lake.keys(ab_test_folder(release, environment))]
    found = [(step.at, release, step.concluded) for release in held for step in steps(lake, release) if step.environment == environment]
    told = sorted((at, release, ended.verdict, ended.page) for at, release, ended in found if ended and ended.page)
    return [
        f"    last A/B test, of release {release[:12]} at {at:%Y-%m-%d %H:%M} UTC: {verdict}; {load_settings().gateway_url}/{page}"
        for at, release, verdict, page in told[-1:]
        if release != live
    ]


def _rollout_lines(lake: Lake, model: str, stage: Stage, release: str) -> list[str]:
    """A rollout under way: step, weights, numbers against their limits, time left and why, as the machine sees it now."""
    from tasks.driving import look, stage_steps  # the analysis takes a while to load, and most of the time nothing is under way

    past = stage_steps(lake, release, stage.environment)
    if not past:
        return []
    now = datetime.now(UTC)
    situation = look(target_named(stage.target), endpoint_name(model, stage.environment), stage, release, past, now)
    return text_lines(stage, situation, next_action(stage, situation, now), now)


def shadow_line(lake: Lake, model: str, stage: Stage, status: EndpointStatus) -> str:
    """A shadow under way, as it stands now, or one that nobody watches any more."""
    assert status.challenger is not None
    from headgate.release.shadow import Limits  # as above
    from tasks.mirroring import newest_beginning, report_now

    begun, settings, now = newest_beginning(lake, model, status.challenger.release), load_settings().model(model), datetime.now(UTC)
    if begun is None:
        return f"shadow: {status.challenger.release} begins"
    if (now - begun.at).total_seconds() > settings.rollout.shadow.max_duration_s + OVERDUE_S:
        return f"shadow: {status.challenger.release} since {begun.at:%Y-%m-%d %H:%M} UTC, which no run watches any more; {LEFT_OVER}"
    limits = Limits(settings.rollout.shadow, stage.auto_rollback, settings.load_test)
    return headline(report_now(target_named(stage.target), status, limits, begun, now))


def _releases(lake: Lake, model: str) -> list[Release]:
    found = (load_release(lake, release_id) for release_id in release_ids(lake))
    return sorted((release for release in found if release.model == model), key=lambda release: (release.data_version.version, release.id))


def _release_line(lake: Lake, release: Release) -> str:
    decision = decision_of(lake, release.id)
    asked = (
        f"{VERBS[decision.decision]} by {decision.approver}"
        if decision
        else ("waits for approval" if release.verdict == "passed" else "stopped")
    )
    return f"  release {release.id[:12]}: data version {release.data_version.version}, tests {release.verdict}, {asked}"
