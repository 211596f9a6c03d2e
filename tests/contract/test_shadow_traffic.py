"""Mirrored requests on real local endpoints under load: real routers, supervisord and processes, a stub in place of the model."""

import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from stub_endpoints import BODY, STUB, empty, local_endpoints, stub_revision

from deployments.local import LocalTarget
from deployments.router import ANSWER_S
from deployments.target import Revision, Split
from headgate.data.version import DataVersion
from headgate.lake import FolderLake
from headgate.release.candidate import Candidate
from headgate.release.shadow import Limits
from headgate.release.shadow_report import ShadowReport
from headgate.settings import AutoRollback, LoadTest, Shadow
from tasks.mirroring import Mirroring

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CLIENTS, DELAY_S = 4, 0.02
DATA = DataVersion(dataset="replies", version=0, digest="d" * 32, rows=700)
CANDIDATE = Candidate(
    model="replies", key="c" * 16, data_version=DATA, regression_set=DATA, commit="0" * 40, started_by="person:ada", champion="old"
)


class Users:
    """What users of an endpoint got: answers by status, cohort, release and label, and how long each took."""

    def __init__(self) -> None:
        self.got: Counter[tuple[int, str, str, str]] = Counter()
        self.seconds: list[float] = []
        self.lost: list[str] = []

    def ask(self, http: httpx.Client, url: str) -> None:
        begun = time.perf_counter()
        try:
            answer = http.post(f"{url}/invocations", json=BODY)
        except httpx.HTTPError as fault:
            self.lost.append(repr(fault))
            return
        self.seconds.append(time.perf_counter() - begun)
        told = answer.json()
        label = told["predictions"][0]["label"] if answer.is_success else ""
        self.got[answer.status_code, answer.headers["X-Headgate-Cohort"], told.get("model", {}).get("release", ""), label] += 1


@contextmanager
def load(url: str) -> Iterator[Users]:
    """A few clients, each sending again when it was answered."""
    users, over = Users(), threading.Event()

    def client() -> None:
        with httpx.Client(timeout=60, trust_env=False) as http:
            while not over.is_set():
                users.ask(http, url)

    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(client) for _ in range(CLIENTS)]
        try:
            yield users
        finally:
            over.set()
    assert all(future.exception() is None for future in running)


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTarget]:
    with local_endpoints(LocalTarget(tmp_path_factory.mktemp("shadow") / "home", first_port=23100, ready_s=60, server=STUB)) as found:
        yield found


@pytest.fixture
def target(supervised: LocalTarget) -> Iterator[LocalTarget]:
    yield supervised
    empty(supervised)


def revision(folder: Path, release: str, **behaviour: Any) -> Revision:
    return stub_revision(folder, release, **({"delay_s": DELAY_S} | behaviour))


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def shadowed(target: LocalTarget, tmp_path: Path, **behaviour: Any) -> tuple[ShadowReport, Users]:
    """The shadow of a candidate that behaves so, beside a champion that says `positive`, and what users got meanwhile."""
    endpoint = tmp_path.name.replace("_", "-")[:40].strip("-").lower()
    url = target.deploy(endpoint, revision(tmp_path / "old", "old")).url
    assert url
    new = revision(tmp_path / "new", f"candidate-{CANDIDATE.key}", **behaviour)
    with load(url) as users:
        found = Mirroring(
            lake=FolderLake(tmp_path / "lake"),
            target=target,
            endpoint=endpoint,
            candidate=CANDIDATE,
            revision=new,
            limits=Limits(Shadow(sampling_percentage=50, min_requests=200, max_duration_s=60), AutoRollback(), LoadTest()),
            test=lambda ask: [] if behaviour.get("stub") in ("hang", "broken") or ask(BODY) else ["no answer"],
            wait=time.sleep,
            run="run",
        ).to_the_end()
        answered = len(users.seconds)
        while len(users.seconds) < answered + 20:
            time.sleep(0.05)
    status = target.status(endpoint)
    assert (status.champion.release if status.champion else None, status.challenger, status.split) == ("old", None, Split())
    assert users.lost == []
    assert set(users.got) == {(200, "champion", "old", "positive")}
    return found, users


