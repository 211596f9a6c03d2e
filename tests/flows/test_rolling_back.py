"""A rollback as Prefect runs it: every stage goes back and is proven, and what is refused moves nothing. The targets are in memory."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from made_up_release import made_up

import tasks.putting_back
import tasks.rolling_back
from deployments.memory import MemoryTarget
from deployments.target import Revision, Running
from flows.rollback import rollback_release
from headgate.data.version import DataVersion
from headgate.errors import Refused
from headgate.lake import open_lake
from headgate.release.audit import append, entries
from headgate.release.champion import champion, crown
from headgate.release.configuration import Configuration
from headgate.release.record import Release, save_release
from headgate.settings import load_settings

TOML = """home = "home"
lake = "lake"
[models.replies]
dataset = "replies"
[models.replies.rollout]
rollback_window_revisions = 1
[[models.replies.rollout.stages]]
environment = "pre-production"
[[models.replies.rollout.stages]]
environment = "production"
"""
DATA = DataVersion(dataset="replies", version=0, digest="d" * 32, rows=700)
NOW = datetime(2026, 5, 1, tzinfo=UTC)
STAGES = ("pre-production", "production")


class Endpoints(MemoryTarget):
    """Their servers also say which rows they were trained on."""

    def running(self, endpoint: str, cohort: Any) -> Running:
        return super().running(endpoint, cohort).model_copy(update={"data_version": DATA.model_dump(mode="json")})


class World:
    """Three releases that were champion of both stages one after the other; what MLflow would be told is written down."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.lake, self.target, self.alias = open_lake("lake"), Endpoints(), {}
        self.releases = [self._release(number) for number in range(3)]
        for stage in STAGES:
            self._promoted(stage)
        for name, value in (
            ("target_named", lambda _: self.target),
            ("revision_of", lambda release: self.revision(next(one for one in self.releases if one.id == release))),
            ("recorded_answers", lambda _: lambda _: []),
        ):
            patch.setattr(tasks.putting_back, name, value)
        patch.setattr(tasks.rolling_back, "set_alias", lambda _, alias, version: self.alias.setdefault(alias, version))
        patch.setattr(tasks.rolling_back, "alias_of", lambda _, alias: self.alias.get(alias))

    def _release(self, number: int) -> Release:
        release = made_up(
            candidate=f"{number:016x}",
            bundle_digest=str(number) * 64,
            configuration=Configuration(log_text="full") if number == 1 else Configuration(),
            registered_version=str(number + 1),
        )
        save_release(self.lake, release)
        return release

    def revision(self, release: Release) -> Revision:
        return Revision(
            release=release.id, bundle_digest=release.bundle_digest, bundle="b", model="replies", configuration=release.configuration
        )

    def _promoted(self, stage: str) -> None:
        before = None
        for release in self.releases:
            self.target.deploy(f"replies-{stage}", self.revision(release))
            self.target.promote(f"replies-{stage}", release.id)
            crown(self.lake, "replies", stage, release.id, before, NOW)
            told = {"model": "replies", "release": release.id, "environment": stage}
            append(self.lake, now=NOW, who="automation:rollout", action="promote", reason="approved", **told)
            before = release.id

    def live(self) -> list[str]:
        return [live.release for stage in STAGES if (live := champion(self.lake, "replies", stage))]

    def told(self) -> list[tuple[str, str | None]]:
        return [(entry.action, entry.environment) for entry in entries(self.lake) if entry.action != "promote"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    (tmp_path / "headgate.toml").write_text(TOML)
    load_settings.cache_clear()
    yield World(monkeypatch)
    load_settings.cache_clear()


def test_every_stage_goes_back_production_first_and_says_what_was_proven(world: World, caplog: pytest.LogCaptureFixture) -> None:
    before = world.releases[1]
    assert rollback_release("replies", "ada", "slow") == before.id
    assert world.live() == [before.id, before.id]
    steps = ("roll_back_started", "roll_back", "roll_back_verified")
    assert world.told() == [(step, stage) for stage in reversed(STAGES) for step in steps]
    assert world.alias == {"champion": "2"}
    assert f"release {before.id[:12]} brings its own configuration back: log_text full (headgate.toml: hash)" in caplog.text
    assert f"replies-production: release {before.id[:12]} is champion again; 14 of 14 as recorded in " in caplog.text


@pytest.mark.parametrize(
    ("place", "why"), [(0, "is none of the last 1 champions"), (None, "expected one that was champion of replies before")]
)
def test_what_may_not_be_gone_back_to_moves_nothing(world: World, place: int | None, why: str) -> None:
    never = world.releases[0].model_copy(update={"candidate": "9" * 16})
    save_release(world.lake, never)
    with pytest.raises(Refused, match=why):
        rollback_release("replies", "ada", "slow", to=never.id if place is None else world.releases[place].id)
    assert (world.live(), world.told()) == ([world.releases[2].id] * 2, [])


def test_an_alias_that_somebody_else_moved_fails_the_rollback_and_is_audited(world: World) -> None:
    world.alias["champion"] = "9"
    with pytest.raises(Refused, match=r"^replies: MLflow's alias champion: expected 2, found 9; somebody moved it meanwhile"):
        rollback_release("replies", "ada", "slow")
    assert world.told()[-1] == ("roll_back_failed", None)
