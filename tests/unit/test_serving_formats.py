"""Every form in which messages may come: Headgate's own, MLflow's, lines, tables and plain text."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from served import FakeRuntime, served

from headgate.model.runtime import Message
from headgate.serving.config import ServingConfig
from headgate.serving.problems import Problem
from headgate.serving.reading import content_type, read_messages

CONFIG = ServingConfig(max_instances=3)


def texts(body: bytes | dict[str, Any], kind: str = "application/json") -> list[str]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return [message.text for message in read_messages(sent, CONFIG, kind)]


def faults(body: bytes | dict[str, Any], kind: str = "application/json") -> tuple[int, list[tuple[str, str]]]:
    with pytest.raises(Problem) as problem:
        texts(body, kind)
    return problem.value.status, list(problem.value.errors)


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [{"text": "a"}, {"text": "b"}]},
        {"instances": ["a", "b"], "params": None},
        {"inputs": ["a", "b"], "params": {}},
        {"inputs": [{"text": "a"}, {"text": "b"}]},
        {"inputs": {"text": ["a", "b"]}},
        {"dataframe_split": {"index": [0, 1], "columns": ["text"], "data": [["a"], ["b"]]}},
        {"dataframe_split": {"columns": ["id", "text"], "data": [["1", "a"], ["2", "b"]]}},
        {"dataframe_records": [{"text": "a"}, {"text": "b"}], "group_id": "g"},
    ],
)
def test_json_comes_in_headgates_own_form_and_in_mlflows(body: dict[str, Any]) -> None:
    assert texts(body) == ["a", "b"]


@pytest.mark.parametrize("body", [{"inputs": "a"}, {"text": "a"}, {"text": "a", "headers": {"Subject": "b"}, "id": "7"}])
def test_one_message_may_come_alone(body: dict[str, Any]) -> None:
    assert texts(body) == ["a"]


def test_a_whole_mail_brings_its_text_and_its_headers() -> None:
    mail = "From: a@example.com\r\nSubject: Re: offer\r\nAuto-Submitted: auto-replied\r\n\r\nI am away.\r\n"
    (message,) = read_messages(json.dumps({"instances": [{"raw": mail}]}).encode(), CONFIG)
    assert message.text.strip() == "I am away."
    assert message.headers is not None
    assert message.headers["Auto-Submitted"] == "auto-replied"
    assert texts(f'raw\n"{mail}"\n'.encode(), "text/csv")[0].strip() == "I am away."


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"instances": ["a", 3]}, "/instances/1"),
        ({"inputs": {"text": ["a"], "id": []}}, "/inputs"),
        ({"inputs": 3}, "/inputs"),
        ({"dataframe_split": {"columns": ["text"], "data": [["a"], ["b", "c"], 3]}}, "/dataframe_split/data/1"),
        ({"dataframe_split": {"columns": [3], "data": []}}, "/dataframe_split"),
        ({"dataframe_split": {"columns": ["body"], "data": [["a"]]}}, "/dataframe_split/data/0/body"),
        ({"dataframe_records": [{"text": None}]}, "/dataframe_records/0/text"),
        ({"instances": ["a"], "inputs": ["b"]}, "/inputs"),
        ({"instances": ["a"], "params": {"temperature": 2}}, "/params"),
        ({"instances": [{"raw": 3}]}, "/instances/0/raw"),
        ({"instances": [{"raw": "a: b\n\nc", "text": "d"}]}, "/instances/0/text"),
        ({"text": "a", "labels": []}, "/labels"),
    ],
)
def test_a_wrong_field_is_named(body: dict[str, Any], at: str) -> None:
    status, errors = faults(body)
    assert (status, errors[0][0]) == (422, at)


def test_lines_are_objects_or_strings() -> None:
    assert texts(b'{"text": "a"}\n\n"b"\r\n', "application/jsonlines") == ["a", "b"]
    assert faults(b'{"text": "a"}\n{"text": 1}\n{"text": 2}', "application/jsonlines") == (
        422,
        [("/1/text", "expected a string, found the number 1"), ("/2/text", "expected a string, found the number 2")],
    )
    assert faults(b'{"text": "a"}\n{"text"', "application/jsonlines")[0] == 400
    assert faults(b"\n", "application/jsonlines") == (422, [("", "expected at least one line, found none")])


def test_tables_have_a_header_or_one_column() -> None:
    assert texts(b'text\n"a, b"\n"c\nd"\n', "text/csv") == ["a, b", "c\nd"]
    assert texts(b"id,text\r\n1,a\r\n2,b\r\n", "text/csv") == ["a", "b"]
    assert texts("\ufefftext\nä\n".encode(), "text/csv") == ["ä"]
    assert texts(b"a\nb\n", "text/csv") == ["a", "b"]
    assert faults(b"a,b\n", "text/csv") == (422, [("/0", "found 2 columns")])
    assert faults(b"id,text\n1\n", "text/csv") == (422, [("/1", "expected 2 columns as in the header, found 1")])
    assert faults(b"text\n", "text/csv") == (422, [("", "expected at least one row below the header, found none")])
    assert faults(b'"a', "text/csv")[0] == 400
    assert faults(b"\xff", "text/csv")[0] == 400


def test_plain_text_is_one_message() -> None:
    assert texts("Grüße,\n\nA".encode(), "text/plain") == ["Grüße,\n\nA"]
    assert texts(b"", "text/plain") == [""]
    assert faults(b"\xff", "text/plain")[0] == 400


def test_too_many_messages_are_refused_in_every_form() -> None:
    for body, kind in (
        (b"a\n" * 4, "text/csv"),
        (b'"a"\n' * 4, "application/jsonlines"),
        (b'{"inputs": ["a", "a", "a", "a"]}', "application/json"),
    ):
        assert faults(body, kind)[0] == 413


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("", "application/json"),
        ("Application/JSON; charset=UTF-8", "application/json"),
        ("application/x-ndjson", "application/jsonlines"),
        ("text/csv; header=present", "text/csv"),
        ('text/plain; charset="utf-8"', "text/plain"),
    ],
)
def test_media_types_are_read_as_they_are_written(told: str, kind: str) -> None:
    assert content_type(told) == kind


@pytest.mark.parametrize("told", ["application/xml", "text/plain; charset=latin-1", ";", "application/json, text/csv"])
def test_other_media_types_are_refused(told: str) -> None:
    if told == ";":
        assert content_type(told) == "application/json"
        return
    with pytest.raises(Problem, match=r"^expected ") as problem:
        content_type(told)
    assert problem.value.status == 415


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with served(FakeRuntime()) as found:
        yield found


def test_lines_are_answered_with_lines_unless_json_is_asked_for(client: httpx.Client) -> None:
    sent, kind = b'"a"\n"b"\n', {"Content-Type": "application/jsonlines"}
    answer = client.post("/invocations", content=sent, headers=kind)
    assert answer.headers["content-type"] == "application/jsonlines"
    assert [json.loads(line)["label"] for line in answer.text.splitlines()] == ["positive", "positive"]
    asked = client.post("/invocations", content=sent, headers=kind | {"Accept": "application/json"})
    assert len(asked.json()["predictions"]) == 2
    for _ in range(2):
        lines = client.post("/invocations", json={"text": "a"}, headers={"Accept": "application/jsonlines"})
        assert json.loads(lines.text)["label"] == "positive"
        assert client.post("/invocations", json={"text": "a"}).json()["predictions"][0]["label"] == "positive"


def test_large_bodies_are_read_beside_the_loop(client: httpx.Client) -> None:
    large = client.post("/invocations", json={"instances": [{"text": "a " * 100_000}]})
    assert (large.status_code, len(large.json()["predictions"])) == (200, 1)
    wrong = client.post("/invocations", json={"instances": [{"texts": "a " * 100_000}]})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/instances/0/texts")


def test_messages_are_what_the_runtime_reads() -> None:
    assert read_messages(b'{"text": "a", "headers": {"b": "c"}}', CONFIG) == [Message("a", {"b": "c"})]
