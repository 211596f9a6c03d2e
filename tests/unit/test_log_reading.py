"""A reader in the server's own container: what is new in its log folder, and how many calls failed."""

import json
import os
import socket
from pathlib import Path

import pytest

from headgate.serving.log_reading import failed_calls, main, read_beyond


def test_only_whole_lines_beyond_what_is_known_are_read(tmp_path: Path) -> None:
    (tmp_path / "feedback").mkdir()
    (tmp_path / "predictions-1.jsonl").write_text('{"n":1}\n{"n":2}\n{"n":')
    (tmp_path / "feedback/feedback-1.jsonl").write_text('{"label":"yes"}\n')
    (tmp_path / "predictions-2.jsonl.new").write_text('{"n":9}\n')
    assert read_beyond(tmp_path, {"predictions-1.jsonl": 8}) == {
        "files": {"feedback/feedback-1.jsonl": '{"label":"yes"}\n', "predictions-1.jsonl": '{"n":2}\n'},
        "more": False,
    }
    assert read_beyond(tmp_path, {"predictions-1.jsonl": 16, "feedback/feedback-1.jsonl": 16}) == {"files": {}, "more": False}


def test_a_large_log_is_read_in_parts_that_add_up_to_it(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"n": number, "text": "ü"}) + "\n" for number in range(200))
    (tmp_path / "a.jsonl").write_text(lines)
    read, more = "", True
    while more:
        found = read_beyond(tmp_path, {"a.jsonl": len(read.encode())}, at_once=100)
        read += found["files"].get("a.jsonl", "")
        more = bool(found["files"])
    assert read == lines


def test_bytes_that_are_no_text_are_copied_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe\n")
    [text] = json.loads(json.dumps(read_beyond(tmp_path, {})["files"])).values()
    assert text.encode(errors="surrogateescape") == b"\xff\xfe\n"


def test_failed_calls_are_those_with_a_status_of_500_or_more() -> None:
    told = """# HELP headgate_requests_total Requests
headgate_requests_total{cohort="champion",status="200"} 40
headgate_requests_total{cohort="champion",status="503"} 2
headgate_requests_total{cohort="shadow",status="500"} 1.0
headgate_predictions_total{status="500"} 7
"""
    assert failed_calls(told) == 3


def test_files_that_are_old_or_gone_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jsonl").write_text(f"{name}\n")
    os.utime(tmp_path / "a.jsonl", (1000, 1000))
    found = sorted(tmp_path.rglob("*.jsonl"))
    (tmp_path / "b.jsonl").unlink()
    monkeypatch.setattr(Path, "rglob", lambda *_: found)
    assert read_beyond(tmp_path, {}, since=2000) == {"files": {"c.jsonl": "c\n"}, "more": False}


def test_a_server_that_is_leaving_has_a_log_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text("a\n")
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        monkeypatch.setattr("sys.argv", ["log_reading", str(tmp_path), "{}", "--port", str(door.getsockname()[1]), "--since=1"])
        main()
    assert json.loads(capsys.readouterr().out) == {"files": {"a.jsonl": "a\n"}, "more": False, "failed": None}
