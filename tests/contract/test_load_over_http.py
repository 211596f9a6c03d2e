"""The load test drives real HTTP servers with real Locust processes."""

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import ClassVar

import pytest

from headgate.errors import BadInput, Unavailable
from headgate.evaluation import load_run
from headgate.evaluation.load import run_load_test
from headgate.evaluation.load_report import LoadReport
from headgate.settings import LoadTest

LOCUSTFILE = Path(load_run.__file__).with_name("locustfile.py")
BOTH: load_run.Cohorts = {"candidate": "challenger", "champion": "champion"}
MB = 10**6


class Endpoint(BaseHTTPRequestHandler):
    """Answers one request at a time, after `slow_s` for each cohort; every tenth gets status 503 where `broken` says so.

    Its memory grows by `leak_mb` with every answer of the challenger.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    slow_s: ClassVar[dict[str | None, float]] = {}
    broken, leak_mb = False, 0.0
    seen: ClassVar[list[dict[str, str | None]]] = []
    lock: ClassVar[Lock]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        cohort = self.headers["X-Headgate-Cohort"]
        asked = {"path": self.path, "cache": self.headers["X-Headgate-Cache"], "cohort": cohort}
        self.seen.append(asked | {"text": body["instances"][0]["text"]})
        with self.lock:
            time.sleep(self.slow_s.get(cohort, 0.0))
        self.send(503 if self.broken and len(self.seen) % 10 == 0 else 200, b"{}")

    def do_GET(self) -> None:
        leaked = self.leak_mb * sum(one["cohort"] == "challenger" for one in self.seen)
        held = 100 + (leaked if self.headers["X-Headgate-Cohort"] == "challenger" else 0)
        self.send(200, f"process_resident_memory_bytes {held * MB}\n".encode())

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def endpoint(**how: object) -> Iterator[tuple[str, type[Endpoint]]]:
    handler = type("Handler", (Endpoint,), how | {"seen": [], "lock": Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        server.server_close()


def short(**other: object) -> LoadTest:
    """One part with the cache off and wide bounds, unless said otherwise."""
    wide = {"max_p50_ms": 5000, "max_p95_ms": 5000, "max_p99_ms": 5000, "latency_allowance_ms": 500}
    return LoadTest.model_validate(wide | {"warm_up_s": 0, "cached_duration_s": 0, "stairs_max_steps": 0, "max_memory_growth": 0} | other)


def verdicts(report: LoadReport) -> dict[str, str]:
    return {gate.name: gate.verdict for gate in report.gates}


def test_a_good_endpoint_passes_at_the_set_rate(tmp_path: Path) -> None:
    settings = short(rate_per_s=40, duration_s=3, warm_up_s=1, max_memory_growth=0.1)
    with endpoint() as (url, handler):
        report = run_load_test(url, ["one", "two", "three"], settings, tmp_path)
    side = report.candidate
    assert report.verdict == "passed", report.gates
    assert (side.requests, side.errors, len(side.seconds)) == (120, 0, 3)
    assert side.achieved_rate_per_s == pytest.approx(40, rel=0.05)
    assert 0 < side.p50_ms <= side.p95_ms <= side.p99_ms <= side.max_ms
    assert sum(one.requests for one in side.histogram) == 120
    assert {(one["path"], one["cache"], one["cohort"]) for one in handler.seen} == {("/invocations", "off", None)}
    assert {one["text"] for one in handler.seen} == {"one", "two", "three"}
    assert len(handler.seen) == 160
    assert {(tmp_path / name).read_bytes()[1:4] for name in report.pictures} == {b"PNG"}
    assert (tmp_path / "load.json").read_text() == report.model_dump_json(indent=1)
    assert not (tmp_path / "load_plan.json").exists(), "the plan holds texts, which stay out of the evidence"


def test_champion_and_candidate_get_the_same_texts_in_turn_with_the_cache_off_and_then_on(tmp_path: Path) -> None:
    settings = short(rate_per_s=30, duration_s=2, cached_duration_s=1, warm_up_s=0.5)
    with endpoint() as (url, handler):
        report = run_load_test(url, [f"text {n}" for n in range(50)], settings, tmp_path, BOTH)
    assert [(side.role, side.cache, side.requests) for side in report.sides] == [
        ("candidate", False, 60),
        ("champion", False, 60),
        ("candidate", True, 30),
        ("champion", True, 30),
    ]
    off = [one for one in handler.seen if one["cache"] == "off"]
    on = [one for one in handler.seen if one["cache"] is None]
    assert (len(off), len(on), len(handler.seen)) == (150, 90, 240)
    for part in (off, on):
        mine, theirs = ([one["text"] for one in part if one["cohort"] == cohort] for cohort in ("challenger", "champion"))
        assert sorted(map(str, mine)) == sorted(map(str, theirs))
    changes = sum(a["cohort"] != b["cohort"] for a, b in itertools.pairwise(off))
    assert changes > 100, "in turn, not one model after the other"
    assert verdicts(report)["latency_p95_against_champion"] == "passed"


def test_a_candidate_slower_than_its_champion_fails_in_latency_and_saturation(tmp_path: Path) -> None:
    settings = short(rate_per_s=10, duration_s=4, stairs_max_steps=4, stairs_step_s=0.6, latency_allowance_ms=5)
    with endpoint(slow_s={"challenger": 0.035, "champion": 0.005}) as (url, _):
        report = run_load_test(url, ["text"], settings, tmp_path, BOTH)
    found = verdicts(report)
    assert (found["latency_p50"], found["latency_p50_against_champion"]) == ("passed", "failed"), report.gates
    assert found["saturation_against_champion"] == "failed", report.stairs
    assert report.saturation_per_s["candidate"] < 1 / 0.035 * 1.15
    assert report.saturation_per_s["champion"] > 60


def test_latency_counts_the_wait_behind_requests_that_are_still_unanswered(tmp_path: Path) -> None:
    settings = short(rate_per_s=20, duration_s=2, max_p50_ms=400, max_p95_ms=500, max_p99_ms=500)
    with endpoint(slow_s={None: 0.1}) as (url, _):
        report = run_load_test(url, ["text"], settings, tmp_path)
    assert report.candidate.p95_ms > 1000, "20 requests a second to a server that manages 10 pile up for a second and more"
    slow = {"latency_p50": "failed", "latency_p95": "failed", "latency_p99": "failed"}
    assert verdicts(report) == slow | {"error_rate": "passed", "arrival_rate": "failed"}


def test_failed_answers_are_counted_by_kind(tmp_path: Path) -> None:
    with endpoint(broken=True) as (url, _):
        report = run_load_test(url, ["text"], short(rate_per_s=40, duration_s=1), tmp_path)
    side = report.candidate
    assert side.faults == {"HTTP 503": side.errors}
    assert side.errors == 4
    (gate,) = (gate for gate in report.gates if gate.name == "error_rate")
    assert (gate.verdict, gate.expected, gate.found, gate.detail) == ("failed", "at most 0.10%", "10.00%", "4 x HTTP 503")


def test_a_candidate_whose_memory_grows_with_each_answer_fails(tmp_path: Path) -> None:
    settings = short(rate_per_s=20, duration_s=4, max_memory_growth=0.1)
    with endpoint(leak_mb=0.5) as (url, _):
        report = run_load_test(url, ["text"], settings, tmp_path, BOTH)
    growth = {one.role: one.growth for one in report.memory}
    assert growth["candidate"] == pytest.approx(40 / 120, rel=0.3), "half a megabyte with each of 80 answers, of 120 MB half-way"
    assert growth["champion"] == 0
    assert verdicts(report)["memory_growth"] == "failed"


@pytest.mark.slow  # ten seconds of processes that start
def test_two_locust_processes_share_the_arrivals_and_their_samples_are_one_test(tmp_path: Path) -> None:
    settings = short(rate_per_s=40, duration_s=2, stairs_max_steps=2, stairs_step_s=0.5, processes=2)
    with endpoint() as (url, handler):
        report = run_load_test(url, [f"text {n}" for n in range(50)], settings, tmp_path, BOTH)
    assert [(side.role, side.requests, side.errors) for side in report.sides] == [("candidate", 80, 0), ("champion", 80, 0)]
    assert json.loads((tmp_path / "load_result.json").read_text())["workers"] == 2
    assert [(step.role, step.rate_per_s) for step in report.stairs] == [
        ("candidate", 40.0),
        ("champion", 40.0),
        ("champion", 120.0),
        ("candidate", 120.0),
    ]
    assert len(handler.seen) == 160 + 2 * 20 + 2 * 60


@pytest.mark.slow  # ten seconds of processes that start
def test_workers_started_elsewhere_join_the_test_and_end_with_it(tmp_path: Path) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--worker", "--master-host", "127.0.0.1", "--master-port", port]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    with (tmp_path / "workers.log").open("w") as log:
        workers = [subprocess.Popen(command, env=clean, cwd=tmp_path, stdout=log, stderr=log) for _ in range(2)]
        try:
            with endpoint() as (url, handler):
                settings = short(rate_per_s=40, duration_s=2, remote_workers=2, master=f"127.0.0.1:{port}")
                report = run_load_test(url, ["one", "two"], settings, tmp_path)
            assert [worker.wait(20) for worker in workers] == [0, 0], (tmp_path / "workers.log").read_text()
        finally:
            for worker in workers:
                worker.kill()
    assert (report.candidate.requests, report.candidate.errors, len(handler.seen)) == (80, 0, 80)
    assert report.candidate.achieved_rate_per_s == pytest.approx(40, rel=0.1)


def test_an_endpoint_that_is_not_there_fails_and_is_asked_for_no_stairs(tmp_path: Path) -> None:
    with endpoint() as (url, _):
        pass
    settings = short(rate_per_s=10, duration_s=1, stairs_max_steps=8, max_memory_growth=0.1)
    report = run_load_test(url, ["text"], settings, tmp_path)
    assert (report.candidate.error_rate, report.verdict, report.stairs) == (1.0, "failed", ())
    assert next(iter(report.candidate.faults)).startswith("ConnectionRefusedError")
    (gate,) = (gate for gate in report.gates if gate.name == "memory_growth")
    assert (gate.verdict, gate.found) == ("inconclusive", "nothing to measure")
    assert gate.detail.startswith("the endpoint's GET /metrics tells no process_resident_memory_bytes")


def test_a_locust_that_breaks_off_is_told_with_its_last_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "locustfile.py"
    broken.write_text("raise RuntimeError('out of luck')\n")
    monkeypatch.setattr(load_run, "__file__", str(tmp_path / "load_run.py"))
    with pytest.raises(
        Unavailable, match=r"^load test of http://127\.0\.0\.1:1: expected samples from Locust, found none; it ended"
    ) as told:
        run_load_test("http://127.0.0.1:1", ["text"], short(rate_per_s=10, duration_s=1), tmp_path / "out")
    assert "RuntimeError: out of luck" in str(told.value)


def test_no_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^load test: expected at least one text to send, found none$"):
        run_load_test("http://127.0.0.1:1", [], LoadTest(), tmp_path)


def test_a_plan_without_a_request_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^load test: expected a request or more, found 0.1/s for 5 s; test for longer$"):
        run_load_test("http://127.0.0.1:1", ["text"], LoadTest(rate_per_s=0.1, duration_s=5), tmp_path)
