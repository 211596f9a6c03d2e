"""A release goes through the stages on its targets, and back where one of them fails."""

from datetime import UTC, datetime

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from headgate.data.frozen import load_frozen
from headgate.errors import Refused
from headgate.release.approval import Decision
from headgate.release.audit import append
from headgate.release.binding import require_binding
from headgate.release.champion import champion
from headgate.release.record import Release, load_release
from headgate.release.registry import drop_alias, set_alias
from headgate.release.rollout import Action, Situation
from headgate.release.rollout_text import markdown
from headgate.settings import Stage, load_settings
from tasks.candidates import production
from tasks.driving import Drive, StageEnd
from tasks.gate import mirror_decided
from tasks.live_page import Page
from tasks.once import once_per_run
from tasks.one_at_a_time import alone_at
from tasks.places import endpoint_name, local_target, revision_of, target_named, the_lake
from tasks.probing import Probe
from tasks.putting_back import each_goes_back, put_back
from tasks.verifying import deployed_faults


@once_per_run("roll out to stage")
def roll_out(release: Release, stage: Stage) -> StageEnd:
    """Deploy, test, canary, bake and promote a release in one environment; the machine decides each step."""
    verify_approval(release)
    with alone_at(endpoint_name(release.model, stage.environment)):
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
            test=lambda ask: deployed_faults(target, endpoint, release, ask),
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
        self.page.write(markdown(self.stage, now, action, datetime.now(UTC), load_settings().gateway_url), news)


@once_per_run("undo stages")
def undo_stages(release: Release, done: tuple[Stage, ...], failed: StageEnd) -> str:
    """Put the earlier champion back in the stages that were promoted before one failed, last first; a failure ends the run as refused."""
    lake = the_lake()
    faults = each_goes_back(reversed(done), lambda stage: _undo(release, stage, f"{failed.environment} failed: {failed.reason}"))
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
    if faults:
        raise Refused("; ".join((f"release {release.id[:12]} was rolled back in {failed.environment}: {failed.reason}", *faults)))
    if failed.verdict == "inconclusive":
        return "inconclusive"
    raise Refused(f"release {release.id[:12]} was rolled back in {failed.environment}: {failed.reason}")


def _undo(release: Release, stage: Stage, reason: str) -> None:
    """Put back whoever was champion before the release. Repeated after a kill it finds that one champion already, and proves it."""
    live = champion(the_lake(), release.model, stage.environment)
    before = [name for name in (live.release, *live.previous) if name != release.id] if live else []
    if not before:
        get_run_logger().warning("%s keeps release %s: there was none before it", stage.environment, release.id[:12])
        return
    proof = put_back(stage, load_release(the_lake(), before[0]), "automation:rollout", reason)
    get_run_logger().info("%s: release %s is champion again; %s", stage.environment, before[0][:12], proof)


@once_per_run("align staging")
def align_staging(release: Release) -> None:
    """Staging's champion is production's, ready for the next comparison."""
    target = local_target()
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
    mirror_decided(release, decision)
    url = target_named(settings.rollout.stages[-1].target).status(endpoint_name(release.model, production(settings))).url
    get_run_logger().info("release %s is champion, approved by %s; production answers at %s", release.id[:12], decision.approver, url)
    return "released"
