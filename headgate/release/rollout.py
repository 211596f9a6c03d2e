"""The rollout state machine: pure, and the only decider. It sees the situation and names the next action with its reason.

    deploy -> test -> shift -> wait (watch) -> shift ... wait (bake) -> [hold -> wait -> report] -> promote -> finish
                \\_____________________________ roll_back ____________________________________/

Everything it needs after a kill is in the target's real state and in the recorded steps, so it starts again anywhere.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from headgate.lake import Lake
from headgate.record import Record
from headgate.release.plan import Progress
from headgate.release.record import folder
from headgate.settings import ABTest, Stage

Kind = Literal["deploy", "test", "submit", "shift", "hold", "report", "wait", "warn", "promote", "finish", "roll_back"]
Verdict = Literal["failed", "inconclusive"]
LOOK_EVERY_S, LOOK_AT_MOST_EVERY_S = 1.0, 5.0


class Finding(Record):
    """One metric of the challenger beside the champion's, and what it says."""

    metric: str
    challenger: float | None
    champion: float | None
    limit: float
    unit: Literal["share", "more", "times", "away", "less"] = Field(description="how the limit is meant")
    evidence: float = Field(description="how much likelier the counts are under harm than under the best world without")
    needed: float = Field(description="the evidence from which the metric failed")
    verdict: Literal["within limits", "in doubt", "failed", "no data"]

    def __str__(self) -> str:
        """For a reader: both values, the limit, the evidence."""
        beside = f" beside the champion's {self.value(self.champion)}" if self.champion is not None else ""
        return f"{self.metric} {self.value(self.challenger)}{beside}, allowed {self.allowed}; evidence {self.odds}"

    @property
    def allowed(self) -> str:
        """The limit in words."""
        words = {"times": f"{self.limit:g} times", "share": f"{self.limit:.2%}"}
        return words.get(self.unit, f"{100 * self.limit:g} points {self.unit}")

    @property
    def odds(self) -> str:
        """The evidence in words."""
        return f"{self.evidence:.3g} to 1, needed {self.needed:,.0f}"

    def value(self, number: float | None) -> str:
        """A value of this metric in words."""
        if number is None:
            return "-"
        return f"{number:.3g} ms" if self.unit == "times" else f"{number:.3f}" if self.metric == "confidence" else f"{number:.2%}"


class Analysis(Record):
    """What both cohorts answered since the last shift, and what each metric says."""

    requests: int = 0
    errors: int = 0
    champion_requests: int = 0
    findings: tuple[Finding, ...] = ()

    def of(self, verdict: str) -> list[Finding]:
        """Findings with this verdict, the strongest evidence first."""
        return sorted((one for one in self.findings if one.verdict == verdict), key=lambda one: -one.evidence / one.needed)

    def __str__(self) -> str:
        """For a reader: how much was seen."""
        return f"{self.requests} requests, {self.errors} errors; champion {self.champion_requests} requests"


class Concluded(Record):
    """What an A/B test ended with: its verdict where the policy lets it decide, one sentence, and its page in the lake."""

    verdict: Literal["passed", "failed", "inconclusive", "informs"]
    told: str
    page: str | None = None
    digest: str | None = Field(None, description="sha256 of the page")


class Action(Record):
    """What to do next, and why; a rollback has the verdict that leads to it."""

    kind: Kind
    reason: str
    percent: int = 0
    wait_s: float = 0.0
    verdict: Verdict | None = None


class Situation(Record):
    """What is true now of one endpoint, for one release.

    `shifting_to` is the share that was last set or meant to be set, `shifted_at` when that was done, `holding` whether for an A/B test.
    """

    release: str
    champion: str | None
    challenger: str | None
    challenger_percent: int
    refused: str | None = None  # why the target would not do a step
    faults: tuple[str, ...] | None = None  # of the endpoint test; None: not tested yet
    shifting_to: int | None = None
    shifted_at: datetime | None = None
    holding: bool = False
    concluded: Concluded | None = None
    analysis: Analysis = Analysis()
    warned: int = 0  # looks that found this step failed and were let pass
    condemned: Action | None = None  # the rollback that an earlier look decided
    progress: Progress | None = None  # of a target that shifts traffic by itself; `native` decides then


def next_action(stage: Stage, now: Situation, clock: datetime) -> Action:
    """The next action of a stage."""
    shares = stage.traffic_routing.shares
    if now.holding:
        shares = (stage.ab_test.challenger_percent,) if stage.ab_test else ()
    if now.condemned is not None:
        return now.condemned
    if now.refused is not None:
        return go_back("failed", f"the target refused: {now.refused}")
    if now.faults:
        return go_back("failed", f"the endpoint test found {len(now.faults)} fault(s): {now.faults[0]}")
    if now.release not in (now.champion, now.challenger):
        if now.faults is not None:  # it ran here before: whoever went back by hand must not find it coming again
            return go_back("inconclusive", "it was taken off the endpoint meanwhile, by a rollback or another deployment")
        return Action(kind="deploy", reason="the release does not run here yet")
    if now.faults is None:
        return Action(kind="test", reason="the endpoint test has not been run")
    if now.champion == now.release:
        return Action(kind="finish", reason="the release is champion and passed its endpoint test")
    if now.shifting_to not in shares:
        return Action(kind="shift", reason="the endpoint test passed", percent=stage.traffic_routing.shares[0])
    if now.shifted_at is None or now.challenger_percent != now.shifting_to:
        reason = f"the challenger's share is {now.challenger_percent}%, meant to be {now.shifting_to}%"
        return Action(kind="hold" if now.holding else "shift", reason=reason, percent=now.shifting_to)
    return watch(stage, now, (clock - now.shifted_at).total_seconds())


