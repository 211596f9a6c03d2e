"""What workers count together, and how it is shown."""

import os
import signal
import time
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import ANSWER, FakeRuntime, served

from headgate.serving.answers import Answer
from headgate.serving.board import HALF_BYTES, Board, State
from headgate.serving.metrics import Metrics


def samples(shown: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read as Prometheus' own client reads it."""
    families = list(text_string_to_metric_families(shown))
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def of(shown: str, name: str, **labels: str) -> float:
    return samples(shown)[name, tuple(sorted(labels.items()))]


SAME = {"model": "replies", "release": "r1"}


def test_whichever_worker_is_asked_shows_the_sum_of_all() -> None:
    board = Board(3)
    workers = [Metrics("replies", "r1", "d", board, number) for number in range(3)]
    for number, worker in enumerate(workers):
        for _ in range(number + 1):
            worker.answered("champion", 200, 0.003)
            worker.predicted("champion", Answer(ANSWER, b""), cached=True)
        worker.flush({"queue_depth": 2, "connections": number})
    for worker in workers:
        shown = worker.text().decode()
        assert of(shown, "headgate_requests_total", **SAME, cohort="champion", status="200") == 6
        assert of(shown, "headgate_request_seconds_bucket", **SAME, cohort="champion", le="0.0025") == 0
        assert of(shown, "headgate_request_seconds_bucket", **SAME, cohort="champion", le="0.005") == 6
        assert of(shown, "headgate_request_seconds_bucket", **SAME, cohort="champion", le="+Inf") == 6
        assert of(shown, "headgate_request_seconds_sum", **SAME, cohort="champion") == pytest.approx(0.018)
        assert of(shown, "headgate_score_sum", **SAME, cohort="champion") == pytest.approx(5.4)
        assert of(shown, "headgate_cache_total", **SAME, cohort="champion", result="hit") == 6
        assert (of(shown, "headgate_queue_depth"), of(shown, "headgate_connections")) == (6, 3)


def test_a_worker_in_the_place_of_a_dead_one_counts_on_and_has_its_own_levels() -> None:
    board = Board(1)
    first = Metrics("replies", "r1", "d", board)
    first.answered("champion", 200, 0.003)
    first.flush({"queue_depth": 2})
    second = Metrics("replies", "r1", "d", board)
    second.answered("champion", 200, 0.003)
    second.flush({})
    shown = second.text().decode()
    assert of(shown, "headgate_requests_total", **SAME, cohort="champion", status="200") == 2
    assert of(shown, "headgate_queue_depth") == 0


def test_labels_are_escaped() -> None:
    metrics = Metrics('a"b\\c\nd', "", "d")
    metrics.flush({})
    assert of(metrics.text().decode(), "headgate_serving", model='a"b\\c\nd', release="", bundle_digest="d") == 1


def test_a_worker_killed_while_it_writes_leaves_what_it_wrote_before() -> None:
    board = Board(2)
    for _ in range(5):
        pid = os.fork()
        if not pid:
            number = 0
            while True:
                number += 1
                board.write(1, str(number).encode() * 50_000)
        time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        data = board.read(1)
        digits = len(data) // 50_000
        assert digits
        assert data == data[:digits] * 50_000
    assert board.read(0) == b""


def test_a_state_stays_while_counts_are_written() -> None:
    board = Board(2)
    board.set_state(1, State.READY)
    assert board.write(1, b"counts")
    assert not board.write(1, b" " * HALF_BYTES)
    assert (board.state(0), board.state(1), board.read(1)) == (State.STARTING, State.READY, b"counts")


def test_what_prometheus_reads_is_what_happened() -> None:
    with served(FakeRuntime(), release="r1") as client:
        for text in ("a", "a", "b"):
            client.post("/invocations", json={"text": text})
        shown: Any = client.get("/metrics")
        assert of(shown.text, "headgate_batch_size_count", **SAME) == 2
        assert of(shown.text, "headgate_batch_size_sum", **SAME) == 2
        assert of(shown.text, "headgate_predictions_total", **SAME, cohort="champion", label="positive", outcome="scored", reason="") == 3
        assert of(shown.text, "headgate_cached_answers") == 2
        assert of(shown.text, "headgate_cached_bytes") > 0
        assert of(shown.text, "headgate_connections") == 1
        assert of(shown.text, "process_resident_memory_bytes") == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


def test_the_start_of_the_newest_worker_is_shown_and_not_a_sum() -> None:
    board = Board(2)
    before = time.time()
    first = Metrics("replies", "r1", "d", board, worker=0)
    first.flush({})
    second = Metrics("replies", "r1", "d", board, worker=1)
    second.flush({})
    shown = of(first.text().decode(), "process_start_time_seconds")
    assert before <= shown <= time.time()
    assert of(second.text().decode(), "process_start_time_seconds") == shown
