"""Copies of the logs of pods: what is new is appended, what failed is counted once."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deployments.pod_logs import copy_logs, note_failed
from headgate.errors import Unavailable
from headgate.serving.log_reading import read_beyond

ULID = "0123456789ABCDEFGHJKMNPQR"


def log_of(pod: str) -> str:
    return f"predictions-20261127-{ULID}{pod.upper()}.jsonl"


class Pods:
    """Pods whose logs lie in folders of this machine and are read as they are in the pod."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.failed, self.gone, self.says = folder, dict[str, int | None](), set[str](), dict[str, str]()
        self.known: list[dict[str, int]] = []

    def run(self, pod: str, command: Sequence[str]) -> str:
        assert command[:3] == ["python", "-m", "headgate.serving.log_reading"]
        if pod in self.gone:
            raise Unavailable(f"pod {pod} is gone")
        self.known.append(json.loads(command[4]))
        since = float(next((one.partition("=")[2] for one in command if one.startswith("--since=")), 0))
        found = read_beyond(self.folder / pod, self.known[-1], at_once=64, since=since) | {"failed": self.failed.get(pod, 0)}
        return self.says.get(pod) or json.dumps(found)

    def write(self, pod: str, text: str) -> None:
        (self.folder / pod).mkdir(exist_ok=True, parents=True)
        with (self.folder / pod / log_of(pod)).open("a") as opened:
            opened.write(text)


def pod(name: str, restarted: int = 0, phase: str = "Running", is_ready: bool = True) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(is_ready)}]
    status = {"phase": phase, "conditions": conditions, "containerStatuses": [{"name": "server", "restartCount": restarted}]}
    status["containerStatuses"].append({"name": "istio-proxy", "restartCount": 7})
    return {"metadata": {"name": name, "uid": f"u-{name}"}, "status": status}


@pytest.fixture
def pods(tmp_path: Path) -> Pods:
    return Pods(tmp_path / "pods")


def test_logs_of_all_pods_are_copied_as_they_grow(tmp_path: Path, pods: Pods) -> None:
    copies = tmp_path / "copies"
    lines = [f'{{"n": {number}}}\n' for number in range(20)]
    pods.write("a", "".join(lines[:10]))
    pods.write("b", "".join(lines[:3]) + '{"half')
    copy_logs([pod("a"), pod("b")], copies, pods.run, [].append)
    pods.write("a", "".join(lines[10:]))
    pods.write("b", '": 1}\n')
    with (copies / log_of("a")).open("ab") as cut_off:
        cut_off.write(lines[10].encode()[:4])  # a copy that was killed within a line
    copy_logs([pod("a"), pod("b")], copies, pods.run, [].append)
    assert (copies / log_of("a")).read_text() == "".join(lines)
    assert (copies / log_of("b")).read_text() == "".join(lines[:3]) + '{"half": 1}\n'
    assert (copies / log_of("a")).stat().st_mode & 0o777 == 0o600


def test_failed_calls_are_counted_since_the_last_look_and_from_nothing_after_a_restart(tmp_path: Path, pods: Pods) -> None:
    pods.write("a", "")
    counts: list[int] = []
    for failed, restarted in [(2, 0), (2, 0), (5, 0), (1, 1), (1, 1)]:
        pods.failed["a"] = failed
        copy_logs([pod("a", restarted)], tmp_path / "copies", pods.run, counts.append)
    assert counts == [0, 3, 1], "what failed before the first look may be old"


def test_a_count_that_was_cut_off_is_begun_again(tmp_path: Path, pods: Pods) -> None:
    pods.write("a", "")
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies/failed.json").write_text("")
    copy_logs([pod("a")], tmp_path / "copies", pods.run, [].append)
    assert json.loads((tmp_path / "copies/failed.json").read_text()) == {"failed": {"u-a/0": 0}}


