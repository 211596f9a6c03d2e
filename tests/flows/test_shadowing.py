"""A shadow as Prefect runs it: the page that is updated, the outcome in the lake, what a skipped one says. The target is one in memory."""

from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

import tasks.shadowing
import tasks.staging
from deployments.memory import MemoryTarget
from deployments.target import EndpointStatus, Mirrored, Revision, Split
from headgate.data.version import DataVersion
from headgate.evaluation.load_report import LoadReport
from headgate.evaluation.report import GateResult, Report, Verdict
from headgate.lake import Lake, open_lake
from headgate.release.candidate import Candidate
from headgate.release.shadow_report import Answer, Pair, ShadowReport
from headgate.settings import load_settings
from tasks.shadowing import run_shadow
from tasks.staging import Staging
from tasks.wrapping import WrappedBundle

TOML = """home = "home"
lake = "lake"
[models.replies]
dataset = "replies"
[models.replies.rollout.shadow]
sampling_percentage = 50
min_requests = 20
max_duration_s = 5
[[models.replies.rollout.stages]]
environment = "production"
"""
DATA = DataVersion(dataset="replies", version=0, digest="d" * 32, rows=700)
PAIR = Pair(Answer("x", "other", "scored", 5.0, False), Answer("y", "positive", "scored", 5.0, False))


def candidate(key: str, champion: str | None) -> Candidate:
    return Candidate(
        model="replies", key=key, data_version=DATA, regression_set=DATA, commit="0" * 40, started_by="person:ada", champion=champion
    )


class World:
    """Patched in place of the installation: an endpoint in memory, a lake in a folder."""

    def __init__(self, lake: Lake, patch: pytest.MonkeyPatch) -> None:
        self.lake, self.target, self.splits = lake, MemoryTarget(mirrored=self._mirrored), []
        self.target.deploy("replies-production", Revision(release="old", bundle_digest="0" * 64, bundle="old"))
        patch.setattr(tasks.shadowing, "target_named", lambda _: self.target)
        patch.setattr(tasks.shadowing, "endpoint_test", lambda ask, _: [] if ask({}) else ["no answer"])
        patch.setattr(tasks.staging, "signature_beside", lambda _: None)

    def _mirrored(self, status: EndpointStatus, window_s: float) -> Mirrored:
        self.splits.append(status.split)
        return Mirrored((PAIR,) * int(20 * window_s), champion_requests=int(40 * window_s))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    (tmp_path / "headgate.toml").write_text(TOML)
    load_settings.cache_clear()
    yield World(open_lake("lake"), monkeypatch)
    load_settings.cache_clear()


@flow(name="train")
def shadow_it(subject: Candidate, tests: Verdict) -> ShadowReport:
    bundle = WrappedBundle(digest="1" * 64, path=Path("bundle"))
    staging = Staging(endpoint="replies-staging", url="http://127.0.0.1:1", cohort="challenger", bundle=bundle, compared=True)
    gates = (GateResult(name="accuracy", verdict=tests, expected="", found=""),)
    return run_shadow(subject, staging, None, Report.model_construct(gates=gates), LoadReport.model_construct(gates=gates))


def pages(key: str) -> list[str]:
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[f"shadow-replies-{key}"]))
    with get_client(sync_client=True) as client:
        return [str(found.data) for found in client.read_artifacts(artifact_filter=wanted)]


def test_a_shadow_that_passed_left_nothing_behind_but_its_report_and_one_page(world: World) -> None:
    subject = candidate("a" * 16, "old")
    found = shadow_it(subject, "passed")
    assert (found.verdict, found.agreement, found.endpoint) == ("passed", 0, "replies-production")
    assert set(world.splits[1:]) == {Split(shadow=50)}
    status = world.target.status("replies-production")
    assert (status.champion.release if status.champion else None, status.challenger, status.split) == ("old", None, Split())
    (report,) = [key for key in world.lake.keys("candidates/replies") if key.endswith("report.json")]
    assert ShadowReport.model_validate_json(world.lake.read(report)) == found
    (page,) = pages(subject.key)
    assert page.startswith("**shadow at replies-production passed: 50% mirrored for ")


@pytest.mark.parametrize(
    ("champion", "tests", "why"),
    [
        (None, "passed", "there is no champion yet whose requests could be mirrored"),
        ("old", "failed", "regression and load test failed, so the candidate is stopped without one"),
    ],
)
def test_a_shadow_that_cannot_be_is_skipped_and_nothing_is_deployed(world: World, champion: str | None, tests: Verdict, why: str) -> None:
    assert shadow_it(candidate("b" * 16, champion), tests) == ShadowReport(skipped=why)
    assert world.splits == []
    assert world.lake.keys("candidates") == []
