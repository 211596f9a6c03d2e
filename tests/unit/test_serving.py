"""The HTTP face of a bundle."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import FakeRuntime, served

from headgate.model.runtime import Message, Runtime, Scored
from headgate.serving.answers import Answer
from headgate.serving.cache import Cache
from headgate.serving.identifiers import CROCKFORD, PredictionIds
from headgate.serving.prediction_log import Entry, PredictionLog

ANSWER = Scored("positive", 0.9, {"positive": 0.9, "other": 0.1}, "scored", None)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def client(runtime: FakeRuntime) -> Iterator[httpx.Client]:
    with served(runtime, release="r1", max_body_bytes=2_000, max_instances=3) as client:
        yield client


def ask(client: httpx.Client, *texts: str, **headers: str) -> Any:
    return client.post("/invocations", json={"instances": [{"text": text} for text in texts]}, headers=headers)


def test_an_answer_names_its_model_and_its_own_id(client: httpx.Client) -> None:
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


def test_ping_says_with_no_body_that_the_bundle_is_loaded(client: httpx.Client) -> None:
    for accept in ("*/*", "text/html, */*;q=0.8", ""):
        answer = client.get("/ping", headers={"Accept": accept})
        assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")


def test_ping_says_to_who_accepts_json_which_bundle_is_loaded(client: httpx.Client) -> None:
    answer = client.get("/ping", headers={"Accept": "text/html, application/json;q=0.9"})
    assert (answer.status_code, answer.json()["status"], answer.json()["model"]["release"]) == (200, "ok", "r1")


def test_ping_says_how_the_bundle_is_served_and_whose_answers_the_cache_holds(runtime: FakeRuntime) -> None:
    with served(runtime, log_text="none", max_cached=7, workers=2) as client:
        told = client.get("/ping", headers={"Accept": "application/json"}).json()["serving"]
    assert told == {"log_text": "none", "max_cached": 7, "workers": 2, "cache_namespace": runtime.bundle.digest}


def test_a_cache_for_no_answers_remembers_none(runtime: FakeRuntime) -> None:
    with served(runtime, max_cached=0) as client:
        for _ in range(2):
            assert ask(client, "yes").status_code == 200
    assert runtime.asked == [["yes"], ["yes"]]


def test_a_real_bundle_answers_every_message_in_order(bundle: Path) -> None:
    with served(Runtime.load(bundle)) as client:
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
        (b'{"instances": [7]}', 422, "1 fault(s) in the request, the first at /instances/0: expected an object such as"),
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
def test_bad_input_is_told_what_was_expected(client: httpx.Client, body: bytes, status: int, detail: str | None) -> None:
    answer = client.post("/invocations", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() >= {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert problem["detail"].startswith(detail or "the body is not JSON")


def test_all_faults_of_a_request_are_named(client: httpx.Client) -> None:
    errors = client.post("/invocations", json={"instances": [{"txt": "a"}, {"text": 1, "headers": {"a": None}}]}).json()["errors"]
    assert [error["pointer"] for error in errors] == [
        "/instances/0/txt",
        "/instances/0/text",
        "/instances/1/text",
        "/instances/1/headers/a",
    ]


def test_a_body_without_length_is_bounded_too(client: httpx.Client) -> None:
    answer = client.post("/invocations", content=(b" " * 100 for _ in range(30)), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize("headers", [{"Content-Type": "application/xml"}, {"Content-Type": "application/json", "Content-Encoding": "gzip"}])
def test_other_media_are_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    assert client.post("/invocations", content=b"{}", headers=headers).status_code == 415


def test_unknown_paths_and_methods_are_problems(client: httpx.Client) -> None:
    assert client.get("/nothing").status_code == 404
    answer = client.get("/invocations")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["detail"] == (
        "GET /invocations is not known here; POST /invocations, GET /ping, GET /livez, GET /readyz, GET /metrics, GET /openapi.json"
        " and POST /feedback are"
    )


def test_a_repeated_text_is_scored_once_with_fresh_ids(client: httpx.Client, runtime: FakeRuntime) -> None:
    first, second = ask(client, "yes").json(), ask(client, " yes\r\n").json()
    assert runtime.asked == [["yes"]]
    identifiers = {answer["predictions"][0].pop("prediction_id") for answer in (first, second)}
    assert len(identifiers) == 2
    assert first == second


def test_the_cache_can_be_turned_off(client: httpx.Client, runtime: FakeRuntime) -> None:
    ask(client, "yes")
    ask(client, "yes", **{"X-Headgate-Cache": "off"})
    assert runtime.asked == [["yes"], ["yes"]]


def test_a_request_that_is_half_known_scores_the_other_half(client: httpx.Client, runtime: FakeRuntime) -> None:
    ask(client, "a")
    assert len(ask(client, "b", "a", "c").json()["predictions"]) == 3
    assert runtime.asked == [["a"], ["b", "c"]]


def test_the_same_text_with_other_headers_is_another_message() -> None:
    cache = Cache("d", 10, 10_000)
    keys = {
        cache.key(Message("a")),
        cache.key(Message("a", {"b": "c"})),
        cache.key(Message("a", {"bc": ""})),
        cache.key(Message("ab", {"c": ""})),
    }
    assert len(keys) == 4
    assert Cache("e", 10, 10_000).key(Message("a")) not in keys


@pytest.mark.parametrize(("items", "size"), [(2, 10_000), (10, 2 * Answer(ANSWER, b"").size)])
def test_the_least_recently_used_answer_goes_first(items: int, size: int) -> None:
    cache = Cache("d", items, size)
    cache.put(b"1", Answer(ANSWER, b""))
    cache.put(b"2", Answer(ANSWER, b""))
    cache.get(b"1")
    cache.put(b"3", Answer(ANSWER, b""))
    assert [cache.get(key) is not None for key in (b"1", b"2", b"3")] == [True, False, True]
    assert (len(cache), cache.bytes) == (2, 2 * Answer(ANSWER, b"").size)


def test_too_much_waiting_work_is_refused_with_a_time_to_come_back(runtime: FakeRuntime) -> None:
    runtime.go.clear()
    with served(runtime, max_waiting=2) as client:
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
    with served(runtime) as client:
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


def test_a_failing_engine_is_a_plain_500_and_the_next_request_is_answered(client: httpx.Client, runtime: FakeRuntime) -> None:
    runtime.fault = RuntimeError("secret text")
    broken = ask(client, "a")
    assert (broken.status_code, broken.json()["detail"]) == (500, "the server failed; its log says more")
    runtime.fault = None
    assert ask(client, "a").status_code == 200
    assert 'status="500"} 1.0' in client.get("/metrics").text


def test_metrics_count_requests_answers_and_cache(client: httpx.Client) -> None:
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
    with served(runtime, release="r1", log_dir=tmp_path) as client:
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
        "characters": 3,
    }


@pytest.mark.parametrize(("policy", "kept"), [("none", {}), ("full", {"text": "yes"})])
def test_the_policy_says_what_is_kept_of_a_text(runtime: FakeRuntime, tmp_path: Path, policy: str, kept: dict[str, str]) -> None:
    with served(runtime, log_dir=tmp_path, log_text=policy) as client:
        ask(client, "yes")
    assert {name: value for name, value in logged(tmp_path)[0].items() if name in ("text", "hash")} == kept


ENTRY = Entry(1_700_000_000_123_456_789, b"abcdef01-01", "champion", 0.0123456, True, Answer(ANSWER, b',"hash":"0"'))


def test_the_log_drops_and_counts_what_it_cannot_write(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log")
    (tmp_path / "log").rmdir()
    (tmp_path / "log").touch()
    for _ in range(100):
        log.put(ENTRY)
    log.close()
    assert log.dropped == 100


def test_the_log_drops_and_counts_rather_than_wait(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, max_queued=0)
    log.put(ENTRY)
    log.close()
    assert log.dropped == 1


def test_a_full_log_file_is_followed_by_another(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "replies", "r1", max_file_bytes=1)
    for number in range(3):
        log.put(ENTRY)
        while len(logged(tmp_path)) <= number:
            pass
    log.close()
    assert len(list(tmp_path.iterdir())) == 3
    assert {len(file.read_text().splitlines()) for file in tmp_path.iterdir()} == {1}
    assert logged(tmp_path)[0] == {
        "ts": "2023-11-14T22:13:20.123Z",
        "prediction_id": "abcdef01-01",
        "model": "replies",
        "release": "r1",
        "cohort": "champion",
        "latency_ms": 12.346,
        "cached": True,
        "label": "positive",
        "score": 0.9,
        "outcome": "scored",
        "reason": None,
        "hash": "0",
    }


def test_without_a_folder_nothing_is_logged() -> None:
    log = PredictionLog(None)
    log.put(ENTRY)
    log.close()
    assert log.dropped == 0


def test_prediction_ids_sort_by_time_and_never_repeat() -> None:
    ids = PredictionIds("abcdef0123")
    found = [ids.fresh().decode() for _ in range(2_000)]
    assert len(set(found)) == 2_000
    assert all(re.fullmatch(rf"abcdef01-[{CROCKFORD}]{{26}}", identifier) for identifier in found)
    assert [identifier[:19] for identifier in found] == sorted(identifier[:19] for identifier in found)