def test_a_candidate_that_says_something_else_passes_with_its_matrix_and_no_user_sees_it(target: LocalTarget, tmp_path: Path) -> None:
    found, users = shadowed(target, tmp_path, positive=0.0)
    assert (found.verdict, found.agreement, found.errors, found.dropped) == ("passed", 0, 0, 0), found.reason
    assert (found.labels, found.matrix) == (("other", "positive"), ((0, 0), (found.pairs, 0)))
    assert 200 <= found.pairs <= len(users.seconds)
    assert found.unpaired <= CLIENTS
    share = (found.pairs + found.unpaired) / found.champion_requests
    assert share == pytest.approx(0.5, abs=0.15)


def test_a_candidate_that_crashes_again_and_again_fails_and_no_user_notices(target: LocalTarget, tmp_path: Path) -> None:
    found, _ = shadowed(target, tmp_path, crash_after=30)
    assert found.verdict == "failed"
    assert "error_rate" in found.reason


def test_a_candidate_that_answers_500_fails(target: LocalTarget, tmp_path: Path) -> None:
    found, _ = shadowed(target, tmp_path, stub="broken")
    assert (found.verdict, found.pairs) == ("failed", 0)


def test_a_candidate_that_is_slow_fails_and_keeps_nobody_waiting(target: LocalTarget, tmp_path: Path) -> None:
    slow_s = 20 * DELAY_S
    found, users = shadowed(target, tmp_path, delay_s=slow_s)
    assert found.verdict == "failed"
    assert "seconds in which the same texts took longer than 1.25 times" in found.reason or "p95_ms" in found.reason
    assert statistics.median(users.seconds) < slow_s / 2


def test_a_candidate_that_cannot_start_fails_with_its_last_words(target: LocalTarget, tmp_path: Path) -> None:
    found, _ = shadowed(target, tmp_path, stub="crash")
    assert found.verdict == "failed"
    assert found.reason.startswith(f"the candidate did not start: release candidate-{CANDIDATE.key} did not become ready at endpoint ")
    assert "cannot load the model: out of luck" in found.reason


def test_copies_that_hang_are_dropped_beyond_a_bound_keep_nobody_waiting_and_do_not_hold_up_the_switch(
    target: LocalTarget, tmp_path: Path
) -> None:
    url = target.deploy("hanging", revision(tmp_path / "old", "old")).url
    assert url
    target.deploy("hanging", revision(tmp_path / "new", "new", stub="hang"))
    target.set_split("hanging", Split(shadow=100))
    with load(url) as users:
        while target.mirrored("hanging", 60).dropped < 50:
            time.sleep(0.1)
        begun = time.monotonic()
        target.rollback("hanging")
        assert time.monotonic() - begun < ANSWER_S
    assert users.lost == []
    assert set(users.got) == {(200, "champion", "old", "positive")}


def test_corrections_are_kept_once_and_a_clients_own_mirror_id_goes_nowhere(target: LocalTarget, tmp_path: Path) -> None:
    url = target.deploy("feedback", revision(tmp_path / "old", "old")).url
    assert url
    own = {"X-Headgate-Mirror": "0" * 32}
    assert httpx.post(f"{url}/invocations", json=BODY, headers=own).status_code == 200
    target.deploy("feedback", revision(tmp_path / "new", "new"))
    target.set_split("feedback", Split(shadow=100))
    assert httpx.post(f"{url}/feedback", json={"label": "other"}).status_code == 202
    assert httpx.post(f"{url}/invocations", json=BODY, headers=own).status_code == 200
    champion, challenger = (target.prediction_log("feedback", name) for name in ("old", "new"))
    while not lines(challenger / "predictions.jsonl"):
        time.sleep(0.05)
    assert lines(champion / "feedback.jsonl") == [{"label": "other"}]
    assert lines(challenger / "feedback.jsonl") == []
    first, second = lines(champion / "predictions.jsonl")
    assert "mirror" not in first
    assert second["mirror"] == lines(challenger / "predictions.jsonl")[0]["mirror"] != "0" * 32
