"""Rollouts as Prefect runs them: the log, the page that is updated, and how a run ends. The target is one in memory."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_up_release import made_up
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

import tasks.asking
import tasks.reasking
import tasks.rolling_out
from deployments.memory import MemoryTarget
from deployments.target import EndpointStatus, Observation, Revision
from headgate.errors import Refused
from headgate.lake import Lake, open_lake
from headgate.release.audit import entries
from headgate.release.champion import champion
from headgate.release.record import Release, folder, save_release
from headgate.settings import Stage, load_settings
from tasks.reasking import ask_again_after
from tasks.rolling_out import roll_out, undo_stages

TOML = """home = "home"
lake = "lake"
[models.replies]
dataset = "replies"
[[models.replies.rollout.stages]]
environment = "production"
traffic_routing = { type = "CANARY", canary_size_percent = 20 }
bake_time_s = 1
auto_rollback = { min_requests = 20, max_duration_s = 2 }
"""


class World:
    """Patched in place of the installation: endpoints in memory, a lake in a folder, aliases and new runs written down."""

    def __init__(self, lake: Lake, patch: pytest.MonkeyPatch) -> None:
        self.lake, self.per_s, self.aliases, self.started = lake, 1000, [], []
        self.target = MemoryTarget(self._observed)
        for name, value in (
            ("target_named", lambda _: self.target),
            ("verify_approval", lambda _: None),
            ("revision_of", lambda release: Revision(release=release, bundle_digest="1" * 64, bundle="bundle")),
            ("deployed_faults", lambda _, __, ___, ask: [] if ask({}) else ["no answer"]),
            ("drop_alias", lambda *args: self.aliases.append(("drop", args[1]))),
        ):
            patch.setattr(tasks.rolling_out, name, value)
        patch.setattr(tasks.reasking, "set_alias", lambda *args: self.aliases.append(("set", args[1])))
        patch.setattr(tasks.asking, "run_deployment", lambda name, **given: self.started.append(SimpleNamespace(name=name, **given)))

    def _observed(self, status: EndpointStatus, window_s: float) -> tuple[Observation, ...]:
        seen = {"champion": int(0.8 * self.per_s * window_s), "challenger": int(0.2 * self.per_s * window_s)}
        return tuple(Observation(cohort=name, window_s=window_s, requests=count, labels={"a": count}) for name, count in seen.items())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    (tmp_path / "headgate.toml").write_text(TOML)
    load_settings.cache_clear()
    yield World(open_lake("lake"), monkeypatch)
    load_settings.cache_clear()


def release_of(lake: Lake, candidate: str) -> Release:
    release = made_up(candidate=candidate)
    save_release(lake, release)
    for name in ("index.html", "summary.md"):
        lake.put_if_absent(f"{folder(release.id)}/evidence/{name}", b"evidence")
    return release


@flow(name="release")
def release_it(release: Release, stage: Stage) -> str:
    ended = roll_out(release, stage)
    if not ended.promoted:
        undo_stages(release, (), ended)
        return ask_again_after(release, ended)
    return ended.reason


def pages(release: Release) -> list[str]:
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[f"rollout-{release.id[:12]}-production"]))
    with get_client(sync_client=True) as client:
        return [str(found.data) for found in client.read_artifacts(artifact_filter=wanted)]


def test_a_good_release_is_promoted_and_one_page_was_kept_up_to_date(world: World) -> None:
    world.target.deploy("replies-production", Revision(release="old", bundle_digest="0" * 64, bundle="old"))
    release = release_of(world.lake, "1" * 16)
    assert release_it(release, load_settings().model("replies").rollout.stages[0]).startswith("the release is champion")
    live = champion(world.lake, "replies", "production")
    assert live is not None
    assert live.release == release.id
    found = pages(release)
    assert len(found) == 1
    assert "in production: is champion; challenger 0%, champion 100%" in found[0]


def test_an_inconclusive_rollout_returns_the_weight_and_asks_again_over_what_was_seen(world: World) -> None:
    world.target.deploy("replies-production", Revision(release="old", bundle_digest="0" * 64, bundle="old"))
    world.per_s = 10
    release = release_of(world.lake, "2" * 16)
    with pytest.raises(Refused, match=r"was taken back in production: inconclusive: \d+ requests, needed 20;.* waits for approval"):
        release_it(release, load_settings().model("replies").rollout.stages[0])
    status = world.target.status("replies-production")
    assert (status.champion.release if status.champion else None, status.challenger, status.split.challenger) == ("old", None, 0)
    (run,) = world.started
    assert run.name == "release_candidate/default"
    assert run.parameters["release"] != release.id
    assert b"What an earlier rollout saw" in world.lake.read(f"{folder(run.parameters['release'])}/evidence/index.html")
    assert world.aliases == [("set", "challenger")]
    assert [entry.action for entry in entries(world.lake)] == ["roll_back"]
    assert "Why: inconclusive:" in pages(release)[0]
