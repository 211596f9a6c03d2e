"""An earlier release becomes champion of one environment again: bundle, image, configuration and cache, proven before it counts.

Every step can be repeated: whoever starts again after a kill ends in the same state. Knows no Prefect.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from deployments.target import Revision, Target
from headgate.errors import HeadgateError, Transient, Unavailable
from headgate.lake import Lake
from headgate.release.audit import append, entries
from headgate.release.champion import champion, crown
from headgate.release.record import Release
from headgate.release.rollback import told_already
from headgate.release.verification import Verification
from headgate.settings import Stage
from tasks.places import endpoint_name, revision_of, target_named, the_lake
from tasks.verifying import Test, recorded_answers, require_verified, verify


@dataclass(frozen=True)
class PutBack:
    """Puts a release back in one environment. `revision` is looked up when it is needed, `test` names the faults of its answers."""

    lake: Lake
    target: Target
    endpoint: str
    environment: str
    release: Release
    revision: Callable[[], Revision]
    test: Test
    who: str
    reason: str
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def to_the_end(self) -> Verification:
        """Tell the audit log, go back, prove it, tell how that ended; Refused lists what is not as recorded."""
        self._tell("roll_back_started", self.reason)
        try:
            proof = self._proven()
        except HeadgateError as fault:
            self._tell("roll_back_failed", str(fault))
            raise
        self._tell("roll_back_verified", str(proof))
        return proof

    def _proven(self) -> Verification:
        self.target.rollback(self.endpoint, to=self.revision())
        live = champion(self.lake, self.release.model, self.environment)
        crown(self.lake, self.release.model, self.environment, self.release.id, live.release if live else None, self.clock())
        self._tell("roll_back", self.reason)
        found = verify(self.target, self.endpoint, self.lake, self.environment, self.release, self.test)
        return require_verified(found, self.endpoint)

    def _tell(self, action: str, reason: str) -> None:
        """One entry of the audit log; what a killed try told already is not told again."""
        model, environment, release = self.release.model, self.environment, self.release.id
        log = entries(self.lake)
        if told_already(log, action, model=model, environment=environment, release=release, who=self.who, reason=reason):
            return
        append(
            self.lake,
            now=self.clock(),
            who=self.who,
            action=action,
            model=model,
            release=release,
            environment=environment,
            reason=reason,
        )


def each_goes_back(stages: Iterable[Stage], go_back: Callable[[Stage], object]) -> list[str]:
    """What was refused, stage by stage: one that does not go back keeps no other from it. Unavailable where trying again may help."""
    faults: list[HeadgateError] = []
    for stage in stages:
        try:
            go_back(stage)
        except HeadgateError as fault:
            faults.append(fault)
    told = [str(fault) for fault in faults]
    if any(isinstance(fault, Transient) for fault in faults):
        raise Unavailable("; ".join(told)) from faults[0]
    return told


def put_back(stage: Stage, release: Release, who: str, reason: str) -> Verification:
    """Make a release champion of a stage again on its target, and prove it; Refused where it is not as recorded."""
    return PutBack(
        lake=the_lake(),
        target=target_named(stage.target),
        endpoint=endpoint_name(release.model, stage.environment),
        environment=stage.environment,
        release=release,
        revision=lambda: revision_of(release.id),
        test=recorded_answers(release),
        who=who,
        reason=reason,
    ).to_the_end()
