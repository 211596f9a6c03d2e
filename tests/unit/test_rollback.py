"""Going back to an earlier release: what is restored, what is proven, what the audit log tells, and that a kill anywhere does no harm."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from killed_between_calls import Interrupted, Killed, Kills
from made_up_release import RELEASE

from deployments.memory import MemoryTarget
from deployments.target import Revision, Running, Split
from headgate.errors import Refused, Unavailable
from headgate.lake import FolderLake
from headgate.release.audit import append, entries
from headgate.release.champion import champion, crown
from headgate.release.configuration import Configuration
from headgate.release.record import Release, save_release
from headgate.release.rollback import proof_of, same_rollback
from headgate.release.rollout import Action, Step, write_step
from headgate.release.verification import compare, running_of
from headgate.settings import Stage
from tasks.driving import Drive, StageEnd
from tasks.putting_back import PutBack

NOW = datetime(2026, 5, 1, tzinfo=UTC)
OLD = RELEASE.model_copy(update={"configuration": Configuration(log_text="full", max_cached=5)})
NEW = RELEASE.model_copy(update={"bundle_digest": "e" * 64, "configuration": Configuration(log_text="none")})
WHERE = {"model": "replies", "environment": "production"}


def revision(release: Release) -> Revision:
    return Revision(
        release=release.id,
        bundle_digest=release.bundle_digest,
        bundle="bundle",
        model=release.model,
        configuration=release.configuration,
        image_digest=release.image_digest,
    )


class World:
    """An endpoint where NEW is champion after OLD, with a challenger beside it; a kill comes before or after any write or act."""

    def __init__(self, folder: Path) -> None:
        self.target, self.lake, self.kills, self.faults = SaysData(), FolderLake(folder), Kills(), ()
        self.now = NOW
        for release, before in ((OLD, None), (NEW, OLD.id)):
            self.target.deploy("endpoint", revision(release))
            self.target.promote("endpoint", release.id)
            crown(self.lake, "replies", "production", release.id, before, NOW)
            append(self.lake, now=NOW, who="automation:rollout", action="promote", release=release.id, reason="approved", **WHERE)
        self.target.deploy("endpoint", revision(RELEASE))
        self.target.set_split("endpoint", Split(champion=80, challenger=20, shadow=5))

    def put_back(self, release: Release = OLD, reason: str = "slow", **change: Any) -> Any:
        self.now += timedelta(minutes=1)
        given = {
            "lake": Interrupted(self.lake, self.kills),
            "target": Interrupted(self.target, self.kills),
            "endpoint": "endpoint",
            "environment": "production",
            "release": release,
            "revision": lambda: revision(release),
            "test": self._test,
            "who": "ada",
            "reason": reason,
            "clock": lambda: self.now,
        }
        return PutBack(**(given | change)).to_the_end()

    def _test(self, ask: Any) -> Sequence[str]:
        assert ask({})["model"]["release"] == self.target.status("endpoint").champion.release
        return self.faults

    def told(self) -> list[tuple[str, str]]:
        return [(entry.action, entry.release) for entry in entries(self.lake)][2:]


class SaysData(MemoryTarget):
    """Its servers also say which rows they were trained on, and may be wrong about themselves."""

    lies: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed

    def running(self, endpoint: str, cohort: Any) -> Running:
        said = super().running(endpoint, cohort)
        return said.model_copy(update={"data_version": RELEASE.data_version.model_dump(mode="json")} | self.lies)


def test_everything_of_the_release_comes_back_and_is_proven(tmp_path: Path) -> None:
    world = World(tmp_path)
    proof = world.put_back()
    status, live = world.target.status("endpoint"), champion(world.lake, "replies", "production")
    assert (status.champion, status.challenger, status.split) == (revision(OLD), None, Split())
    assert live is not None
    assert (live.release, live.previous) == (OLD.id, (NEW.id,))
    assert [one.name for one in proof.checks] == [
        "model",
        "release",
        "bundle_digest",
        "data_version",
        "cache_namespace",
        "configuration.log_text",
        "configuration.max_cached",
        "configuration.workers",
        "endpoint's champion",
        "endpoint's challenger",
        "split",
        "champion's record",
        "recorded answers",
        "the same through the split",
    ]
    assert world.told() == [("roll_back_started", OLD.id), ("roll_back", OLD.id), ("roll_back_verified", OLD.id)]
    assert entries(world.lake)[-1].reason.startswith("14 of 14 as recorded in 0.0 s: model, release, bundle_digest, ")


def test_a_rollback_of_a_rollback_is_a_rollback(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put_back(OLD)
    world.put_back(NEW, reason="it was not the model")
    world.put_back(OLD, reason="it was after all")
    live = champion(world.lake, "replies", "production")
    assert live is not None
    assert (live.release, live.previous) == (OLD.id, (NEW.id,))
    assert world.target.status("endpoint").champion == revision(OLD)
    assert [release for action, release in world.told() if action == "roll_back"] == [OLD.id, NEW.id, OLD.id]


@pytest.mark.parametrize(
    ("lies", "told"),
    [
        ({"bundle_digest": NEW.bundle_digest}, f"bundle_digest: expected {OLD.bundle_digest}, found {NEW.bundle_digest}"),
        ({"cache_namespace": NEW.bundle_digest}, f"cache_namespace: expected {OLD.bundle_digest}, found {NEW.bundle_digest}"),
        ({"configuration": {"log_text": "none", "max_cached": 5, "workers": 1}}, "configuration.log_text: expected full, found none"),
        ({"configuration": {}}, "configuration.max_cached: expected 5, found nothing"),
        ({"release": None}, f"release: expected {OLD.id}, found nothing"),
        ({"image_digest": "sha256:1"}, "image_digest: expected nothing, found sha256:1"),
    ],
)
def test_what_is_not_as_recorded_fails_the_rollback_and_is_audited(tmp_path: Path, lies: dict[str, Any], told: str) -> None:
    world = World(tmp_path)
    world.target.lies = lies
    with pytest.raises(Refused) as refused:
        world.put_back()
    said = str(refused.value)
    assert said.startswith(f"endpoint: release {OLD.id[:12]} is champion again, but ")
    assert f"\n  {told}\n" in said
    assert said.endswith("`headgate rollback --to` another release, and see the endpoint's logs")
    assert [action for action, _ in world.told()] == ["roll_back_started", "roll_back", "roll_back_failed"]
    assert entries(world.lake)[-1].reason == said


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.target.lies, world.faults = {"bundle_digest": "0" * 64, "release": "other"}, ("example 0, label: expected a, found b",)
    with pytest.raises(Refused, match="but 4 of 14 fields are not as its record says") as refused:
        world.put_back()
    found = "expected no faults, found 1 fault(s): example 0, label: expected a, found b"
    assert f"\n  recorded answers: {found}\n  the same through the split: {found}\n" in str(refused.value)


def test_a_failed_rollback_that_is_repeated_ends_well(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.faults = ("example 0, label: expected a, found b",)
    with pytest.raises(Refused):
        world.put_back()
    world.faults = ()
    assert world.put_back().faults == ()
    assert [action for action, _ in world.told()] == ["roll_back_started", "roll_back", "roll_back_failed", "roll_back_verified"]


def test_a_target_that_does_not_answer_is_audited_too(tmp_path: Path) -> None:
    world = World(tmp_path)

    def never(*_: Any, **__: Any) -> Any:
        raise Unavailable("no answer")

    world.target.rollback = never
    with pytest.raises(Unavailable, match="no answer"):
        world.put_back()
    assert world.told() == [("roll_back_started", OLD.id), ("roll_back_failed", OLD.id)]
    live = champion(world.lake, "replies", "production")
    assert live is not None
    assert live.release == NEW.id


def test_a_kill_at_any_write_or_act_is_repaired_by_the_same_rollback_again(tmp_path: Path) -> None:
    kills, moment = 0, 0
    while moment == kills:
        world = World(tmp_path / str(moment))
        world.kills.after(moment)
        try:
            world.put_back()
        except Killed:
            kills += 1
        world.kills.never()
        assert world.put_back().faults == ()
        status, live = world.target.status("endpoint"), champion(world.lake, "replies", "production")
        assert live is not None
        assert (live.release, live.previous, status.champion, status.split) == (OLD.id, (NEW.id,), revision(OLD), Split())
        actions = [action for action, _ in world.told()]
        assert actions[:2] == ["roll_back_started", "roll_back"]
        assert set(actions[2:]) == {"roll_back_verified"}
        moment += 1
    assert kills == 10  # before and after: three entries, the target's change, the champion's record


def test_the_same_command_means_the_same_rollback_until_something_moves(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert same_rollback(entries(world.lake), "replies", "production", "ada", "slow") is None
    world.kills.after(2)  # killed before the target was asked
    with pytest.raises(Killed):
        world.put_back()
    log = entries(world.lake)
    assert same_rollback(log, "replies", "production", "ada", "slow") == OLD.id
    assert same_rollback(log, "replies", "production", "ada", "another reason") is None
    assert same_rollback(log, "replies", "production", "grace", "slow") is None
    assert proof_of(log, "replies", "production", OLD.id) is None
    world.kills.never()
    world.put_back()
    assert proof_of(entries(world.lake), "replies", "production", OLD.id) is not None
    append(world.lake, now=NOW, who="automation:rollout", action="promote", release=NEW.id, reason="approved", **WHERE)
    assert same_rollback(entries(world.lake), "replies", "production", "ada", "slow") is None
    assert proof_of(entries(world.lake), "replies", "production", OLD.id) is None


def test_a_record_without_configuration_keeps_its_id_and_asks_for_none() -> None:
    old = Release.model_validate_json(RELEASE.to_bytes())
    assert b"configuration" not in old.to_bytes()
    assert old.id == RELEASE.id
    assert OLD.id != old.id
    assert not [one.name for one in compare(old, Running()) if one.name.startswith("configuration")]


def test_a_record_with_configuration_is_read_back_as_it_was(tmp_path: Path) -> None:
    lake = FolderLake(tmp_path)
    save_release(lake, OLD)
    assert Release.model_validate_json(lake.read(f"releases/{OLD.id}/release.json")) == OLD


def test_an_image_is_compared_where_the_target_runs_one() -> None:
    release = RELEASE.model_copy(update={"image_digest": "sha256:1"})
    assert "image_digest" not in [one.name for one in compare(release, Running())]
    (image,) = [one for one in compare(release, Running(image_digest="sha256:2")) if one.name == "image_digest"]
    assert str(image) == "image_digest: expected sha256:1, found sha256:2"


@pytest.mark.parametrize("said", [{}, {"model": 1, "serving": []}, {"model": {"release": 1, "data_version": "x"}, "serving": None}])
def test_nonsense_from_a_server_is_nothing(said: dict[str, Any]) -> None:
    assert running_of(said) == Running()


def test_a_rollback_by_hand_during_a_canary_ends_it_and_it_is_asked_about_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.target.rollback("endpoint")
    waits = iter([lambda: None, lambda: world.put_back(OLD), lambda: None])

    def drive() -> StageEnd:
        return Drive(
            lake=world.lake,
            target=world.target,
            endpoint="endpoint",
            release=RELEASE,
            stage=Stage(environment="production"),
            revision=lambda: revision(RELEASE),
            test=lambda _: (),
            probe=lambda _: next(waits)(),
            clock=lambda: world.now,
        ).to_the_end()

    ended = drive()
    assert (ended.promoted, ended.verdict) == (False, "inconclusive")
    assert ended.reason == "inconclusive: it was taken off the endpoint meanwhile, by a rollback or another deployment"
    assert world.target.status("endpoint").champion == revision(OLD)
    world.target.deploy("endpoint", revision(NEW))
    assert drive() == ended  # a run that starts again leaves another's challenger alone
    assert world.target.status("endpoint").challenger == revision(NEW)


def test_a_promoted_release_that_was_rolled_back_by_hand_does_not_come_again_with_its_run(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.target.rollback("endpoint")

    def drive() -> StageEnd:
        return Drive(
            lake=world.lake,
            target=world.target,
            endpoint="endpoint",
            release=RELEASE,
            stage=Stage(environment="production"),
            revision=lambda: revision(RELEASE),
            test=lambda _: (),
            probe=lambda _: None,
            clock=lambda: world.now,
        ).to_the_end()

    write_step(
        world.lake, RELEASE.id, Step(number=0, environment="production", action=Action(kind="test", reason=""), phase="intent", at=NOW)
    )
    write_step(
        world.lake, RELEASE.id, Step(number=1, environment="production", action=Action(kind="test", reason=""), phase="outcome", at=NOW)
    )
    world.target.deploy("endpoint", revision(RELEASE))
    world.target.promote("endpoint", RELEASE.id)
    assert drive().promoted
    world.put_back(NEW, reason="wrong labels")
    assert not drive().promoted
    assert world.target.status("endpoint").champion == revision(NEW)
    world.put_back(RELEASE, reason="they were right")
    assert not drive().promoted
    assert world.target.status("endpoint").champion == revision(RELEASE)
