"""The HTTP face of a bundle."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from starlette.testclient import TestClient

from headgate.model.filters import FilterConfig
from headgate.model.runtime import Message, Runtime, Scored
from headgate.serving.app import create_app
from headgate.serving.cache import Cache
from headgate.serving.config import ServingConfig
from headgate.serving.identifiers import CROCKFORD, prediction_id
from headgate.serving.prediction_log import PredictionLog

ANSWER = Scored("positive", 0.9, {"positive": 0.9, "other": 0.1}, "scored", None)


class FakeBundle:
    digest = "abcdef0123456789"
    provenance: ClassVar = {"model": "replies", "commit": "c0ffee", "data_version": {"dataset": "replies", "version": 3, "digest": "d1"}}


class FakeRuntime:
    """Answers at once; remembers what it was asked and can be held or broken."""

    def __init__(self) -> None:
        self.bundle, self.filters = FakeBundle(), FilterConfig()
        self.asked: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()
        self.fault: Exception | None = None

    def score(self, items: list[Message]) -> list[Scored]:
        self.asked.append([item.text for item in items])
        self.go.wait(10)
        if self.fault:
            raise self.fault
        return [ANSWER] * len(items)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


def client_of(runtime: Any, **settings: Any) -> TestClient:
    return TestClient(create_app(runtime, ServingConfig(**settings)), raise_server_exceptions=False)


@pytest.fixture
def client(runtime: FakeRuntime) -> Iterator[TestClient]:
    with client_of(runtime, release="r1", max_body_bytes=2_000, max_instances=3) as client:
        yield client


def ask(client: TestClient, *texts: str, **headers: str) -> Any:
    return client.post("/invocations", json={"instances": [{"text": text} for text in texts]}, headers=headers)


def test_an_answer_names_its_model_and_its_own_id(client: TestClient) -> None:
    answer = ask(client, "yes").json()
    identifier = answer["predictions"][0].pop("prediction_id")
    assert re.fullmatch(rf"abcdef01-[{CROCKFORD}]{{26}}", identifier)
    assert answer == {
        "predictions": [
            {"label": "positive", "score": 0.9, "scores": {"positive": 0.9, "other": 0.1}, "outcome": "scored", "reason": None},
        ],
        "model": {
            "name": "replies",
            "bundle_digest": "abcdef0123456789",
            "data_version": {"dataset": "replies", "version": 3, "digest": "d1"},
            "commit": "c0ffee",
            "release": "r1",
        },
    }


def test_ping_says_which_bundle_is_loaded(client: TestClient) -> None:
    answer = client.get("/ping")
    assert (answer.status_code, answer.json()["status"], answer.json()["model"]["release"]) == (200, "ok", "r1")


def test_a_real_bundle_answers_every_message_in_order(bundle: Path) -> None:
    with client_of(Runtime.load(bundle)) as client:
        instances = [
            {"text": "yes"},
            {"text": ""},
            {"text": "gone", "headers": {"Auto-Submitted": "auto-replied"}},
            {"text": "no", "id": "7"},
        ]
        answer = client.post("/invocations", json={"instances": instances, "group_id": "t1"}).json()
    assert [found["reason"] for found in answer["predictions"]] == [None, "empty", "auto_reply", None]
    assert [found["outcome"] for found in answer["predictions"]] == ["scored", "skipped", "skipped", "scored"]


EXPECTED = 'expected {"instances": [{"text": "..."}]}'


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 400, f"the body is empty; {EXPECTED}"),
        (b"{", 400, f"the body is not JSON (unexpected end of data: line 1 column 2 (char 1)); {EXPECTED}"),
        (b"\xff", 400, None),
        (b'{"instances": [{"text": NaN}]}', 400, None),
        (b'{"instances": [{"text": "\\ud800"}]}', 400, None),
        (b"[" * 1_500, 400, None),
        (b"[]", 422, f"{EXPECTED}, found an empty list"),
        (b"null", 422, f"{EXPECTED}, found null"),
        (b"3.5", 422, f"{EXPECTED}, found the number 3.5"),
        (b'{"texts": []}', 422, f"{EXPECTED}, found no field `instances`"),
        (b'{"instances": [], "x": 1}', 422, f"{EXPECTED}, found unknown field 'x'"),
        (b'{"instances": []}', 422, f"{EXPECTED}, found an empty list"),
        (b'{"instances": {}}', 422, f"{EXPECTED}, found an object"),
        (b'{"instances": ["yes"]}', 422, "1 fault(s) in the request, the first at /instances/0: expected an object such as"),
        (b'{"instances": [{"text": "a"}, {}]}', 422, "1 fault(s) in the request, the first at /instances/1/text: missing"),
        (
            b'{"instances": [{"text": true}]}',
            422,
            "1 fault(s) in the request, the first at /instances/0/text: expected a string, found true",
        ),
        (b'{"instances": [{"text": "a", "headers": []}]}', 422, "1 fault(s) in the request, the first at /instances/0/headers: expected"),
        (
            b'{"instances": [{"text": "a", "headers": {"a/b": 1}}]}',
            422,
            "1 fault(s) in the request, the first at /instances/0/headers/a~1b",
        ),
        (b'{"instances": [{"text": "a", "id": 1}]}', 422, "1 fault(s) in the request, the first at /instances/0/id: expected a string"),
        (
            b'{"instances": [{"text": "a"}, {"text": "a"}, {"text": "a"}, {"text": "a"}]}',
            413,
            "expected at most 3 instances in one request",
        ),
        (b" " * 2_001, 413, "expected a body of at most 2000 bytes, found 2001 bytes; send several requests"),
    ],
)
def test_bad_input_is_told_what_was_expected(client: TestClient, body: bytes, status: int, detail: str | None) -> None:
    answer = client.post("/invocations", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() >= {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert problem["detail"].startswith(detail or "the body is not JSON")


def test_all_faults_of_a_request_are_named(client: TestClient) -> None:
    errors = client.post("/invocations", json={"instances": [{"txt": "a"}, {"text": 1, "headers": {"a": None}}]}).json()["errors"]
    assert [error["pointer"] for error in errors] == [
        "/instances/0/txt",
        "/instances/0/text",
        "/instances/1/text",
        "/instances/1/headers/a",
    ]


def test_a_body_without_length_is_bounded_too(client: TestClient) -> None:
    answer = client.post("/invocations", content=(b" " * 100 for _ in range(30)), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize("headers", [{"Content-Type": "text/csv"}, {"Content-Type": "application/json", "Content-Encoding": "gzip"}])
def test_other_media_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/invocations", content=b"{}", headers=headers).status_code == 415


def test_unknown_paths_and_methods_are_problems(client: TestClient) -> None:
    assert client.get("/nothing").status_code == 404
    answer = client.get("/invocations")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["detail"] == "GET /invocations is not known here; GET /ping, POST /invocations and GET /metrics are"


def test_a_repeated_text_is_scored_once_with_fresh_ids(client: TestClient, runtime: FakeRuntime) -> None:
    first, second = ask(client, "yes").json(), ask(client, " yes\r\n").json()
    assert runtime.asked == [["yes"]]
    identifiers = {answer["predictions"][0].pop("prediction_id") for answer in (first, second)}
    assert len(identifiers) == 2
    assert first == second


def test_the_cache_can_be_turned_off(client: TestClient, runtime: FakeRuntime) -> None:
    ask(client, "yes")
    ask(client, "yes", **{"X-Headgate-Cache": "off"})
    assert runtime.asked == [["yes"], ["yes"]]


def test_a_request_that_is_half_known_scores_the_other_half(client: TestClient, runtime: FakeRuntime) -> None:
    ask(client, "a")
    assert len(ask(client, "b", "a", "c").json()["predictions"]) == 3
    assert runtime.asked == [["a"], ["b", "c"]]


def test_the_same_text_with_other_headers_is_another_message() -> None:
    cache = Cache("d", 10)
    keys = {
        cache.key(Message("a")),
        cache.key(Message("a", {"b": "c"})),
        cache.key(Message("a", {"bc": ""})),
        cache.key(Message("ab", {"c": ""})),
    }
    assert len(keys) == 4
    assert Cache("e", 10).key(Message("a")) not in keys


def test_the_least_recently_used_answer_goes_first() -> None:
    cache = Cache("d", 2)
    cache.put(b"1", ANSWER)
    cache.put(b"2", ANSWER)
    cache.get(b"1")
    cache.put(b"3", ANSWER)
    assert [cache.get(key) is not None for key in (b"1", b"2", b"3")] == [True, False, True]


def test_too_much_waiting_work_is_refused_with_a_time_to_come_back(runtime: FakeRuntime) -> None:
    runtime.go.clear()
    with client_of(runtime, max_waiting=2) as client:
        held = threading.Thread(target=ask, args=(client, "a", "b"))
        held.start()
        while not runtime.asked:
            pass
        refused = ask(client, "c")
        runtime.go.set()
        held.join()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert ask(client, "c").status_code == 200


def test_what_waits_is_the_next_batch(runtime: FakeRuntime) -> None:
    runtime.go.clear()
    with client_of(runtime) as client:
        first = threading.Thread(target=ask, args=(client, "first"))
        first.start()
        while not runtime.asked:
            pass
        others = [threading.Thread(target=ask, args=(client, str(number))) for number in range(5)]
        for thread in others:
            thread.start()
        threading.Event().wait(0.3)
        runtime.go.set()
        for thread in (first, *others):
            thread.join()
    assert sorted(text for batch in runtime.asked[1:] for text in batch) == ["0", "1", "2", "3", "4"]
    assert len(runtime.asked) < 6


def test_a_failing_engine_is_a_plain_500_and_the_next_request_is_answered(client: TestClient, runtime: FakeRuntime) -> None:
    runtime.fault = RuntimeError("secret text")
    broken = ask(client, "a")
    assert (broken.status_code, broken.json()["detail"]) == (500, "the server failed; its log says more")
    runtime.fault = None
    assert ask(client, "a").status_code == 200
    assert 'status="500"} 1.0' in client.get("/metrics").text


def test_metrics_count_requests_answers_and_cache(client: TestClient) -> None:
    ask(client, "a")
    ask(client, "a", **{"X-Headgate-Cohort": "shadow"})
    client.post("/invocations", content=b"x", headers={"Content-Type": "application/json", "X-Headgate-Cohort": "nonsense"})
    shown = client.get("/metrics").text
    for line in (
        'headgate_requests_total{cohort="champion",model="replies",release="r1",status="200"} 1.0',
        'headgate_requests_total{cohort="shadow",model="replies",release="r1",status="200"} 1.0',
        'headgate_requests_total{cohort="champion",model="replies",release="r1",status="400"} 1.0',
        'headgate_predictions_total{cohort="champion",label="positive",model="replies",outcome="scored",reason="",release="r1"} 1.0',
        'headgate_cache_total{cohort="champion",model="replies",release="r1",result="miss"} 1.0',
        'headgate_cache_total{cohort="shadow",model="replies",release="r1",result="hit"} 1.0',
        'headgate_serving{bundle_digest="abcdef0123456789",model="replies",release="r1"} 1.0',
        "headgate_log_dropped 0.0",
    ):
        assert line in shown


def logged(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]


def test_each_answer_is_logged_without_its_text(runtime: FakeRuntime, tmp_path: Path) -> None:
    with client_of(runtime, release="r1", log_dir=tmp_path) as client:
        answers = [ask(client, "yes\r\n", **{"X-Headgate-Cohort": "challenger"}).json(), ask(client, "yes").json()]
    lines = logged(tmp_path)
    assert [line["prediction_id"] for line in lines] == [answer["predictions"][0]["prediction_id"] for answer in answers]
    assert [(line["cohort"], line["cached"]) for line in lines] == [("challenger", False), ("champion", True)]
    latency, when = lines[0].pop("latency_ms"), lines[0].pop("ts")
    assert latency > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", when)
    assert lines[0] == {
        "prediction_id": lines[0]["prediction_id"],
        "model": "replies",
        "release": "r1",
        "cohort": "challenger",
        "label": "positive",
        "score": 0.9,
        "outcome": "scored",
        "reason": None,
        "cached": False,
        "hash": hashlib.sha256(b"yes").hexdigest(),
    }


@pytest.mark.parametrize(("policy", "kept"), [("none", {}), ("full", {"text": "yes"})])
def test_the_policy_says_what_is_kept_of_a_text(runtime: FakeRuntime, tmp_path: Path, policy: str, kept: dict[str, str]) -> None:
    with client_of(runtime, log_dir=tmp_path, log_text=policy) as client:
        ask(client, "yes")
    assert {name: value for name, value in logged(tmp_path)[0].items() if name in ("text", "hash")} == kept


def test_the_log_drops_and_counts_rather_than_wait(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log", max_queued=1)
    (tmp_path / "log").rmdir()
    for _ in range(100):
        log.put({"a": 1})
    log.close()
    assert log.dropped == 100


def test_without_a_folder_nothing_is_logged(tmp_path: Path) -> None:
    log = PredictionLog(None)
    log.put({"a": 1})
    log.close()
    assert log.dropped == 0


def test_prediction_ids_sort_by_time_and_never_repeat() -> None:
    found = [prediction_id("abcdef0123") for _ in range(2_000)]
    assert len(set(found)) == 2_000
    assert [identifier[:19] for identifier in found] == sorted(identifier[:19] for identifier in found)
