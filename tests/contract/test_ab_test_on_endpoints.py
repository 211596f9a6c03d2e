"""A hold on real local endpoints: real servers and bundles under traffic, real corrections through /feedback, the shipped driver."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from made_up_release import made_up
from stub_endpoints import local_endpoints

from deployments.local import LocalTarget
from deployments.target import Revision, Split
from headgate.lake import FolderLake
from headgate.model.bundle import open_bundle
from headgate.release.ab_test import ABReport
from headgate.release.audit import entries
from headgate.release.record import Release
from headgate.release.rollout import steps
from headgate.settings import ABTest, AutoRollback, Stage, TrafficRouting
from tasks.driving import Drive, StageEnd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TEXTS = [f"{text} number {n}" for n in range(40) for text in ("yes please, call me", "too expensive for us", "stop writing to me")]
LABELS = ("positive", "objection/budget", "unsubscribe")
STAGE = Stage(
    environment="production",
    traffic_routing=TrafficRouting(type="CANARY", canary_size_percent=30),
    bake_time_s=5,
    ab_test=ABTest(challenger_percent=50, hold_s=10, primary_metric="right_share", min_effect=-0.2),
    auto_rollback=AutoRollback(min_requests=40, max_duration_s=60, max_p95_ratio=20, max_p99_ratio=20, correction_wait_s=1.5),
)
Says = Callable[[str, str], str | None]  # the label that a user gives an answer of a cohort; None: says nothing


@pytest.fixture(scope="module")
def bundles(bundle: Path, tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory, provenance: dict[str, Any]) -> tuple[Path, Path]:
    """Two real bundles that answer alike and are told apart by their digests."""
    from headgate.model.filters import FilterConfig
    from headgate.model.wrapping import wrap

    folder = tmp_path_factory.mktemp("challenger") / "bundle"
    return bundle, wrap(
        tiny_classifier, folder, FilterConfig(min_confidence=0.0, out_of_scope_share=0.0), {**provenance, "commit": "new"}
    ).path


@pytest.fixture
def target(tmp_path: Path) -> Iterator[LocalTarget]:
    with local_endpoints(LocalTarget(tmp_path / "home", first_port=22300, ready_s=60)) as found:
        yield found


@contextmanager
def users(url: str, says: Says) -> Iterator[list[str]]:
    """Four users, each with a seed of his own, who send texts and say what they think of the answers; yields what went wrong."""
    faults: list[str] = []
    over = threading.Event()

    def user(seed: int) -> None:
        rng = random.Random(seed)
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
            while not over.is_set():
                answer = http.post("/invocations", json={"instances": [{"text": rng.choice(TEXTS)}]})
                told = answer.json()["predictions"][0] if answer.is_success else {}
                if label := says(answer.headers["X-Headgate-Cohort"], str(told.get("label"))):
                    given = http.post("/feedback", json={"prediction_id": told["prediction_id"], "label": label})
                    faults.extend([] if given.is_success else [given.text])
                faults.extend([] if answer.is_success else [answer.text])
                time.sleep(0.02)

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(user, seed) for seed in range(4)]
        try:
            yield faults
        finally:
            over.set()
    assert [future.exception() for future in running] == [None] * 4


def roll_out(target: LocalTarget, folder: Path, bundles: tuple[Path, Path], says: Says) -> tuple[StageEnd, Release, FolderLake]:
    old, new = bundles
    lake = FolderLake(folder / "lake")
    release = made_up(bundle_digest=open_bundle(new).digest)
    revision = Revision.adhoc(new).model_copy(update={"release": release.id})
    url = target.deploy("production", Revision.adhoc(old)).url
    assert url
    with users(url, says) as faults:
        ended = Drive(
            lake=lake,
            target=target,
            endpoint="production",
            release=release,
            stage=STAGE,
            revision=lambda: revision,
            test=lambda ask: [] if ask({"instances": [{"text": "stop"}]})["predictions"] else ["no answer"],
            probe=time.sleep,
        ).to_the_end()
    assert faults == []
    return ended, release, lake


def test_a_hold_ends_with_a_page_over_answers_corrections_and_pairs(
    target: LocalTarget, tmp_path: Path, bundles: tuple[Path, Path]
) -> None:
    """Users say of a third of the answers what is right, and find both models equally good."""
    rng = random.Random(5)
    wrong = dict(zip(LABELS, (*LABELS[1:], LABELS[0]), strict=True))

    def says(_: str, label: str) -> str | None:
        return None if rng.random() > 1 / 3 else wrong[label] if rng.random() < 0.1 else label

    ended, release, lake = roll_out(target, tmp_path, bundles, says)
    assert ended.promoted, ended.reason
    found = steps(lake, release.id)
    assert [step.action.kind for step in found if step.phase == "outcome"] == [
        "deploy",
        "test",
        "shift",
        "hold",
        "report",
        "promote",
        "finish",
    ]
    (concluded,) = (step.concluded for step in found if step.concluded)
    assert concluded.verdict == "passed"
    assert concluded.page
    report = ABReport.model_validate_json(lake.read(concluded.page.replace("index.html", "report.json")))
    metrics = {one.metric: one for one in report.compared}
    assert min(report.requests.values()) > 100
    (begun,) = (step.at for step in found if (step.action.kind, step.phase) == ("hold", "outcome"))
    assert (report.since, (report.until - report.since).total_seconds()) == (begun, 10)
    assert abs(report.requests["challenger"] / sum(report.requests.values()) - 0.5) < 0.1
    for side in (metrics["right_share"].challenger, metrics["right_share"].champion):
        assert side.of > 20
        assert side.value > 0.75
    assert metrics["error_rate"].challenger.hits == 0
    assert len(TEXTS) * 0.6 < report.paired.texts == report.paired.agreed
    assert 0 < report.paired.judged_by_challenger < report.paired.judged
    assert [entry.action for entry in entries(lake)] == ["ab_test", "promote"]
    assert concluded.page in entries(lake)[0].reason


def test_a_challenger_whose_answers_users_correct_goes_back_by_itself(
    target: LocalTarget, tmp_path: Path, bundles: tuple[Path, Path]
) -> None:
    """Half of the challenger's answers are corrected, one of 50 of the champion's; most corrections reach the other one's server."""
    rng = random.Random(6)

    def says(cohort: str, label: str) -> str | None:
        return next(name for name in LABELS if name != label) if rng.random() < {"challenger": 0.5, "champion": 0.02}[cohort] else None

    ended, _, _ = roll_out(target, tmp_path, bundles, says)
    assert (ended.promoted, ended.verdict) == (False, "failed")
    assert "correction_rate " in ended.reason
    assert "allowed 2 points more" in ended.reason
    status = target.status("production")
    assert (status.challenger, status.split) == (None, Split())
