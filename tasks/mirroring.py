"""One shadow at one endpoint: deploy, test, mirror, watch, take away. Knows no Prefect.

The endpoint tells where it stands: a challenger with the candidate's name, and whether requests are mirrored to it. The lake holds since
when a run mirrors, and how its shadow ended. So a run that was killed anywhere goes on, or begins anew where the endpoint was changed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deployments.target import EndpointStatus, Revision, Split, Target
from headgate.errors import Terminal, Transient
from headgate.evaluation.report import Verdict
from headgate.lake import Lake
from headgate.record import Record
from headgate.release.candidate import Candidate
from headgate.release.shadow import Limits, report, without
from headgate.release.shadow_report import ShadowReport

Ask = Callable[[dict[str, Any]], dict[str, Any]]
LOOK_EVERY_S = 1.0
REST = 10  # so many times as long as a look took nothing is read
PATIENCE = 10  # looks in a row that may find the target unavailable


class Begun(Record):
    """Since when a run mirrors, and how many copies the router had dropped by then."""

    at: datetime
    dropped: int


def begun_key(candidate: Candidate, run: str) -> str:
    """Where the lake keeps since when a run mirrors to a candidate."""
    return f"candidates/{candidate.model}/{candidate.key}/shadow/{run}/begun.json"


def newest_beginning(lake: Lake, model: str, revision: str) -> Begun | None:
    """The newest beginning of any run for a candidate, by the name of its revision; None before the first."""
    keys = lake.keys(f"candidates/{model}/{revision.removeprefix('candidate-')}/shadow")
    found = [Begun.model_validate_json(lake.read(key)) for key in keys if key.endswith("/begun.json")]
    return max(found, key=lambda one: one.at, default=None)


def report_now(target: Target, status: EndpointStatus, limits: Limits, begun: Begun, now: datetime) -> ShadowReport:
    """What a shadow under way has seen until now; changes nothing."""
    duration_s = (now - begun.at).total_seconds()
    seen = target.mirrored(status.endpoint, duration_s)
    dropped = seen.dropped - begun.dropped if seen.dropped >= begun.dropped else seen.dropped  # a new router counts from 0
    champion = status.champion.release if status.champion else None
    return report(limits, seen._replace(dropped=dropped), duration_s, status.endpoint, champion)


@dataclass(frozen=True)
class Mirroring:
    """Takes a candidate through its shadow. `test` asks the bundle's examples and names the faults, `wait` lets seconds pass.

    `run` names the flow run, which goes on with its own records after a kill. `told` hears each report.
    """

    lake: Lake
    target: Target
    endpoint: str
    candidate: Candidate
    revision: Revision
    limits: Limits
    test: Callable[[Ask], Sequence[str]]
    wait: Callable[[float], None]
    run: str
    told: Callable[[ShadowReport], None] = lambda _: None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    stopwatch: Callable[[], float] = time.monotonic

    def to_the_end(self) -> ShadowReport:
        """Mirror until there is a verdict; the candidate has left the endpoint then, and also where this fails."""
        ended = begun_key(self.candidate, self.run).replace("begun", "report")
        try:
            if (known := self.lake.get(ended)) is not None:
                return ShadowReport.model_validate_json(known.data)
            found = self._shadowed()
            self.lake.put_if_absent(ended, found.to_bytes())
            self.told(found)
            return found
        finally:
            self._leave()

    def _shadowed(self) -> ShadowReport:
        status = self.target.status(self.endpoint)
        if fault := self._other_champion(status):
            return self._ended("inconclusive", fault)
        if not self._mirrors(status) or self._read_begun() is None:
            if refused := self._deployed(status):
                return self._ended("failed", refused)
            self._write_begun()
            self.target.set_split(self.endpoint, Split(shadow=self.limits.policy.sampling_percentage))
        return self._watched()

    def _deployed(self, status: EndpointStatus) -> str:
        """Bring the candidate up beside the champion, without requests; returns why that failed."""
        if status.challenger and status.challenger.release == self.revision.release:
            self.target.rollback(self.endpoint)  # left by another run, perhaps of another bundle
        try:
            self.target.deploy(self.endpoint, self.revision)
        except Terminal as fault:
            return f"the candidate did not start: {fault}"
        if self.target.routing == "native":  # it gives a shadow no name to be asked by; the rollout's own endpoint test comes later
            return ""
        faults = self.test(lambda body: self.target.invoke(self.endpoint, body, cohort="challenger"))
        return f"the endpoint test found {len(faults)} fault(s): {'; '.join(faults[:3])}" if faults else ""

    def _watched(self) -> ShadowReport:
        unavailable = 0
        while True:
            looked = self.stopwatch()
            try:
                found, unavailable = self._look(), 0
            except Transient:
                unavailable += 1
                if unavailable > PATIENCE:
                    raise
                self.wait(LOOK_EVERY_S)
                continue
            if found.verdict is not None:
                return found
            self.told(found)
            self.wait(max(LOOK_EVERY_S, REST * (self.stopwatch() - looked)))

    def _look(self) -> ShadowReport:
        """What was seen until now, judged; inconclusive where somebody else changed the endpoint."""
        status, begun = self.target.status(self.endpoint), self._read_begun()
        assert begun is not None
        if fault := self._other_champion(status):
            return self._ended("inconclusive", fault)
        if not self._mirrors(status):
            return self._ended("inconclusive", f"somebody else took the candidate off {self.endpoint}; test it again")
        return report_now(self.target, status, self.limits, begun, self.clock())

    def _other_champion(self, status: EndpointStatus) -> str:
        wanted, found = str(self.candidate.champion)[:12], status.champion.release if status.champion else "none"
        if found == self.candidate.champion:
            return ""
        return f"expected release {wanted}, which was compared with, as the champion of {self.endpoint}, found {found[:12]}; test it again"

    def _mirrors(self, status: EndpointStatus) -> bool:
        there, wanted = status.challenger, self.revision
        same = there is not None and (there.release, there.bundle_digest) == (wanted.release, wanted.bundle_digest)
        return same and status.split == Split(shadow=self.limits.policy.sampling_percentage)

    def _read_begun(self) -> Begun | None:
        entry = self.lake.get(begun_key(self.candidate, self.run))
        return Begun.model_validate_json(entry.data) if entry else None

    def _write_begun(self) -> None:
        """From now on; written before the first copy is sent, so that none is missed and none of an earlier beginning counts."""
        key, dropped = begun_key(self.candidate, self.run), self.target.mirrored(self.endpoint, 0).dropped
        entry = self.lake.get(key)
        self.lake.compare_and_swap(key, Begun(at=self.clock(), dropped=dropped).to_bytes(), entry.tag if entry else None)

    def _leave(self) -> None:
        """Nothing stays of the candidate, not even half a start; another's challenger is left alone."""
        status = self.target.status(self.endpoint)
        if status.champion and (status.challenger is None or status.challenger.release == self.revision.release):
            self.target.rollback(self.endpoint)

    def _ended(self, verdict: Verdict, reason: str) -> ShadowReport:
        return without(self.limits.policy, verdict, reason, self.endpoint, self.candidate.champion)
