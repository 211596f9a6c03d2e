"""The prediction logs of a release's pods, copied to this machine as they grow, with the calls that failed.

A server's log files have names that no other server uses, so those of all pods of a release lie in one folder, as they do where servers
run on this machine. What is copied is written at the place where it stood, so a copy that was cut off, or was made twice, is the same copy.
A Gateway keeps no log that the standard names, so failed calls are those that the servers count themselves.
"""

import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from filelock import FileLock
from pydantic import Field, StringConstraints, ValidationError

from deployments.manifests.pods import LOG
from deployments.manifests.workload import Manifest
from deployments.pod_reasons import ready, restarts
from headgate.errors import Unavailable
from headgate.record import Record

READER = ("python", "-m", "headgate.serving.log_reading", LOG)
CLOCKS_DIFFER_S = 3600
Run = Callable[[str, Sequence[str]], str]
FileName = Annotated[str, StringConstraints(pattern=r"^(feedback/)?[a-z]+-\d{8}-[0-9A-Za-z]{26}\.jsonl$")]


class Told(Record):
    """What a pod's reader says; its program decides that, so the names of files are those that a server makes, or it is refused."""

    files: dict[FileName, str]
    more: bool
    failed: int | None = Field(ge=0)


class Counted(Record):
    """How many failed calls each server had told of, by its pod's uid and restarts: one that starts again counts from 0."""

    failed: dict[str, int] = Field(default_factory=dict)

    def new(self, pod: Manifest, failed: int) -> int:
        """Failed calls since the last look; none of a pod that was never looked at, whose failures may be old."""
        known = self.failed.get(_server(pod))
        if known is None:
            return failed if any(name.startswith(f"{pod['metadata']['uid']}/") for name in self.failed) else 0
        return max(0, failed - known)


def copy_logs(pods: Sequence[Manifest], folder: Path, run: Run, note: Callable[[int], None], since: datetime | None = None) -> None:
    """Copy what is new of every running pod's log into the folder; `note` hears how many calls failed since the last time.

    since: files that were not written since then are left out, but for an hour by which the clocks may differ. Unavailable where pods
    are ready and none of them could be read. A failed call is told again after a kill rather than never.
    """
    begun = max(0.0, since.timestamp() - CLOCKS_DIFFER_S) if since else 0.0
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    read, faults = 0, list[str]()
    with FileLock(folder / ".lock"):
        for pod in pods:
            try:
                if _runs(pod):
                    failed = _copied(str(pod["metadata"]["name"]), folder, run, begun)
                    if failed is not None:
                        _count(pod, folder / "failed.json", failed, note)
                    read += 1
            except Unavailable as fault:
                faults += [str(fault)] if ready(pod) else []
    if faults and not read:
        raise Unavailable(f"the prediction log of none of {len(faults)} ready pods could be read: {faults[-1]}")


def note_failed(errors: Path, cohort: str, release: str, count: int, detail: str) -> None:
    """Write so many failed calls to the endpoint's error log, one line each."""
    if count:
        errors.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"ts": datetime.now(UTC).isoformat(), "cohort": cohort, "release": release, "status": 503, "detail": detail})
        with errors.open("a") as opened:
            opened.write(f"{line}\n" * count)


def _runs(pod: Manifest) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running"


def _server(pod: Manifest) -> str:
    return f"{pod['metadata']['uid']}/{restarts(pod)}"


def _copied(pod: str, folder: Path, run: Run, since: float) -> int | None:
    """How many calls the pod's server failed since its start, once its log is here; None where it does not tell."""
    bound = [f"--since={since:.0f}"] if since else []
    while True:
        stats = {file.relative_to(folder).as_posix(): file.stat() for file in folder.rglob("*.jsonl")}
        known = {name: stat.st_size for name, stat in stats.items() if stat.st_mtime >= since}
        try:
            told = Told.model_validate_json(run(pod, [*READER, json.dumps(known), *bound]))
        except ValidationError as fault:
            raise Unavailable(f"pod {pod}: expected its log, found {fault.errors()[0]['msg']} at {fault.errors()[0]['loc']}") from fault
        for name, text in told.files.items():
            _write(folder / name, text, known.get(name, 0))
        if not told.more or not told.files:
            return told.failed


def _write(file: Path, text: str, at: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    opened = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(opened, text.encode(errors="surrogateescape"), at)
    finally:
        os.close(opened)


def _count(pod: Manifest, file: Path, failed: int, note: Callable[[int], None]) -> None:
    try:
        counted = Counted.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):
        counted = Counted()
    if counted.failed.get(_server(pod)) == failed:
        return
    note(counted.new(pod, failed))
    fresh = file.with_suffix(".new")
    fresh.write_text(Counted(failed={**counted.failed, _server(pod): failed}).model_dump_json())
    fresh.replace(file)