def test_a_pod_that_is_gone_or_does_not_run_yet_is_left_out(tmp_path: Path, pods: Pods) -> None:
    pods.write("a", '{"n": 1}\n')
    pods.gone.add("b")
    copy_logs([pod("b"), pod("c", phase="Pending"), pod("a")], tmp_path / "copies", pods.run, [].append)
    assert (tmp_path / "copies" / log_of("a")).read_text() == '{"n": 1}\n'
    copy_logs([pod("b", is_ready=False)], tmp_path / "copies", pods.run, [].append)


def test_ready_pods_of_which_none_can_be_read_are_no_silence(tmp_path: Path, pods: Pods) -> None:
    pods.gone |= {"a", "b"}
    with pytest.raises(Unavailable, match=r"the prediction log of none of 2 ready pods could be read: pod b is gone"):
        copy_logs([pod("a"), pod("b")], tmp_path / "copies", pods.run, [].append)


@pytest.mark.parametrize("name", ["../../escaped.jsonl", "/tmp/escaped.jsonl", "failed.json", "other/x-20261127-" + ULID + "A.jsonl"])
def test_a_pod_chooses_no_place_on_this_machine(name: str, tmp_path: Path, pods: Pods) -> None:
    pods.write("a", "")
    pods.says["a"] = json.dumps({"files": {name: "x\n"}, "more": False, "failed": 0})
    with pytest.raises(Unavailable, match="expected its log, found"):
        copy_logs([pod("a")], tmp_path / "copies", pods.run, [].append)
    assert [file.name for file in (tmp_path / "copies").iterdir()] == [".lock"]


def test_a_reader_that_always_has_more_and_brings_nothing_ends(tmp_path: Path, pods: Pods) -> None:
    pods.write("a", "")
    pods.says["a"] = json.dumps({"files": {}, "more": True, "failed": 0})
    copy_logs([pod("a")], tmp_path / "copies", pods.run, [].append)


def test_failed_calls_are_lines_of_the_error_log(tmp_path: Path) -> None:
    errors = tmp_path / "endpoint/errors.jsonl"
    note_failed(errors, "challenger", "r1", 2, "no answer")
    note_failed(errors, "challenger", "r1", 0, "no answer")
    lines = [json.loads(line) for line in errors.read_text().splitlines()]
    assert [(line["cohort"], line["release"], line["status"], line["detail"]) for line in lines] == [
        ("challenger", "r1", 503, "no answer")
    ] * 2


def test_a_first_look_copies_what_was_written_lately_and_never_tells_of_files_that_are_old(tmp_path: Path, pods: Pods) -> None:
    now, copies = datetime.now(UTC), tmp_path / "copies"
    pods.write("a", '{"n": 1}\n' * 20)
    new = pods.folder / "a" / log_of("a")
    old = new.with_name(log_of("b"))
    old.write_text('{"n": 0}\n' * 20)
    os.utime(old, (now.timestamp() - 86400, now.timestamp() - 86400))
    for _ in range(2):
        copy_logs([pod("a")], copies, pods.run, [].append, since=now - timedelta(minutes=5))
        assert [(file.name, file.read_text()) for file in copies.glob("*.jsonl")] == [(new.name, new.read_text())]
        os.utime(copies / new.name, (now.timestamp() - 86400, now.timestamp() - 86400))  # it is copied again, to where it stood
    pods.known.clear()
    copy_logs([pod("a")], copies, pods.run, [].append, since=now - timedelta(minutes=5))
    assert pods.known[0] == {}


def test_a_server_that_leaves_and_does_not_count_any_more_has_its_log_copied(tmp_path: Path, pods: Pods) -> None:
    counts: list[int] = []
    for failed in (1, None, 3):
        pods.write("a", '{"n": 1}\n')
        pods.failed["a"] = failed
        copy_logs([pod("a")], tmp_path / "copies", pods.run, counts.append)
    assert (tmp_path / "copies" / log_of("a")).read_text() == '{"n": 1}\n' * 3
    assert counts == [0, 2]
