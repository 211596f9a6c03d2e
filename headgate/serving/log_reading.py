"""What a server's log folder holds beyond what the reader has: `python -m headgate.serving.log_reading FOLDER '{"name": bytes}'`.

Whoever watches a server in a container runs it there. It prints one JSON object: {"files": {name: text}, "more": bool, "failed": int},
whole lines only and at most AT_ONCE bytes; `more` says that there are more, `failed` counts the calls that the server failed so far,
None where it does not answer. `--since` leaves out the files that were not written since then, so that a first look is no copy of weeks.
"""

import argparse
import json
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

AT_ONCE = 4 * 2**20
FAILED = "headgate_requests_total{"


def read_beyond(folder: Path, known: Mapping[str, int], at_once: int = AT_ONCE, since: float = 0) -> dict[str, Any]:
    """New whole lines of each file by its path in the folder, from the byte that the reader knows it to; since: seconds since 1970."""
    files: dict[str, str] = {}
    room = at_once
    for file in sorted(folder.rglob("*.jsonl")):
        name = file.relative_to(folder).as_posix()
        found = _beyond(file, known.get(name, 0), room, since)
        room -= len(found)
        if whole := found[: found.rfind(b"\n") + 1]:
            files[name] = whole.decode(errors="surrogateescape")
        if room <= 0:
            break
    return {"files": files, "more": room <= 0}


def _beyond(file: Path, known: int, room: int, since: float) -> bytes:
    try:
        if file.stat().st_mtime < since:
            return b""
        with file.open("rb") as opened:
            opened.seek(known)
            return opened.read(room) + opened.readline()
    except FileNotFoundError:
        return b""  # removed to make room


def failed_calls(metrics: str) -> int:
    """How many calls the server answered with a status of 500 or more since its start, by its metrics' text."""
    lines = (line for line in metrics.splitlines() if line.startswith(FAILED) and 'status="5' in line)
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)


def main() -> None:
    """Print what is new."""
    parser = argparse.ArgumentParser(prog="python -m headgate.serving.log_reading", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("known", type=json.loads, help="bytes that the reader has of each file, as JSON")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--since", type=float, default=0, help="leave files out that were written last before, in seconds since 1970")
    args = parser.parse_args()
    json.dump(read_beyond(args.folder, args.known, since=args.since) | {"failed": _failed(args.port)}, sys.stdout)


def _failed(port: int) -> int | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return failed_calls(answer.read().decode())
    except OSError:
        return None  # it is leaving, and its log is there still


if __name__ == "__main__":
    main()
