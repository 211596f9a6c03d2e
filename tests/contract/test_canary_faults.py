"""Each planted fault once on real local endpoints under load: real routers, supervisord and processes, a stub in place of the model.

The machine, its analysis and its driver are the shipped ones; limits and evidence are the defaults, at half of the traffic so that it takes
under a minute each.
"""

import sys
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
from made_up_release import RELEASE
from stub_endpoints import BODY, STUB, local_endpoints, stub_revision

from deployments.local import LocalTarget
from deployments.target import Split
from headgate.lake import FolderLake
from headgate.release.rollout import steps
from headgate.settings import AutoRollback, Stage, TrafficRouting
from tasks.driving import Drive, StageEnd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
PERCENT = 50
POLICY = AutoRollback(min_requests=300, max_duration_s=180)
STAGE = Stage(
    environment="production",
    traffic_routing=TrafficRouting(type="CANARY", canary_size_percent=PERCENT),
    bake_time_s=30,
    auto_rollback=POLICY,
)
GOOD = {"delay_s": 0.02, "positive": 0.4}


class Clients:
    """What clients of an endpoint got: answers by status and cohort."""

    def __init__(self) -> None:
        self.got: Counter[tuple[int, str]] = Counter()
        self.lost: list[str] = []

    @property
    def failed(self) -> int:
        """Answers that were no 200."""
        return sum(count for (status, _), count in self.got.items() if status != 200)

    def by(self, cohort: str) -> int:
        """Answers of a cohort."""
        return sum(count for (_, found), count in self.got.items() if found == cohort)


@contextmanager
def load(url: str, clients: int = 10) -> Iterator[Clients]:
    """So many clients, each sending again when it was answered."""
    told, over, lock = Clients(), threading.Event(), threading.Lock()

    def client() -> None:
        with httpx.Client(timeout=30, trust_env=False) as http:
            while not over.is_set():
                try:
                    answer = http.post(f"{url}/invocations", json=BODY)
                    with lock:
                        told.got[answer.status_code, answer.headers["X-Headgate-Cohort"]] += 1
                except (httpx.HTTPError, KeyError) as fault:
                    told.lost.append(repr(fault))

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client) for _ in range(clients)]
        try:
            yield told
        finally:
            over.set()
    assert all(future.exception() is None for future in running)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[LocalTarget]:
    with local_endpoints(LocalTarget(tmp_path / "home", first_port=21700, ready_s=60, server=STUB)) as found:
        yield found


def roll_out(target: LocalTarget, tmp_path: Path, **fault: Any) -> tuple[StageEnd, Clients, float]:
    """The end of a rollout of a stub with this fault, what clients got meanwhile and after, and how long its last step took."""
    url = target.deploy("production", stub_revision(tmp_path / "old", **GOOD)).url
    assert url
    expected = fault.pop("expected", None)
    new = stub_revision(tmp_path / "new", **(GOOD | fault)).model_copy(update={"release": RELEASE.id})
    lake = FolderLake(tmp_path / "lake")

    def test(ask: Any) -> list[str]:
        answer = ask(BODY)["predictions"][0]["label"]
        return [] if expected in (None, answer) else [f"example 0: expected {expected}, found {answer}"]

    with load(url) as clients:
        drive = Drive(
            lake=lake, target=target, endpoint="production", release=RELEASE, stage=STAGE, revision=lambda: new, test=test, probe=time.sleep
        )
        ended = drive.to_the_end()
        before = clients.by("challenger")
        time.sleep(1)
        if not ended.promoted:
            assert clients.by("challenger") == before
    last = steps(lake, RELEASE.id)[-2:]
    assert [step.phase for step in last] == ["intent", "outcome"]
    took = (last[1].at - last[0].at).total_seconds()
    print(f"{fault}: {ended.reason}; {dict(clients.got)}; last step {took:.1f} s", file=sys.stderr)  # noqa: T201 - shown with -s
    return ended, clients, took


FAULTS = {
    "p95 +50%": ({"delay_s": 0.03}, "p95_ms"),
    "2% errors": ({"errors": 0.02}, "error_rate"),
    "a label's share +10 points": ({"positive": 0.5}, "share of "),
    "crash loop": ({"crash_after": 40}, "error_rate"),
    "memory leak": ({"leak": 1 / 150}, "p95_ms"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_goes_back_by_itself(target: LocalTarget, tmp_path: Path, name: str) -> None:
    fault, metric = FAULTS[name]
    ended, clients, took = roll_out(target, tmp_path, **fault)
    assert (ended.promoted, ended.verdict) == (False, "failed")
    assert metric in ended.reason
    assert took < 10
    assert clients.lost == []
    status = target.status("production")
    assert (status.champion.release if status.champion else None, status.challenger, status.split) == ("old", None, Split())
    harmed = clients.by("challenger") / sum(clients.got.values())
    assert harmed <= PERCENT / 100 + 0.03
    if "errors" not in fault and "leak" not in fault:
        assert clients.failed == 0
    else:
        assert clients.failed == sum(count for (code, cohort), count in clients.got.items() if code != 200 and cohort == "challenger")


def test_a_wrong_bundle_gets_no_traffic(target: LocalTarget, tmp_path: Path) -> None:
    ended, clients, _ = roll_out(target, tmp_path, positive=0.0, expected="positive")
    assert ended.reason == "failed: the endpoint test found 1 fault(s): example 0: expected positive, found other"
    assert (clients.by("challenger"), clients.failed, clients.lost) == (0, 0, [])


def test_a_good_challenger_is_promoted_without_a_failed_request(target: LocalTarget, tmp_path: Path) -> None:
    ended, clients, _ = roll_out(target, tmp_path)
    assert ended.promoted, ended.reason
    assert (clients.failed, clients.lost) == (0, [])
    status = target.status("production")
    assert (status.champion is not None and status.champion.release != "old", status.challenger) == (True, None)
