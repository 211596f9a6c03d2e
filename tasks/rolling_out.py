"""Drives the rollout machine against a target: look, decide, write the intent, act, write the outcome."""

from datetime import UTC, datetime
from typing import Literal

from prefect.concurrency.sync import concurrency
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from deployments.target import Cohort, EndpointStatus, Split, Target
from headgate.data.frozen import load_frozen
from headgate.errors import Refused
from headgate.evaluation.endpoint import endpoint_test
from headgate.record import Record
from headgate.release.approval import Decision
from headgate.release.audit import append
from headgate.release.binding import require_binding
from headgate.release.champion import champion, crown
from headgate.release.record import Release
from headgate.release.registry import drop_alias, set_alias
from headgate.release.rollout import Action, Situation, Step, next_action, steps, write_step
from headgate.settings import Stage, load_settings
from tasks.candidates import production
from tasks.once import once_per_run
from tasks.places import endpoint_name, revision_of, target_named, the_lake
from tasks.probing import Probe


class StageEnd(Record):
    """How a stage ended, and why."""

    environment: str
    promoted: bool
    reason: str


@once_per_run("roll out to stage")
def roll_out(release: Release, stage: Stage) -> StageEnd:
    """Deploy, test, canary, bake and promote a release in one environment; the machine decides each step."""
    verify_approval(release)
    with concurrency(f"endpoint-{endpoint_name(release.model, stage.environment)}", occupy=1):
        return Drive(release, stage).to_the_end()


def verify_approval(release: Release) -> None:
    """Refused or Stale unless the release's approval binds and is this run's to use; no traffic moves before."""
    lake, settings = the_lake(), load_settings().model(release.model)
    live = champion(lake, release.model, production(settings))
    require_binding(lake, release, settings.approval, live, f"flow-run {flow_run.id or 'by hand'}", datetime.now(UTC))


