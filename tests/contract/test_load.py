"""The load test drives a real HTTP server with a real Locust process."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import ClassVar

import pytest

from headgate.errors import BadInput
from headgate.evaluation.load import run_load_test
from headgate.evaluation.report import GateResult
from headgate.settings import LoadTest

ONE_AT_A_TIME = Lock()


class Endpoint(BaseHTTPRequestHandler):
    """Answers after `slow_s`; every tenth request gets status 503 where `broken` says so."""

    protocol_version = "HTTP/1.1"
    slow_s, broken = 0.0, False
    seen: ClassVar[list[dict[str, object]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append({"path": self.path, "cache": self.headers["X-Headgate-Cache"], "body": body})
        with ONE_AT_A_TIME:
            time.sleep(self.slow_s)
        self.send_response(503 if self.broken and len(self.seen) % 10 == 0 else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def endpoint(slow_s: float = 0.0, broken: bool = False) -> Iterator[tuple[str, type[Endpoint]]]:
    handler = type("Handler", (Endpoint,), {"slow_s": slow_s, "broken": broken, "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        server.server_close()


def verdicts(gates: tuple[GateResult, ...]) -> dict[str, str]:
    return {gate.name: gate.verdict for gate in gates}


def test_a_good_endpoint_passes_at_the_set_rate(tmp_path: Path) -> None:
    settings = LoadTest(rate_per_s=40, duration_s=3, warm_up_s=1, max_p95_ms=2000, max_p99_ms=5000)
    with endpoint() as (url, handler):
        report = run_load_test(url, ["one", "two", "three"], settings, tmp_path)
    assert report.verdict == "passed", report.gates
    assert (report.requests, report.errors, len(report.seconds)) == (120, 0, 3)
    assert report.achieved_rate_per_s == pytest.approx(40, rel=0.05)
    assert 0 < report.p50_ms <= report.p95_ms <= report.p99_ms <= report.max_ms
    assert sum(one.requests for one in report.histogram) == 120
    assert {one["path"] for one in handler.seen} == {"/invocations"}
    assert {one["cache"] for one in handler.seen} == {"off"}
    assert {one["body"]["instances"][0]["text"] for one in handler.seen} == {"one", "two", "three"}  # type: ignore[index]
    assert len(handler.seen) == 160
    assert [(tmp_path / name).read_bytes()[1:4] for name in report.pictures] == [b"PNG", b"PNG"]
    assert (tmp_path / "load.json").read_text() == report.model_dump_json(indent=1)


def test_latency_counts_the_wait_behind_requests_that_are_still_unanswered(tmp_path: Path) -> None:
    settings = LoadTest(rate_per_s=20, duration_s=2, warm_up_s=0, max_p95_ms=500, max_p99_ms=500)
    with endpoint(slow_s=0.1) as (url, _):
        report = run_load_test(url, ["text"], settings, tmp_path)
    assert report.p95_ms > 1000, "20 requests a second to a server that manages 10 pile up for a second and more"
    assert verdicts(report.gates) == {"latency_p95": "failed", "latency_p99": "failed", "error_rate": "passed", "arrival_rate": "failed"}


def test_failed_answers_are_counted_by_kind(tmp_path: Path) -> None:
    settings = LoadTest(rate_per_s=40, duration_s=1, warm_up_s=0, max_p95_ms=5000, max_p99_ms=5000)
    with endpoint(broken=True) as (url, _):
        report = run_load_test(url, ["text"], settings, tmp_path)
    assert report.faults == {"HTTP 503": report.errors}
    assert report.errors in (4, 5)
    assert verdicts(report.gates)["error_rate"] == "failed"


def test_an_endpoint_that_is_not_there_fails(tmp_path: Path) -> None:
    with endpoint() as (url, _):
        pass
    report = run_load_test(url, ["text"], LoadTest(rate_per_s=10, duration_s=1, warm_up_s=0), tmp_path)
    assert (report.error_rate, report.verdict) == (1.0, "failed")
    assert next(iter(report.faults)).startswith("ConnectionRefusedError")


def test_no_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^load test: expected at least one text to send, found none$"):
        run_load_test("http://127.0.0.1:1", [], LoadTest(), tmp_path)


def test_a_plan_without_a_request_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^load test: expected a request or more, found 0.1/s for 5 s; test for longer$"):
        run_load_test("http://127.0.0.1:1", ["text"], LoadTest(rate_per_s=0.1, duration_s=5), tmp_path)
