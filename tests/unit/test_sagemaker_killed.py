"""A rollout on a target that shifts traffic by itself: killed anywhere, any number of times, it ends as one that was never killed."""

import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import killed_between_calls
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_between_calls import Interrupted, Killed, Kills
from made_up_release import RELEASE

from deployments.memory import MemoryTarget
from deployments.target import EndpointStatus, Observation, Plan, Progress, Revision, Split
from headgate.lake import FolderLake
from headgate.release.audit import entries
from headgate.release.champion import champion, crown
from headgate.settings import AutoRollback, Stage, TrafficRouting
from tasks.driving import Drive, StageEnd

OLD = Revision(release="old", bundle_digest="0" * 64, bundle="old")
NEW = Revision(release=RELEASE.id, bundle_digest="1" * 64, bundle="new")
STARTS_S, SHIFTS_AFTER_S, DONE_AFTER_S = 20, 60, 80
STAGE = Stage(
    environment="production",
    traffic_routing=TrafficRouting(type="CANARY", canary_size_percent=20),
    bake_time_s=40,
    auto_rollback=AutoRollback(min_requests=30, max_duration_s=60),
)


class NativeMemory(MemoryTarget):
    """A memory target that shifts by its clock: 20 s to start, 40 s at the canary, 20 s more with all; `alarm` takes it back then."""

    routing: Literal["stepwise", "native"] = "native"

    def __init__(self, clock: Callable[[], datetime], alarm: bool) -> None:
        super().__init__(self._observed)
        self.clock, self.alarm, self.wrong = clock, alarm, False
        self.plan: Plan | None = None
        self.began = clock()

    def check(self, endpoint: str, plan: Plan) -> None:
        assert plan.size_percent == 20

    def submit(self, endpoint: str, plan: Plan) -> EndpointStatus:
        if self.plan is None and self.status(endpoint).challenger:
            self.plan, self.began = plan, self.clock()
        return self.status(endpoint)

    def status(self, endpoint: str) -> EndpointStatus:
        now = super().status(endpoint)
        elapsed = (self.clock() - self.began).total_seconds()
        if self.plan is None or now.challenger is None:
            return now
        if self.alarm and elapsed >= STARTS_S:
            return now
        if elapsed >= DONE_AFTER_S:
            self.plan = None
            return super().promote(endpoint, RELEASE.id)
        percent = 0 if elapsed < STARTS_S else 20 if elapsed < SHIFTS_AFTER_S else 100
        return now.model_copy(update={"split": Split(champion=100 - percent, challenger=percent)})

    def progress(self, endpoint: str, release: str) -> Progress:
        now = self.status(endpoint)
        if now.champion and now.champion.release == release:
            return Progress(state="done", percent=100)
        if self.plan is None:
            return Progress()
        if self.alarm and (self.clock() - self.began).total_seconds() >= STARTS_S:
            return Progress(state="rolled_back", reason="an alarm")
        percent = now.split.challenger
        since = self.began + timedelta(seconds=STARTS_S if percent == 20 else SHIFTS_AFTER_S)
        return Progress(state="shifting", percent=percent, since=since if percent else None)

    def rollback(self, endpoint: str, to: Revision | None = None) -> EndpointStatus:
        self.plan = None
        return super().rollback(endpoint, to)

    def _observed(self, status: EndpointStatus, window_s: float) -> tuple[Observation, ...]:
        shares = {"champion": 0.8, "challenger": 0.2} if status.challenger else {"champion": 0.2, "previous": 0.8}
        label = {"challenger": "b" if self.wrong else "a"}
        found = {cohort: round(20 * window_s * share) for cohort, share in shares.items()}
        return tuple(
            Observation(cohort=cohort, window_s=window_s, requests=count, labels={label.get(cohort, "a"): count})
            for cohort, count in found.items()
        )


class World:
    """A native target, a lake and a clock; a kill comes before or after any write or act."""

    def __init__(self, folder: Path, fault: str, first: bool = False) -> None:
        self.now, self.fault, self.kills = datetime(2026, 5, 1, tzinfo=UTC), fault, Kills()
        self.target, self.lake = NativeMemory(lambda: self.now, fault == "alarm"), FolderLake(folder)
        self.target.wrong = fault == "labels"
        if not first:
            self.target.deploy("endpoint", OLD)
            crown(self.lake, RELEASE.model, "production", "old", None, self.now)

    def run(self, kills: Sequence[int]) -> StageEnd:
        for moment in kills:
            self.kills.after(moment)
            try:
                return self._drive().to_the_end()
            except Killed:
                self.now += timedelta(seconds=1)
        self.kills.never()
        return self._drive().to_the_end()

    def _drive(self) -> Drive:
        return Drive(
            lake=Interrupted(self.lake, self.kills),
            target=Interrupted(self.target, self.kills),
            endpoint="endpoint",
            release=RELEASE,
            stage=STAGE,
            revision=lambda: NEW,
            test=lambda _: ["example 0: expected other, found positive"] if self.fault == "wrong answers" else [],
            probe=self._wait,
            clock=lambda: self.now,
        )

    def _wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def _kills_at_submissions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killed_between_calls, "CHANGES", (*killed_between_calls.CHANGES, "submit"))


@pytest.mark.parametrize(
    ("fault", "promoted", "verdict"),
    [("", True, None), ("alarm", False, "failed"), ("labels", False, "failed"), ("wrong answers", False, "failed")],
)
def test_each_end_is_what_the_world_deserves(tmp_path: Path, fault: str, promoted: bool, verdict: str | None) -> None:
    world = World(tmp_path, fault)
    ended = world.run([])
    assert (ended.promoted, ended.verdict) == (promoted, verdict), ended.reason
    status: Any = world.target.status("endpoint")
    assert status.champion.release == (RELEASE.id if promoted else "old")


@settings(max_examples=15, deadline=None)
@given(
    fault=st.sampled_from(["", "alarm", "labels", "wrong answers"]),
    kills=st.lists(st.integers(0, 40), max_size=6),
    first=st.booleans(),
)
def test_a_native_rollout_killed_anywhere_ends_as_one_that_never_was(fault: str, kills: list[int], first: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        calm = World(Path(other), fault, first)
        expected = calm.run([])
        world = World(Path(folder), fault, first)
        ended = world.run(kills)
        assert (ended.promoted, ended.verdict) == (expected.promoted, expected.verdict), ended.reason
        assert {name: (one.champion, one.challenger) for name, one in world.target.endpoints.items()} == {
            name: (one.champion, one.challenger) for name, one in calm.target.endpoints.items()
        }
        live = champion(world.lake, RELEASE.model, "production")
        status = world.target.status("endpoint")
        assert (live.release if live else None) == (status.champion.release if status.champion else None)
        assert sum(entry.action == "promote" for entry in entries(world.lake)) == (1 if ended.promoted else 0)