def watch(stage: Stage, now: Situation, elapsed_s: float) -> Action:
    """What the answers say at a share that has been in force for elapsed_s."""
    policy, shares, seen = stage.auto_rollback, stage.traffic_routing.shares, now.analysis
    enough = seen.requests >= policy.min_requests
    if enough and (failed := seen.of("failed")):
        return failed_look(stage, now, "; ".join(map(str, failed)))
    if now.holding and stage.ab_test:
        return _hold(stage, stage.ab_test, now, elapsed_s)
    after = shares[shares.index(now.challenger_percent) + 1 :]
    left = stage.traffic_routing.wait_interval_s + (0 if after else stage.bake_time_s) - elapsed_s
    if left > 0:
        told = f"{'watching' if after else 'baking'} at {now.challenger_percent}%: {seen}"
        return Action(kind="wait", reason=told, wait_s=min(left, until_next_look(elapsed_s)))
    if points := open_points(stage, now):
        return _not_decided(points, policy.max_duration_s - elapsed_s, until_next_look(elapsed_s))
    if after:
        return Action(kind="shift", reason=f"{now.challenger_percent}% passed: {passed_text(now)}", percent=after[0])
    if stage.ab_test:
        reason = f"{now.challenger_percent}% passed: {passed_text(now)}; the A/B test holds for {stage.ab_test.hold_s:g} s"
        return Action(kind="hold", reason=reason, percent=stage.ab_test.challenger_percent)
    return Action(kind="promote", reason=f"passed: {passed_text(now)}")


def _hold(stage: Stage, test: ABTest, now: Situation, elapsed_s: float) -> Action:
    """What follows while the A/B test's split is in force, and after; what it says itself is looked at once, when its time is over."""
    if elapsed_s < test.hold_s:
        told = f"A/B test at {now.challenger_percent}%: {now.analysis}"
        return Action(kind="wait", reason=told, wait_s=min(test.hold_s - elapsed_s, until_next_look(elapsed_s)))
    if now.concluded is None:
        return Action(kind="report", reason=f"the A/B test's {test.hold_s:g} s are over: {now.analysis}", percent=now.challenger_percent)
    if now.concluded.verdict in ("failed", "inconclusive"):
        return go_back("failed" if now.concluded.verdict == "failed" else "inconclusive", f"A/B test: {now.concluded.told}")
    if points := open_points(stage, now):
        return _not_decided(points, test.hold_s + stage.auto_rollback.max_duration_s - elapsed_s, until_next_look(elapsed_s))
    return Action(kind="promote", reason=f"passed: {passed_text(now)}; A/B test: {now.concluded.told}")


def failed_look(stage: Stage, now: Situation, why: str) -> Action:
    """A look that found the step failed: let pass while the policy allows it, else the end."""
    limit = stage.auto_rollback.failure_limit
    if now.warned < limit:
        return Action(kind="warn", reason=f"failed look {now.warned + 1}, allowed {limit}: {why}", wait_s=LOOK_EVERY_S)
    return go_back("failed", why)


def go_back(verdict: Verdict, why: str) -> Action:
    """The end of a rollout that did not pass."""
    return Action(kind="roll_back", reason=f"{verdict}: {why}", verdict=verdict)


def open_points(stage: Stage, now: Situation) -> list[str]:
    """Why a step whose time is over cannot pass yet."""
    seen, wanted = now.analysis, stage.auto_rollback.min_requests
    found = [f"{seen.requests} requests, needed {wanted}"] if seen.requests < wanted else []
    if now.challenger_percent < 100 and seen.champion_requests < wanted:
        found.append(f"{seen.champion_requests} requests by the champion beside it, needed {wanted}")
    return found + [f"in doubt: {one}" for one in seen.of("in doubt")]


def _not_decided(points: list[str], left_s: float, next_look_s: float) -> Action:
    why = "; ".join(points)
    if left_s <= 0:
        return go_back("inconclusive", why)
    return Action(kind="wait", reason=f"the time is over, but not decided: {why}", wait_s=min(left_s, next_look_s))


def until_next_look(elapsed_s: float) -> float:
    """A long watch is looked at less often, since each look reads all of it; a verdict is never later than LOOK_AT_MOST_EVERY_S."""
    return max(LOOK_EVERY_S, min(elapsed_s / 60, LOOK_AT_MOST_EVERY_S))


def passed_text(now: Situation) -> str:
    """What was seen, and that nothing else was compared where nobody was there to compare with."""
    alone = "" if now.challenger_percent < 100 else "; compared with no champion, since none answered beside it"
    return f"{now.analysis}{alone}"


class Step(Record):
    """One line of a rollout's history: the intent is written before the act, the outcome after.

    `detail` holds the faults of an endpoint test, or why the target refused; `analysis` what was seen when the step was decided;
    `concluded` what a report found.
    """

    number: int
    environment: str
    action: Action
    phase: Literal["intent", "outcome"]
    at: datetime
    detail: tuple[str, ...] = ()
    analysis: Analysis | None = None
    concluded: Concluded | None = None


def steps(lake: Lake, release: str) -> list[Step]:
    """What was done for a release so far, in order."""
    return [Step.model_validate_json(lake.read(key)) for key in lake.keys(f"{folder(release)}/rollout")]


def ab_test_folder(release: str, environment: str) -> str:
    """Where the pages of a release's A/B tests lie; the gateway shows what is under a release's evidence."""
    return f"{folder(release)}/evidence/ab-test-{environment}"


def write_step(lake: Lake, release: str, step: Step) -> None:
    """Write the next step; a step that is already there stays."""
    lake.put_if_absent(f"{folder(release)}/rollout/{step.number:04d}.json", step.to_bytes())
