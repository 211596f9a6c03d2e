"""A release goes through the stages on its targets, and back where one of them fails."""

from datetime import UTC, datetime

from prefect.concurrency.sync import concurrency
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from deployments.target import EndpointStatus
from headgate.data.frozen import load_frozen
from headgate.errors import Refused
from headgate.evaluation.endpoint import endpoint_test
from headgate.release.approval import Decision
from headgate.release.audit import append
from headgate.release.binding import require_binding
from headgate.release.champion import Champion, champion, crown
from headgate.release.record import Release
from headgate.release.registry import drop_alias, set_alias
from headgate.release.rollout import Action, Situation
from headgate.release.rollout_text import markdown
from headgate.settings import Stage, load_settings
from tasks.candidates import production
from tasks.driving import Drive, StageEnd
from tasks.live_page import Page
from tasks.once import once_per_run
from tasks.places import endpoint_name, revision_of, target_named, the_lake
from tasks.probing import Probe


@once_per_run("roll out to stage")
def roll_out(release: Release, stage: Stage) -> StageEnd:
    """Deploy, test, canary, bake and promote a release in one environment; the machine decides each step."""
    verify_approval(release)
    with concurrency(f"endpoint-{endpoint_name(release.model, stage.environment)}", occupy=1):
        return drive(release, stage)


def verify_approval(release: Release) -> None:
    """Refused or Stale unless the release's approval binds and is this run's to use; no traffic moves before."""
    lake, settings = the_lake(), load_settings().model(release.model)
    live = champion(lake, release.model, production(settings))
    require_binding(lake, release, settings.approval, live, f"flow-run {flow_run.id or 'by hand'}", datetime.now(UTC))


def drive(release: Release, stage: Stage) -> StageEnd:
    """Take the release through the stage on its target, with probes where it has no traffic, told in the log and in Prefect."""
    target, endpoint, lake = target_named(stage.target), endpoint_name(release.model, stage.environment), the_lake()
    texts = list(load_frozen(lake, load_settings().model(release.model).regression_set)["text"]) if stage.probe_rate_per_s else []
    with Probe(target, endpoint, stage.probe_rate_per_s, texts) as probe:
        return Drive(
            lake=lake,
            target=target,
            endpoint=endpoint,
            release=release,
            stage=stage,
            revision=lambda: revision_of(release.id),
            test=lambda ask: endpoint_test(ask, revision_of(release.id).bundle),
            probe=probe.wait,
            told=Showing(release, stage),
        ).to_the_end()


class Showing:
    """Tells each look: in the log where it is news, and on one page in Prefect a release and environment."""

    def __init__(self, release: Release, stage: Stage) -> None:
        self.stage, self.page = stage, Page(f"rollout-{release.id[:12]}-{stage.environment}", f"Rollout of {release.id[:12]}")
        self.last = ""

    def __call__(self, now: Situation, action: Action) -> None:
        """One look and what follows from it."""
        news = action.kind not in ("wait", self.last)
        if news or action.kind != self.last:
            get_run_logger().info("%s: %s - %s", self.stage.environment, action.kind, action.reason)
        self.last = action.kind
        self.page.write(markdown(self.stage, now, action, datetime.now(UTC)), news)


@once_per_run("undo stages")
def undo_stages(release: Release, done: tuple[Stage, ...], failed: StageEnd) -> str:
    """Put the earlier champion back in the stages that were promoted before one failed, last first; a failure ends the run as refused."""
    lake = the_lake()
    for stage in reversed(done):
        live = champion(lake, release.model, stage.environment)
        if live and live.previous:
            put_back(release.model, stage, "automation:rollout", f"{failed.environment} failed: {failed.reason}")
        else:
            get_run_logger().warning("%s keeps release %s: there was none before it", stage.environment, release.id[:12])
    if failed.verdict == "failed":
        drop_alias(release.model, "challenger", release.registered_version)
    append(
        lake,
        now=datetime.now(UTC),
        who="automation:rollout",
        action="roll_back",
        model=release.model,
        release=release.id,
        environment=failed.environment,
        reason=failed.reason,
    )
    if failed.verdict == "inconclusive":
        return "inconclusive"
    raise Refused(f"release {release.id[:12]} was rolled back in {failed.environment}: {failed.reason}")


def put_back(model: str, stage: Stage, who: str, reason: str, to: str | None = None) -> EndpointStatus:
    """Make an earlier release champion of a stage again: the given one, or the one before."""
    lake = the_lake()
    live = champion(lake, model, stage.environment)
    if live is None or (to is None and not live.previous):
        raise Refused(f"{model} in {stage.environment}: expected an earlier champion to go back to, found none")
    wanted = to or live.previous[0]
    _require_window(model, stage, live, wanted)
    endpoint = endpoint_name(model, stage.environment)
    status = target_named(stage.target).rollback(endpoint, to=revision_of(wanted))
    crown(lake, model, stage.environment, wanted, live.release, datetime.now(UTC))
    append(
        lake, now=datetime.now(UTC), who=who, action="roll_back", model=model, release=wanted, environment=stage.environment, reason=reason
    )
    return status


def _require_window(model: str, stage: Stage, live: Champion, wanted: str) -> None:
    """Refused where the release lies further back than the policy allows without a new rollout."""
    window = load_settings().model(model).rollout.rollback_window_revisions
    if wanted not in (live.release, *live.previous[:window]):
        raise Refused(
            f"{model} in {stage.environment}: release {wanted[:12]} is none of the last {window} champions "
            "(rollout.rollback_window_revisions); `headgate retest` takes it through the gates again"
        )


@once_per_run("align staging")
def align_staging(release: Release) -> None:
    """Staging's champion is production's, ready for the next comparison."""
    target = target_named("local")
    endpoint = endpoint_name(release.model, load_settings().model(release.model).rollout.staging)
    status = target.status(endpoint)
    if status.challenger and status.challenger.bundle_digest == release.bundle_digest:
        target.promote(endpoint, status.challenger.release)


@once_per_run("finish release")
def finish_release(release: Release, decision: Decision) -> str:
    """Let MLflow's aliases mirror production."""
    settings = load_settings().model(release.model)
    set_alias(release.model, "champion", release.registered_version)
    drop_alias(release.model, "challenger", release.registered_version)
    url = target_named("local").status(endpoint_name(release.model, production(settings))).url
    get_run_logger().info("release %s is champion, approved by %s; production answers at %s", release.id[:12], decision.approver, url)
    return "released"
