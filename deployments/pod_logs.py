"""The prediction logs of a release's pods, copied to this machine as they grow, with the calls that failed.

A server's log files have names that no other server uses, so those of all pods of a release lie in one folder, as they do where servers
run on this machine. A copy is only ever appended to, by the bytes that it lacks: a copy that was cut off goes on where it ended.
A Gateway keeps no log that the standard names, so failed calls are those that the servers count themselves.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from deployments.manifests.pods import LOG
from deployments.manifests.workload import Manifest
from deployments.pod_reasons import restarts
from headgate.errors import Unavailable
from headgate.record import Record

READER = ("python", "-m", "headgate.serving.log_reading", LOG)
Run = Callable[[str, Sequence[str]], str]


class Counted(Record):
    """How many failed calls each pod had told of, by the pod's uid and its restarts: a server that starts again counts from 0."""

    failed: dict[str, int] = Field(default_factory=dict)


def copy_logs(pods: Sequence[Manifest], folder: Path, run: Run) -> int:
    """Append what is new of every running pod's log to the folder; says how many calls failed since the last time."""
    return sum(_copy(pod, folder, run) for pod in pods if _runs(pod))


def note_failed(errors: Path, cohort: str, release: str, count: int, detail: str) -> None:
    """Write so many failed calls to the endpoint's error log, one line each."""
    if count:
        errors.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"ts": datetime.now(UTC).isoformat(), "cohort": cohort, "release": release, "status": 503, "detail": detail})
        with errors.open("a") as opened:
            opened.write(f"{line}\n" * count)


def _runs(pod: Manifest) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running"


def _copy(pod: Manifest, folder: Path, run: Run) -> int:
    name, more, failed = pod["metadata"]["name"], True, 0
    while more:
        known = {file.relative_to(folder).as_posix(): file.stat().st_size for file in folder.rglob("*.jsonl")}
        try:
            told = json.loads(run(name, [*READER, json.dumps(known)]))
        except (Unavailable, ValueError):
            return 0
        for file, text in told["files"].items():
            _append(folder / file, text)
        more, failed = told["more"], told["failed"]
    return _new_failures(folder / "failed.json", f"{pod['metadata']['uid']}/{restarts(pod)}", failed)


def _append(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as opened:
        opened.write(text.encode(errors="surrogateescape"))


def _new_failures(file: Path, server: str, failed: int) -> int:
    counted = Counted.model_validate_json(file.read_bytes()) if file.exists() else Counted()
    new = max(0, failed - counted.failed.get(server, 0))
    if new or server not in counted.failed:
        file.parent.mkdir(parents=True, exist_ok=True)
        told: dict[str, Any] = {**counted.failed, server: failed}
        file.write_text(Counted(failed=told).model_dump_json())
    return new
