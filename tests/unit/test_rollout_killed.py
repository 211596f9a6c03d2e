"""A rollout that is killed anywhere, any number of times, ends as one that was never killed."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_between_calls import Interrupted, Killed, Kills
from made_up_release import RELEASE

import stack.status
from deployments.memory import MemoryTarget
from deployments.target import Answers, EndpointStatus, Observation, Revision, Split
from headgate.errors import Refused, Stale, Unavailable
from headgate.lake import FolderLake
from headgate.release.audit import entries
from headgate.release.champion import champion, crown
from headgate.release.rollout import steps
from headgate.settings import ABTest, AutoRollback, Stage, TrafficRouting
from tasks.driving import PATIENCE_S, Drive, StageEnd

OLD = Revision(release="old", bundle_digest="0" * 64, bundle="old")
NEW = Revision(release=RELEASE.id, bundle_digest="1" * 64, bundle="new")
POLICY = AutoRollback(min_requests=30, max_duration_s=20)
INFORMS = ABTest(challenger_percent=80, hold_s=30)
DECIDES = ABTest(challenger_percent=80, hold_s=30, primary_metric="correction_rate", min_effect=-0.1)
ROUTINGS = {
    "CANARY": TrafficRouting(type="CANARY", canary_size_percent=20),
    "LINEAR": TrafficRouting(type="LINEAR", linear_step_size_percent=40, wait_interval_s=5),
    "ALL_AT_ONCE": TrafficRouting(type="ALL_AT_ONCE"),
}


class World:
    """A target, a lake, a clock and traffic of 100 requests a second; a kill comes before or after any write or act."""

    def __init__(self, folder: Path, kind: str, fault: str, first: bool = False, ab_test: ABTest | None = None) -> None:
        self.target, self.lake = MemoryTarget(self._observed), FolderLake(folder)
        self.now, self.fault, self.kills = datetime(2026, 5, 1, tzinfo=UTC), fault, Kills()
        self.most_percent = 0
        policy = POLICY.model_copy(update={"failure_limit": 2 if fault == "errors" else 0})
        self.target.logged = self._logged
        held = None if kind == "ALL_AT_ONCE" else ab_test
        routing = ROUTINGS[kind]
        self.stage = Stage(environment="production", traffic_routing=routing, bake_time_s=10, auto_rollback=policy, ab_test=held)
        if not first:
            self.target.deploy("endpoint", OLD)
            crown(self.lake, RELEASE.model, "production", "old", None, self.now)

    def drive(self) -> Drive:
        return Drive(
            lake=Interrupted(self.lake, self.kills),
            target=Interrupted(self.target, self.kills, self._refuse),
            endpoint="endpoint",
            release=RELEASE,
            stage=self.stage,
            revision=lambda: NEW,
            test=self._test,
            probe=self._wait,
            clock=lambda: self.now,
        )

    def run(self, kills: Sequence[int]) -> StageEnd:
        """Start it again after each kill; a number says how many writes and acts come before it."""
        for moment in kills:
            self.kills.after(moment)
            try:
                return self.drive().to_the_end()
            except Killed:
                self.now += timedelta(seconds=1)
        self.kills.never()
        return self.drive().to_the_end()

    def _refuse(self, change: str) -> None:
        if self.fault == "refused" and change == "deploy":
            raise Refused("it ended with exit status 7")

    def _wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def _test(self, ask: Any) -> list[str]:
        answered = ask({})["model"]["release"]
        assert answered == RELEASE.id
        return ["example 0: expected other, found positive"] if self.fault == "wrong answers" else []

    def _observed(self, status: EndpointStatus, window_s: float) -> tuple[Observation, ...]:
        self.most_percent = max(self.most_percent, status.split.challenger)
        rate = 1 if self.fault == "little traffic" else 100
        share = status.split.challenger / 100
        counts = {"challenger": round(rate * window_s * share), "champion": round(rate * window_s * (1 - share))}
        errors = {"challenger": 0.3 if self.fault == "errors" else 0.0, "champion": 0.0}
        return tuple(
            Observation(cohort=cohort, window_s=window_s, requests=count, errors=round(errors[cohort] * count), labels={"a": count})
            for cohort, count in counts.items()
        )

    def _logged(self, status: EndpointStatus, since: datetime, until: datetime) -> Answers:
        """Ten answers a second of each cohort; users correct one of ten of the champion's, and half of a challenger's that they dislike."""
        every = {"champion": 10, "challenger": 2 if self.fault == "disliked" else 10}
        cohorts = [(cohort, n) for cohort in every for n in range(round(10 * (until - since).total_seconds()))]
        lines = [
            {"ts": since.isoformat(), "cohort": cohort, "prediction_id": f"{cohort}{n}", "label": "a", "outcome": "scored", "score": 0.8}
            for cohort, n in cohorts
        ]
        return Answers(lines, {}, {f"{cohort}{n}": "b" for cohort, n in cohorts if n % every[cohort] == 0})


@settings(max_examples=12, deadline=None)
@given(
    kind=st.sampled_from(sorted(ROUTINGS)),
    fault=st.sampled_from(["", "wrong answers", "errors", "little traffic", "refused", "disliked"]),
    kills=st.lists(st.integers(0, 50), max_size=6),
    first=st.booleans(),
    ab_test=st.sampled_from([None, INFORMS, DECIDES]),
)
def test_a_rollout_killed_anywhere_ends_as_one_that_never_was(
    kind: str, fault: str, kills: list[int], first: bool, ab_test: ABTest | None
) -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        calm = World(Path(other), kind, fault, first, ab_test)
        expected = calm.run([])
        world = World(Path(folder), kind, fault, first, ab_test)
        ended = world.run(kills)
        assert (ended.promoted, ended.verdict) == (expected.promoted, expected.verdict)
        assert world.target.endpoints == calm.target.endpoints
        live, status = champion(world.lake, RELEASE.model, "production"), world.target.status("endpoint")
        assert status.challenger is None
        assert status.split == Split()
        assert (live.release if live else None) == (status.champion.release if status.champion else None)
        assert world.most_percent <= max(
            [*ROUTINGS[kind].shares, *([world.stage.ab_test.challenger_percent] if world.stage.ab_test else [])]
        )
        assert Counter(entry.action for entry in entries(world.lake)) == Counter(entry.action for entry in entries(calm.lake))
        assert sum(entry.action == "promote" for entry in entries(world.lake)) == (1 if ended.promoted else 0)
        recorded = steps(world.lake, RELEASE.id)
        assert [step.number for step in recorded] == list(range(len(recorded)))


@pytest.mark.parametrize(
    ("fault", "promoted", "verdict"),
    [
        ("", True, None),
        ("errors", False, "failed"),
        ("wrong answers", False, "failed"),
        ("refused", False, "failed"),
        ("little traffic", False, "inconclusive"),
    ],
)
def test_each_end_is_what_the_world_deserves(tmp_path: Path, fault: str, promoted: bool, verdict: str | None) -> None:
    ended = World(tmp_path, "CANARY", fault).run([])
    assert (ended.promoted, ended.verdict) == (promoted, verdict)
    if fault in ("errors", "little traffic"):
        assert ended.analysis
        assert ended.analysis.requests > 0


def test_any_write_or_act_of_a_linear_rollout_can_be_the_last_before_a_kill(tmp_path: Path) -> None:
    for moment in range(0, 40, 5):
        world = World(tmp_path / str(moment), "LINEAR", "")
        assert world.run([moment]).promoted
        assert world.target.status("endpoint").champion == NEW


def test_a_target_that_is_unavailable_for_a_moment_stops_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, "CANARY", "")
    failing, real = iter(range(int(PATIENCE_S) - 1)), world.target.observed

    def sometimes(status: EndpointStatus, window_s: float) -> tuple[Observation, ...]:
        if next(failing, None) is not None:
            raise Unavailable("no answer")
        return real(status, window_s)

    world.target.observed = sometimes
    assert world.run([]).promoted


def test_a_target_that_stays_unavailable_ends_the_run(tmp_path: Path) -> None:
    world = World(tmp_path, "CANARY", "")

    def never(*_: Any) -> tuple[Observation, ...]:
        raise Unavailable("no answer")

    world.target.observed = never
    with pytest.raises(Unavailable, match="no answer"):
        world.run([])


def test_a_share_that_may_not_be_watched_is_taken_back(tmp_path: Path) -> None:
    world = World(tmp_path, "CANARY", "")

    def forbidden(*_: Any) -> tuple[Observation, ...]:
        raise Refused("pods/exec is forbidden")

    world.target.observed = forbidden
    ended = world.run([])
    assert (ended.promoted, ended.verdict) == (False, "inconclusive")
    assert ended.reason == "inconclusive: the endpoint cannot be looked at: pods/exec is forbidden"
    status = world.target.status("endpoint")
    assert (status.champion, status.challenger, status.split) == (OLD, None, Split())


@pytest.mark.parametrize("change", ["deploy", "set_split", "promote"])
@pytest.mark.parametrize("fault", [Stale("it was changed meanwhile; look again"), Unavailable("the reply was lost")])
def test_a_change_that_met_another_one_or_whose_reply_was_lost_is_looked_at_again(tmp_path: Path, change: str, fault: Exception) -> None:
    world = World(tmp_path, "CANARY", "")
    once, real = iter([fault]), getattr(world.target, change)

    def sometimes(*given: Any) -> Any:
        if isinstance(fault, Unavailable):
            real(*given)
        if told := next(once, None):
            raise told
        return real(*given)

    setattr(world.target, change, sometimes)
    assert world.run([]).promoted


def test_a_promotion_that_is_in_force_on_record_alone_is_repeated_before_it_counts(tmp_path: Path) -> None:
    world = World(tmp_path, "CANARY", "")
    taken, real = iter([False, True]), world.target.promote

    def promote(endpoint: str, release: str) -> EndpointStatus:
        found = real(endpoint, release)
        if not next(taken):
            raise Unavailable("the Gateway did not take generation 7; repeat it once it does")
        return found

    world.target.promote = promote  # type: ignore[method-assign]
    assert world.run([]).promoted
    assert next(taken, None) is None, "it was asked twice"


def test_a_server_that_does_not_answer_its_endpoint_test_yet_is_asked_again(tmp_path: Path) -> None:
    world = World(tmp_path, "CANARY", "")
    once, real = iter([1]), world.target.invoke

    def sometimes(*given: Any, **named: Any) -> dict[str, Any]:
        if next(once, None):
            raise Unavailable("503")
        return real(*given, **named)

    world.target.invoke = sometimes  # type: ignore[method-assign]
    assert world.run([]).promoted


def test_the_steps_keep_what_was_seen_when_they_were_decided(tmp_path: Path) -> None:
    world = World(tmp_path, "LINEAR", "")
    world.run([])
    intents = [step for step in steps(world.lake, RELEASE.id) if step.phase == "intent"]
    assert [step.action.kind for step in intents] == ["deploy", "test", "shift", "shift", "promote", "finish"]
    assert [step.analysis.requests if step.analysis else None for step in intents] == [None, None, None, 200, 1200, None]


@pytest.mark.parametrize(
    ("fault", "test", "promoted", "verdict"),
    [
        ("", INFORMS, True, None),
        ("", DECIDES, True, None),
        ("disliked", INFORMS, True, None),
        ("disliked", DECIDES, False, "failed"),
        ("", DECIDES.model_copy(update={"min_effect": 0.01}), False, "inconclusive"),
    ],
)
def test_an_ab_test_decides_only_what_the_policy_lets_it(
    tmp_path: Path, fault: str, test: ABTest, promoted: bool, verdict: str | None
) -> None:
    world = World(tmp_path, "CANARY", fault, ab_test=test)
    ended = world.run([])
    assert (ended.promoted, ended.verdict) == (promoted, verdict)
    kinds = [step.action.kind for step in steps(world.lake, RELEASE.id) if step.phase == "intent"]
    assert kinds == ["deploy", "test", "shift", "hold", "report", *(["promote", "finish"] if promoted else ["roll_back"])]
    (concluded,) = (step.concluded for step in steps(world.lake, RELEASE.id) if step.concluded)
    assert concluded.page
    assert hashlib.sha256(world.lake.read(concluded.page)).hexdigest() == concluded.digest
    status = stack.status._last_ab_test_lines(world.lake, [RELEASE.id], RELEASE.id if promoted else "old", "production")
    assert [line.split("; ")[0].split(": ")[1] for line in status] == ([] if promoted else [verdict])
    assert all(line.endswith(f"/{concluded.page}") for line in status)
    told = [entry.reason for entry in entries(world.lake) if entry.action == "ab_test"]
    assert told == [f"{concluded.told}; page {concluded.page}, sha256 {concluded.digest}"]
    if verdict == "failed":
        reason = "failed: A/B test: correction_rate 50.00% beside 10.00%, +40.00 points (95% interval +33.15 to +46.33), p = "
        assert ended.reason.startswith(reason)


def test_a_report_that_cannot_be_made_stops_nothing_unless_it_had_to_decide(tmp_path: Path) -> None:
    def refuses(*_: Any) -> Answers:
        raise Refused("the log is gone")

    for test, promoted in ((INFORMS, True), (DECIDES, False)):
        world = World(tmp_path / str(promoted), "CANARY", "", ab_test=test)
        world.target.logged = refuses
        ended = world.run([])
        assert ended.promoted == promoted
        (entry,) = (one for one in entries(world.lake) if one.action == "ab_test")
        assert entry.reason == "no report could be made: the log is gone; page none, sha256 none"
