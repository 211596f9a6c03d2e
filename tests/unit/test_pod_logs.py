"""Copies of the logs of pods: what is new is appended, what failed is counted once."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deployments.pod_logs import copy_logs, note_failed
from headgate.errors import Unavailable
from headgate.serving.log_reading import read_beyond


class Pods:
    """Pods whose logs lie in folders of this machine and are read as they are in the pod."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.failed, self.gone = folder, dict[str, int](), set[str]()

    def run(self, pod: str, command: Sequence[str]) -> str:
        assert command[:3] == ["python", "-m", "headgate.serving.log_reading"]
        if pod in self.gone:
            raise Unavailable(f"pod {pod} is gone")
        return json.dumps(read_beyond(self.folder / pod, json.loads(command[4]), at_once=64) | {"failed": self.failed.get(pod, 0)})

    def write(self, pod: str, text: str) -> None:
        (self.folder / pod).mkdir(exist_ok=True, parents=True)
        with (self.folder / pod / f"predictions-{pod}.jsonl").open("a") as opened:
            opened.write(text)


def pod(name: str, restarted: int = 0, phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"u-{name}"}, "status": {"phase": phase, "containerStatuses": [{"restartCount": restarted}]}}


def test_logs_of_all_pods_are_copied_as_they_grow(tmp_path: Path) -> None:
    pods, copies = Pods(tmp_path / "pods"), tmp_path / "copies"
    lines = [f'{{"n": {number}}}\n' for number in range(20)]
    pods.write("a", "".join(lines[:10]))
    pods.write("b", "".join(lines[:3]) + '{"half')
    copy_logs([pod("a"), pod("b")], copies, pods.run)
    pods.write("a", "".join(lines[10:]))
    pods.write("b", '": 1}\n')
    with (copies / "predictions-a.jsonl").open("ab") as cut_off:
        cut_off.write(lines[10].encode()[:4])  # a copy that was killed within a line
    copy_logs([pod("a"), pod("b")], copies, pods.run)
    assert (copies / "predictions-a.jsonl").read_text() == "".join(lines)
    assert (copies / "predictions-b.jsonl").read_text() == "".join(lines[:3]) + '{"half": 1}\n'


def test_failed_calls_are_counted_since_the_last_look_and_from_nothing_after_a_restart(tmp_path: Path) -> None:
    pods = Pods(tmp_path / "pods")
    pods.write("a", "")
    counts = []
    for failed, restarted in [(2, 0), (2, 0), (5, 0), (1, 1), (1, 1)]:
        pods.failed["a"] = failed
        counts.append(copy_logs([pod("a", restarted)], tmp_path / "copies", pods.run))
    assert counts == [2, 0, 3, 1, 0]


def test_a_pod_that_is_gone_or_does_not_run_yet_is_left_out(tmp_path: Path) -> None:
    pods = Pods(tmp_path / "pods")
    pods.write("a", '{"n": 1}\n')
    pods.gone.add("b")
    assert copy_logs([pod("b"), pod("c", phase="Pending"), pod("a")], tmp_path / "copies", pods.run) == 0
    assert (tmp_path / "copies/predictions-a.jsonl").read_text() == '{"n": 1}\n'


def test_failed_calls_are_lines_of_the_error_log(tmp_path: Path) -> None:
    errors = tmp_path / "endpoint/errors.jsonl"
    note_failed(errors, "challenger", "r1", 2, "no answer")
    note_failed(errors, "challenger", "r1", 0, "no answer")
    lines = [json.loads(line) for line in errors.read_text().splitlines()]
    assert [(line["cohort"], line["release"], line["status"], line["detail"]) for line in lines] == [
        ("challenger", "r1", 503, "no answer")
    ] * 2
