"""One stage of one release under way: look, let the machine decide, write the intent, act, write the outcome. Knows no Prefect.

All that must survive a kill is in the target and in the recorded steps: whoever starts again goes on from there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from deployments.target import Cohort, EndpointStatus, NativeTarget, Observation, Progress, Revision, Split, Target
from headgate.errors import Stale, Terminal, Transient
from headgate.lake import Lake
from headgate.record import Record
from headgate.release.audit import append
from headgate.release.canary import analyse
from headgate.release.champion import champion, crown
from headgate.release.native import next_native_action, plan_of
from headgate.release.record import Release
from headgate.release.rollout import Action, Analysis, Concluded, Situation, Step, Verdict, go_back, next_action, steps, write_step
from headgate.settings import Stage

Ask = Callable[[dict[str, Any]], dict[str, Any]]
PATIENCE_S = 600.0  # for so long the target may be unavailable, or changed by others, before the run gives up
ASKED_AGAIN = 5  # times that the endpoint test waits a second for a server that does not answer yet
LATENCY_OF_S = 3600.0  # the champion's latency of so long sets the limit of a plan


class StageEnd(Record):
    """How a stage ended, and why; a rollback has its verdict and what was seen."""

    environment: str
    promoted: bool
    reason: str
    verdict: Verdict | None = None
    analysis: Analysis | None = None


def stage_steps(lake: Lake, release: str, environment: str) -> list[Step]:
    """What was done for a release in one environment so far."""
    return [step for step in steps(lake, release) if step.environment == environment]


def native(target: Target, stage: Stage) -> NativeTarget | None:
    """The target where it shifts this stage's traffic by itself; an A/B test's split is held by the machine everywhere."""
    return cast(NativeTarget, target) if target.routing == "native" and stage.ab_test is None else None


def look(target: Target, endpoint: str, stage: Stage, release: str, past: Sequence[Step], now: datetime) -> Situation:
    """The situation by the target's real state and the steps so far; changes nothing."""
    status = target.status(endpoint)
    done = [step for step in past if step.phase == "outcome"]
    shifts = [step for step in past if step.action.kind in ("submit", "shift", "hold")]
    shifting = native(target, stage)
    progress = _progress(shifting, status, release) if shifting else None
    taken = progress is not None and progress.state != "idle"  # the plan of an intent whose outcome nobody wrote
    since = shifts[-1].at if shifts and (shifts[-1].phase == "outcome" or taken) else None
    refused = [step.detail[0] for step in done if step.detail and step.action.kind != "test"]
    tested = [step.detail for step in done if step.action.kind == "test"]
    reports = [step.concluded for step in done if step.concluded and since is not None and step.at >= since]
    condemned = [step.action for step in past if step.action.kind == "roll_back"]
    return Situation(
        release=release,
        champion=status.champion.release if status.champion else None,
        challenger=status.challenger.release if status.challenger else None,
        challenger_percent=status.split.challenger,
        refused=refused[-1] if refused else None,
        faults=tested[-1] if tested else None,
        shifting_to=shifts[-1].action.percent if shifts else None,
        shifted_at=since,
        holding=bool(shifts) and shifts[-1].action.kind == "hold",
        concluded=reports[-1] if reports else None,
        analysis=_analysis(target, endpoint, stage, status, release, since, now),
        warned=sum(step.action.kind == "warn" and since is not None and step.at >= since for step in done),
        condemned=condemned[-1] if condemned else None,
        progress=progress,
    )


def _progress(target: NativeTarget, status: EndpointStatus, release: str) -> Progress:
    """How far the release is; of an endpoint that is not there nothing is asked."""
    return target.progress(status.endpoint, release) if status.champion else Progress()


def _analysis(
    target: Target, endpoint: str, stage: Stage, status: EndpointStatus, release: str, since: datetime | None, now: datetime
) -> Analysis:
    """What both cohorts answered since the last shift; nothing while the release is no challenger, nor champion by a plan."""
    arrived = native(target, stage) and status.champion and status.champion.release == release
    if since is None or not (arrived or (status.challenger and status.challenger.release == release)):
        return Analysis()
    seen = target.observe(endpoint, (now - since).total_seconds(), stage.auto_rollback.correction_wait_s)
    return analyse(stage.auto_rollback, _before_it_arrived(seen) if arrived else seen, stage.looks)


def _before_it_arrived(seen: Sequence[Observation]) -> list[Observation]:
    """By the cohorts that they were while the plan was under way."""
    names = {"champion": "challenger", "previous": "champion"}
    return [one.model_copy(update={"cohort": names[one.cohort]}) for one in seen if one.cohort in names]