class Drive:
    """One stage of one release under way. All that must survive a kill is in the target and in the recorded steps."""

    def __init__(self, release: Release, stage: Stage) -> None:
        self.release, self.stage = release, stage
        self.endpoint = endpoint_name(release.model, stage.environment)
        self.target: Target = target_named(stage.target)
        self.lake = the_lake()
        self.probe = Probe(self.target, self.endpoint, stage, self._texts())

    def to_the_end(self) -> StageEnd:
        """Act until the release is champion here, or gone."""
        while True:
            situation = self.look()
            action = next_action(self.stage, situation, datetime.now(UTC))
            if action.kind == "wait":
                get_run_logger().info("%s: %s", self.stage.environment, action.reason)
                self.probe.send_for(action.wait_s)
                continue
            self.act(action)
            if action.kind in ("finish", "roll_back"):
                return StageEnd(environment=self.stage.environment, promoted=action.kind == "finish", reason=action.reason)

    def look(self) -> Situation:
        """The situation from the target's real state and the steps so far."""
        status, past = self.target.status(self.endpoint), self._past()
        shifted = [step.at for step in past if step.action.kind == "shift" and step.phase == "outcome"]
        tested = [step.detail for step in past if step.action.kind == "test" and step.phase == "outcome"]
        condemned = [step.action.reason for step in past if step.action.kind == "roll_back"]
        requests, errors = self._answers(shifted[-1]) if shifted else (0, 0)
        return Situation(
            release=self.release.id,
            champion=status.champion.release if status.champion else None,
            challenger=status.challenger.release if status.challenger else None,
            challenger_percent=status.split.challenger,
            faults=tested[-1] if tested else None,
            canary_since=shifted[-1] if shifted else None,
            requests=requests,
            errors=errors,
            condemned=condemned[-1] if condemned else None,
        )

    def act(self, action: Action) -> None:
        """Intent, act, outcome; each act can be repeated."""
        get_run_logger().info("%s: %s - %s", self.stage.environment, action.kind, action.reason)
        self._write(action, "intent", ())
        self._write(action, "outcome", self._perform(action))

    def _perform(self, action: Action) -> tuple[str, ...]:
        match action.kind:
            case "deploy":
                self.target.deploy(self.endpoint, revision_of(self.release.id))
            case "test":
                return self._test()
            case "shift":
                self.target.set_split(self.endpoint, Split(champion=100 - action.percent, challenger=action.percent))
            case "promote":
                self.target.promote(self.endpoint, self.release.id)
            case "finish":
                self._crown()
            case "roll_back":
                self._leave()
        return ()

    def _test(self) -> tuple[str, ...]:
        status = self.target.status(self.endpoint)
        cohort: Cohort = "champion" if status.champion and status.champion.release == self.release.id else "challenger"
        bundle = revision_of(self.release.id).bundle
        return tuple(endpoint_test(lambda body: self.target.invoke(self.endpoint, body, cohort=cohort), bundle))

    def _crown(self) -> None:
        live = champion(self.lake, self.release.model, self.stage.environment)
        expected = live.release if live else None
        now = datetime.now(UTC)
        crown(self.lake, self.release.model, self.stage.environment, self.release.id, expected, now)
        append(
            self.lake,
            now=now,
            who="automation:rollout",
            action="promote",
            model=self.release.model,
            release=self.release.id,
            environment=self.stage.environment,
            reason="the rollout of an approved release finished",
        )

    def _leave(self) -> None:
        """Nothing stays of the release: all weight on the champion, or no endpoint where there was none."""
        status = self.target.status(self.endpoint)
        if status.champion and status.champion.release == self.release.id:
            self.target.delete(self.endpoint)
        else:
            self.target.rollback(self.endpoint)

    def _answers(self, since: datetime) -> tuple[int, int]:
        """Requests and errors of the challenger since the canary began."""
        window = (datetime.now(UTC) - since).total_seconds()
        seen = [found for found in self.target.observe(self.endpoint, window) if found.cohort == "challenger"]
        return sum(found.requests for found in seen), sum(found.errors for found in seen)

    def _past(self) -> list[Step]:
        return [step for step in steps(self.lake, self.release.id) if step.environment == self.stage.environment]

    def _write(self, action: Action, phase: Literal["intent", "outcome"], detail: tuple[str, ...]) -> None:
        number = len(steps(self.lake, self.release.id))
        step = Step(number=number, environment=self.stage.environment, action=action, phase=phase, at=datetime.now(UTC), detail=detail)
        write_step(self.lake, self.release.id, step)

    def _texts(self) -> list[str]:
        settings = load_settings().model(self.release.model)
        return list(load_frozen(self.lake, settings.regression_set)["text"])


@once_per_run("undo stages")
def undo_stages(release: Release, done: tuple[Stage, ...], failed: StageEnd) -> str:
    """Put the earlier champion back in the stages that were promoted before one failed, last first; ends the run as refused."""
    lake = the_lake()
    for stage in reversed(done):
        put_back(release.model, stage, "automation:rollout", f"{failed.environment} failed: {failed.reason}")
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
    raise Refused(f"release {release.id[:12]} was rolled back in {failed.environment}: {failed.reason}")


def put_back(model: str, stage: Stage, who: str, reason: str, to: str | None = None) -> EndpointStatus:
    """Make an earlier release champion of a stage again: the given one, or the one before."""
    lake = the_lake()
    live = champion(lake, model, stage.environment)
    if live is None or (to is None and not live.previous):
        raise Refused(f"{model} in {stage.environment}: expected an earlier champion to go back to, found none")
    wanted = to or live.previous[0]
    endpoint = endpoint_name(model, stage.environment)
    status = target_named(stage.target).rollback(endpoint, to=revision_of(wanted))
    crown(lake, model, stage.environment, wanted, live.release, datetime.now(UTC))
    append(
        lake, now=datetime.now(UTC), who=who, action="roll_back", model=model, release=wanted, environment=stage.environment, reason=reason
    )
    return status


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
