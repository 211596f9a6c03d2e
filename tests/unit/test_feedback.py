"""Corrected labels: checked, written down, and only then acknowledged."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import FakeRuntime, served

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def corrections(log_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in (log_dir / "feedback").glob("*.jsonl") for line in file.read_text().splitlines()]


def corrected(client: httpx.Client, **correction: Any) -> httpx.Response:
    return client.post("/feedback", json=correction, headers={"traceparent": TRACE})


def test_a_correction_is_written_before_it_is_acknowledged(tmp_path: Path) -> None:
    with served(FakeRuntime(), log_dir=tmp_path, release="r1") as client:
        identifier = client.post("/invocations", json={"text": "a"}).json()["predictions"][0]["prediction_id"]
        answer = corrected(client, prediction_id=identifier, label="other", annotator="ada")
        assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
        (line,) = corrections(tmp_path)
        assert 'headgate_feedback_total{label="other",model="replies",release="r1"} 1.0' in client.get("/metrics").text
    assert line.pop("ts").endswith("Z")
    assert line == {
        "prediction_id": identifier,
        "label": "other",
        "annotator": "ada",
        "model": "replies",
        "release": "r1",
        "traceparent": TRACE,
    }


def test_every_fault_of_a_correction_is_named(tmp_path: Path) -> None:
    with served(FakeRuntime(), log_dir=tmp_path) as client:
        answer = corrected(client, prediction_id="x", label="new", annotator=3, note="")
        assert answer.status_code == 422
        assert answer.json()["errors"] == [
            {"pointer": "/note", "detail": "unknown field; known are annotator, label, prediction_id"},
            {"pointer": "/prediction_id", "detail": "expected the prediction_id of an answer, found the string 'x'"},
            {"pointer": "/label", "detail": "expected a known label (other, positive), found the string 'new'"},
            {"pointer": "/annotator", "detail": "expected a string of at most 200 characters, found the number 3"},
        ]
        assert [error["pointer"] for error in corrected(client).json()["errors"]] == ["/prediction_id", "/label"]
        assert client.post("/feedback", json=[]).status_code == 422
        assert client.post("/feedback", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
        assert client.post("/feedback", content=b"a", headers={"Content-Type": "text/csv"}).status_code == 415
    assert corrections(tmp_path) == []


@pytest.mark.parametrize("kept", [True, False])
def test_a_correction_that_cannot_be_kept_is_not_acknowledged(tmp_path: Path, kept: bool) -> None:
    with served(FakeRuntime(), log_dir=tmp_path if kept else None) as client:
        (tmp_path / "feedback").touch()
        answer = corrected(client, prediction_id="abcdef01-01M82DJFPDN9NCMCA7012G298Y", label="other")
        assert answer.status_code == 503
        expected = (
            "the correction could not be written; try again" if kept else "corrections are not kept here; start the server with --log-dir"
        )
        assert answer.json()["detail"] == expected