@dataclass(frozen=True)
class Drive:
    """Takes a release through a stage. `probe` waits for so many seconds, `test` asks the bundle's examples and names the faults.

    `told` hears each situation with the action that follows from it.
    """

    lake: Lake
    target: Target
    endpoint: str
    release: Release
    stage: Stage
    revision: Callable[[], Revision]
    test: Callable[[Ask], Sequence[str]]
    probe: Callable[[float], None]
    told: Callable[[Situation, Action], None] = lambda _, __: None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _read: list[Step] = field(default_factory=list)  # the release's steps as last read: nobody else writes any meanwhile

    def to_the_end(self) -> StageEnd:
        """Act until the release is champion here, or gone; Unavailable where the target does not answer for long."""
        self._read[:] = steps(self.lake, self.release.id)
        since: datetime | None = None
        while True:
            try:
                if (action := self.step()).kind in ("finish", "roll_back"):
                    return self._end(action)
                since = None
            except (Transient, Stale):  # the next look says what became of it
                since = since or self.clock()
                if (self.clock() - since).total_seconds() > PATIENCE_S:
                    raise
                self.probe(1.0)

    def step(self) -> Action:
        """Look and act once; each act can be repeated."""
        now = self.clock()
        situation, action = self._decided(now)
        self.told(situation, action)
        if action.kind != "wait":
            seen = situation.analysis if situation.analysis.findings else None
            self._write(action, "intent", (), seen)
            ended = self._concluded(situation) if action.kind == "report" else None
            self._write(action, "outcome", self._performed(action), None, ended)
        if action.wait_s:
            self.probe(action.wait_s)
        return action

    def _decided(self, now: datetime) -> tuple[Situation, Action]:
        """What is, and what follows from it; a share that cannot be watched any more is taken back."""
        try:
            situation = look(self.target, self.endpoint, self.stage, self.release.id, self._past(), now)
        except Terminal as fault:
            unknown = Situation(release=self.release.id, champion=None, challenger=None, challenger_percent=0)
            return unknown, go_back("inconclusive", f"the endpoint cannot be looked at: {fault}")
        return situation, (next_native_action if native(self.target, self.stage) else next_action)(self.stage, situation, now)

    def _performed(self, action: Action) -> tuple[str, ...]:
        """Do it; what the target refuses is told, so that the machine decides what follows."""
        if action.kind in ("deploy", "submit", "shift", "hold", "promote"):
            try:
                self._change(action)
            except Stale:
                raise
            except Terminal as fault:
                return (str(fault),)
        elif action.kind == "test":
            return self._test()
        elif action.kind == "finish":
            self._crown()
        elif action.kind == "roll_back":
            self._leave()
        return ()

    def _change(self, action: Action) -> None:
        if action.kind == "deploy":
            self._deploy()
        elif action.kind == "submit":
            self._submit()
        elif action.kind in ("shift", "hold"):
            self.target.set_split(self.endpoint, Split(champion=100 - action.percent, challenger=action.percent))
        else:
            self.target.promote(self.endpoint, self.release.id)

    def _deploy(self) -> None:
        """Where the target shifts by itself, its plan is looked at before anything is changed; for an A/B test both stand side by side."""
        if shifting := native(self.target, self.stage):
            shifting.check(self.endpoint, plan_of(self.stage, self.release.id, ()))
        self.target.deploy(self.endpoint, self.revision())
        if self.target.routing == "native" and self.stage.ab_test:
            self.target.set_split(self.endpoint, Split())

    def _submit(self) -> None:
        """The plan, with limits by what the champion answered lately."""
        shifting = cast(NativeTarget, self.target)
        shifting.submit(self.endpoint, plan_of(self.stage, self.release.id, shifting.observe(self.endpoint, LATENCY_OF_S)))

    def _concluded(self, situation: Situation) -> Concluded:
        """The A/B test's report, over the time since the split was set."""
        from tasks.ab_testing import conclude  # its page takes a while to load, and most rollouts have none

        assert situation.shifted_at is not None
        return conclude(self.lake, self.target, self.endpoint, self.release, self.stage, situation.shifted_at, self.clock())

    def _test(self) -> tuple[str, ...]:
        status = self.target.status(self.endpoint)
        cohort: Cohort = "champion" if status.champion and status.champion.release == self.release.id else "challenger"
        return tuple(self.test(lambda body: self._asked(body, cohort)))

    def _asked(self, body: dict[str, Any], cohort: Cohort) -> dict[str, Any]:
        """The answer to the endpoint test: a Gateway may accept a route before it follows it."""
        for _ in range(ASKED_AGAIN):
            try:
                return self.target.invoke(self.endpoint, body, cohort=cohort)
            except Transient:
                self.probe(1.0)
        return self.target.invoke(self.endpoint, body, cohort=cohort)

    def _crown(self) -> None:
        self.target.promote(self.endpoint, self.release.id)  # again: a promotion whose reply was lost may not be in force everywhere
        live = champion(self.lake, self.release.model, self.stage.environment)
        now = self.clock()
        crown(self.lake, self.release.model, self.stage.environment, self.release.id, live.release if live else None, now)
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
        """Nothing stays of the release: all weight on the champion (the one before, if it has become that), or no endpoint at all.

        Another's challenger is left alone, and so is the release where somebody made it champion again by record.
        """
        status, live = self.target.status(self.endpoint), champion(self.lake, self.release.model, self.stage.environment)
        here = [one for one in (status.champion, status.challenger) if one and one.release == self.release.id]
        if (status.challenger and not here) or (live and live.release == self.release.id):
            return
        if self.target.routing == "native" and here and status.previous and here[0] == status.champion:
            self.target.rollback(self.endpoint, to=status.previous)  # its plan was done already
        elif status.champion is None or status.champion.release == self.release.id:
            self.target.delete(self.endpoint)
        else:
            self.target.rollback(self.endpoint)

    def _end(self, action: Action) -> StageEnd:
        seen = [step.analysis for step in self._past() if step.action == action and step.analysis]
        return StageEnd(
            environment=self.stage.environment,
            promoted=action.kind == "finish",
            reason=action.reason,
            verdict=action.verdict,
            analysis=seen[0] if seen else None,
        )

    def _past(self) -> list[Step]:
        return [step for step in self._read if step.environment == self.stage.environment]

    def _write(
        self,
        action: Action,
        phase: Literal["intent", "outcome"],
        detail: tuple[str, ...],
        analysis: Analysis | None,
        concluded: Concluded | None = None,
    ) -> None:
        write_step(
            self.lake,
            self.release.id,
            Step(
                number=len(self._read),
                environment=self.stage.environment,
                action=action,
                phase=phase,
                at=self.clock(),
                detail=detail,
                analysis=analysis,
                concluded=concluded,
            ),
        )
        self._read[:] = steps(self.lake, self.release.id)
