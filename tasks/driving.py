"""One stage of one release under way: look, let the machine decide, write the intent, act, write the outcome. Knows no Prefect.

All that must survive a kill is in the target and in the recorded steps: whoever starts again goes on from there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from deployments.target import Cohort, EndpointStatus, Revision, Split, Target
from headgate.errors import Terminal, Transient
from headgate.lake import Lake
from headgate.record import Record
from headgate.release.audit import append
from headgate.release.canary import analyse
from headgate.release.champion import champion, crown
from headgate.release.record import Release
from headgate.release.rollout import Action, Analysis, Concluded, Situation, Step, Verdict, next_action, steps, write_step
from headgate.settings import Stage

Ask = Callable[[dict[str, Any]], dict[str, Any]]
PATIENCE = 10  # looks or acts that may find the target unavailable in a row


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


def look(target: Target, endpoint: str, stage: Stage, release: str, past: Sequence[Step], now: datetime) -> Situation:
    """The situation by the target's real state and the steps so far; changes nothing."""
    status = target.status(endpoint)
    done = [step for step in past if step.phase == "outcome"]
    shifts = [step for step in past if step.action.kind in ("shift", "hold")]
    since = shifts[-1].at if shifts and shifts[-1].phase == "outcome" else None
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
    )


def _analysis(
    target: Target, endpoint: str, stage: Stage, status: EndpointStatus, release: str, since: datetime | None, now: datetime
) -> Analysis:
    """What both cohorts answered since the last shift; nothing while the release is no challenger."""
    if since is None or status.challenger is None or status.challenger.release != release:
        return Analysis()
    seen = target.observe(endpoint, (now - since).total_seconds(), stage.auto_rollback.correction_wait_s)
    return analyse(stage.auto_rollback, seen, stage.looks)


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
        unavailable = 0
        while True:
            try:
                if (action := self.step()).kind in ("finish", "roll_back"):
                    return self._end(action)
                unavailable = 0
            except Transient:
                unavailable += 1
                if unavailable > PATIENCE:
                    raise
                self.probe(1.0)

    def step(self) -> Action:
        """Look and act once; each act can be repeated."""
        now = self.clock()
        situation = look(self.target, self.endpoint, self.stage, self.release.id, self._past(), now)
        action = next_action(self.stage, situation, now)
        self.told(situation, action)
        if action.kind != "wait":
            seen = situation.analysis if situation.analysis.findings else None
            self._write(action, "intent", (), seen)
            ended = self._concluded(situation) if action.kind == "report" else None
            self._write(action, "outcome", self._performed(action), None, ended)
        if action.wait_s:
            self.probe(action.wait_s)
        return action

    def _performed(self, action: Action) -> tuple[str, ...]:
        """Do it; what the target refuses is told, so that the machine decides what follows."""
        if action.kind in ("deploy", "shift", "hold", "promote"):
            try:
                self._change(action)
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
            self.target.deploy(self.endpoint, self.revision())
        elif action.kind in ("shift", "hold"):
            self.target.set_split(self.endpoint, Split(champion=100 - action.percent, challenger=action.percent))
        else:
            self.target.promote(self.endpoint, self.release.id)

    def _concluded(self, situation: Situation) -> Concluded:
        """The A/B test's report, over the time since the split was set."""
        from tasks.ab_testing import conclude  # its page takes a while to load, and most rollouts have none

        assert situation.shifted_at is not None
        return conclude(self.lake, self.target, self.endpoint, self.release, self.stage, situation.shifted_at, self.clock())

    def _test(self) -> tuple[str, ...]:
        status = self.target.status(self.endpoint)
        cohort: Cohort = "champion" if status.champion and status.champion.release == self.release.id else "challenger"
        return tuple(self.test(lambda body: self.target.invoke(self.endpoint, body, cohort=cohort)))

    def _crown(self) -> None:
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
        """Nothing stays of the release: all weight on the champion, or no endpoint where there was none.

        Another's challenger is left alone, and so is the release where somebody made it champion again by record.
        """
        status, live = self.target.status(self.endpoint), champion(self.lake, self.release.model, self.stage.environment)
        here = [one for one in (status.champion, status.challenger) if one and one.release == self.release.id]
        if (status.challenger and not here) or (live and live.release == self.release.id):
            return
        if status.champion is None or status.champion.release == self.release.id:
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
