"""A shadow on an endpoint in memory: how it ends, that nothing stays of the candidate, and that a kill anywhere changes neither."""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_between_calls import Interrupted, Killed, Kills
from made_up_release import DATA

from deployments.memory import MemoryTarget
from deployments.target import EndpointStatus, Revision, Split
from headgate.errors import Refused, Unavailable
from headgate.lake import FolderLake
from headgate.release.candidate import Candidate
from headgate.release.shadow import Limits
from headgate.release.shadow_report import Answer, Mirrored, Pair, ShadowReport
from headgate.settings import AutoRollback, LoadTest, Shadow
from tasks.mirroring import PATIENCE, Mirroring

CANDIDATE = Candidate(
    model="replies",
    key="c" * 16,
    data_version=DATA,
    regression_set=DATA,
    commit="0" * 40,
    started_by="person:ada@example.com",
    champion="old",
)
OLD = Revision(release="old", bundle_digest="0" * 64, bundle="old")
NEW = Revision(release=f"candidate-{CANDIDATE.key}", bundle_digest="1" * 64, bundle="new")
POLICY = Shadow(sampling_percentage=50, min_requests=100, max_duration_s=30)
PAIR = Pair(Answer("x", "a", "scored", 5.0, False), Answer("y", "a", "scored", 5.0, False))


class World:
    """A target, a lake, a clock and 10 mirrored requests a second; a kill comes before or after any write or act."""

    def __init__(self, folder: Path, fault: str = "", policy: Shadow = POLICY) -> None:
        self.target, self.lake = MemoryTarget(mirrored=self._mirrored), FolderLake(folder)
        self.now, self.fault, self.policy = datetime(2026, 5, 1, tzinfo=UTC), fault, policy
        self.kills = Kills()
        self.told: list[ShadowReport] = []
        self.shares: set[Split] = set()
        self.looks = 0
        self.target.deploy("endpoint", OLD)

    def mirroring(self, run: str = "run") -> Mirroring:
        return Mirroring(
            lake=Interrupted(self.lake, self.kills),
            target=Interrupted(self.target, self.kills, self._refuse),
            endpoint="endpoint",
            candidate=CANDIDATE,
            revision=NEW,
            limits=Limits(self.policy, AutoRollback(), LoadTest()),
            test=self._test,
            wait=self.wait,
            run=run,
            told=self.told.append,
            clock=lambda: self.now,
            stopwatch=lambda: 0.0,
        )

    def run(self, kills: Sequence[int] = ()) -> ShadowReport:
        """Start it again after each kill; a number says how many writes and acts come before it."""
        for moment in kills:
            self.kills.after(moment)
            try:
                return self.mirroring().to_the_end()
            except Killed:
                self.now += timedelta(seconds=1)
        self.kills.never()
        return self.mirroring().to_the_end()

    def _refuse(self, change: str) -> None:
        if self.fault == "refused" and change == "deploy":
            raise Refused("release candidate-cc did not become ready: it ended with exit status 7")

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def _test(self, ask: Any) -> list[str]:
        assert ask({})["model"]["release"] == NEW.release
        return ["example 0: expected other, found positive"] if self.fault == "wrong answers" else []

    def _mirrored(self, status: EndpointStatus, window_s: float) -> Mirrored:
        self.looks += 1
        if self.fault == "no answer" or (self.fault == "no answer once" and self.looks == 3):
            raise Unavailable("the router does not answer")
        if not window_s:
            return Mirrored(dropped=7)
        assert status.split == Split(shadow=50)
        count = int(window_s * (1 if self.fault == "little traffic" else 10))
        if self.fault == "errors":
            return Mirrored(errors=count, champion_requests=2 * count, dropped=7)
        return Mirrored((PAIR,) * count, champion_requests=2 * count, dropped=9)


def left(world: World) -> tuple[str | None, str | None, Split]:
    status = world.target.status("endpoint")
    champion, challenger = (found and found.release for found in (status.champion, status.challenger))
    return champion, challenger, status.split


@pytest.mark.parametrize(
    ("fault", "verdict", "reason"),
    [
        ("", "passed", "100 requests in 10 s, no metric beyond its limit or in doubt"),
        ("refused", "failed", "the candidate did not start: release candidate-cc did not become ready: it ended with exit status 7"),
        ("wrong answers", "failed", "the endpoint test found 1 fault(s): example 0: expected other, found positive"),
        (
            "little traffic",
            "inconclusive",
            "after 30 s 30 of 100 requests answered by both; the champion answered 60, of which 50% are mirrored",
        ),
        ("no answer once", "passed", "100 requests in 10 s, no metric beyond its limit or in doubt"),
    ],
)
def test_each_end_has_its_reason_and_leaves_the_champion_alone(tmp_path: Path, fault: str, verdict: str, reason: str) -> None:
    world = World(tmp_path, fault)
    found = world.run()
    assert (found.verdict, found.reason) == (verdict, reason)
    assert (found.endpoint, found.champion) == ("endpoint", "old")
    assert left(world) == ("old", None, Split())
    assert world.told[-1] == found


def test_copies_that_fail_end_it_early(tmp_path: Path) -> None:
    found = World(tmp_path, "errors").run()
    assert (found.verdict, found.pairs) == ("failed", 0)
    assert found.duration_s < 5


def test_only_copies_dropped_since_it_began_are_counted(tmp_path: Path) -> None:
    assert World(tmp_path).run().dropped == 2


def test_a_target_that_does_not_answer_for_long_ends_the_run_and_the_candidate_is_off_all_the_same(tmp_path: Path) -> None:
    world = World(tmp_path)
    mirroring = world.mirroring()
    world.wait(1)
    inner = mirroring.told
    found: list[ShadowReport] = []

    def told(report: ShadowReport) -> None:
        found.append(report)
        inner(report)
        world.fault = "no answer"

    world.looks = 0
    object.__setattr__(mirroring, "told", told)
    with pytest.raises(Unavailable, match="the router does not answer"):
        mirroring.to_the_end()
    assert len(found) == 1
    assert world.looks == 2 + PATIENCE + 1
    assert left(world) == ("old", None, Split())


def test_a_signal_that_ends_the_run_takes_the_candidate_off(tmp_path: Path) -> None:
    world = World(tmp_path)

    def wait(_: float) -> None:
        assert left(world) == ("old", NEW.release, Split(shadow=50))
        raise KeyboardInterrupt

    world.wait = wait  # type: ignore[method-assign]  # the signal comes while time passes
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert left(world) == ("old", None, Split())


def test_the_same_run_finds_its_report_again_and_another_run_begins_anew(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.run()
    began = world.now
    assert world.run() == first
    assert world.now == began
    assert world.mirroring("another run").to_the_end().verdict == "passed"
    assert world.now > began


def test_another_champion_than_the_one_it_was_compared_with_is_inconclusive(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.target.rollback("endpoint", to=Revision(release="older", bundle_digest="2" * 64, bundle="older"))
    found = world.run()
    assert (found.verdict, found.reason) == (
        "inconclusive",
        "expected release old, which was compared with, as the champion of endpoint, found older; test it again",
    )
    assert left(world)[0] == "older"


def test_a_rollback_by_hand_meanwhile_ends_it_and_stays(tmp_path: Path) -> None:
    world = World(tmp_path)
    usual = world.wait

    def wait(seconds: float) -> None:
        usual(seconds)
        world.target.rollback("endpoint", to=Revision(release="older", bundle_digest="2" * 64, bundle="older"))

    world.wait = wait  # type: ignore[method-assign]  # a person acts while time passes
    found = world.run()
    assert (found.verdict, found.reason[:20]) == ("inconclusive", "expected release old")
    assert left(world) == ("older", None, Split())


def test_another_release_that_took_the_place_is_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path)
    usual = world.wait

    def wait(seconds: float) -> None:
        usual(seconds)
        world.target.deploy("endpoint", Revision(release="other", bundle_digest="3" * 64, bundle="other"))

    world.wait = wait  # type: ignore[method-assign]  # another run acts while time passes
    found = world.run()
    assert (found.verdict, found.reason) == ("inconclusive", "somebody else took the candidate off endpoint; test it again")
    assert left(world) == ("old", "other", Split())


def test_what_another_run_left_on_the_endpoint_does_not_count(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.target.deploy("endpoint", NEW.model_copy(update={"bundle_digest": "9" * 64}))
    world.target.set_split("endpoint", Split(shadow=50))
    world.wait(3600)
    found = world.run()
    assert (found.verdict, found.pairs, found.duration_s) == ("passed", 100, 10)


@settings(max_examples=25, deadline=None)
@given(
    fault=st.sampled_from(["", "wrong answers", "errors", "little traffic", "refused"]),
    kills=st.lists(st.integers(0, 14), max_size=6),
)
def test_a_shadow_killed_anywhere_ends_as_one_that_never_was(fault: str, kills: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        calm = World(Path(other), fault)
        expected = calm.run()
        world = World(Path(folder), fault)
        found = world.run(kills)
        assert found.verdict == expected.verdict
        assert left(world) == left(calm) == ("old", None, Split())
        assert found.pairs <= expected.pairs + 10 * len(kills)
