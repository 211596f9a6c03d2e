"""Shipping the prediction log and the corrections to the lake, beside the server and never in its way.

`<log-dir>/predictions-YYYYMMDD-<ulid>.jsonl` goes to `<lake>/predictions/<model>/date=YYYY-MM-DD/<file>/<offset>.jsonl`, and
`<log-dir>/feedback/` likewise to `<lake>/feedback/`. A part is named by the byte of its file that it begins with and is written
put-if-absent, and the next one begins where the last one in the lake ends. So no state is kept here: one that is killed, or two at
once, ship each line once.
"""

import fcntl
import json
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from headgate.errors import BadInput, Transient
from headgate.lake import Lake

MAX_PART_BYTES = 8 * 2**20
DAY_S = 86_400
NO_MODEL = "unnamed"

_name = re.compile(r"(?P<kind>predictions|feedback)-(?P<day>\d{8})-[0-9A-Z]{26}\.jsonl")
_unsafe = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Shipped:
    """What one round did."""

    parts: int = 0
    bytes: int = 0
    deleted: int = 0

    def __add__(self, other: "Shipped") -> "Shipped":
        return Shipped(self.parts + other.parts, self.bytes + other.bytes, self.deleted + other.deleted)

    def __str__(self) -> str:
        return f"shipped {self.bytes} bytes in {self.parts} part(s), deleted {self.deleted} file(s) here"


def check_folder(log_dir: Path) -> None:
    """BadInput if there is no such folder, of which nothing would ever be shipped."""
    if not log_dir.is_dir():
        wanted = "the folder that `headgate serve --log-dir` writes"
        raise BadInput(f"expected --log-dir to be {wanted}, found no folder {log_dir}; start the server first or mend the path")


def ship_again_and_again(lake: Lake, log_dir: Path, keep_days: float, every_s: float, say: Callable[[str], None]) -> None:
    """Ship until SIGTERM or SIGINT, and once more then; a lake that does not answer is tried again."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    while True:
        last = ended.is_set()
        try:
            if (done := ship_once(lake, log_dir, keep_days)) != Shipped():
                say(str(done))
        except (Transient, OSError) as fault:
            say(f"not shipped, tried again in {every_s:g} s: {fault}")
        if last:
            return
        ended.wait(every_s)


def ship_once(lake: Lake, log_dir: Path, keep_days: float, now: float | None = None) -> Shipped:
    """Ship every complete line that the lake does not have, and delete closed files that are shipped and older than keep_days."""
    done = Shipped()
    for file in _files(log_dir):
        done += _ship(lake, file, keep_days, time.time() if now is None else now)
    return done


def _files(log_dir: Path) -> Iterator[Path]:
    for folder in (log_dir, log_dir / "feedback"):
        yield from sorted(file for file in folder.glob("*.jsonl") if _name.fullmatch(file.name) and file.is_file())


def _ship(lake: Lake, file: Path, keep_days: float, now: float) -> Shipped:
    closed = _closed(file)
    if (prefix := _prefix(file)) is None:
        return _deleted(file) if closed and _old(file, keep_days, now) else Shipped()
    offset, done = _shipped_bytes(lake, prefix), Shipped()
    while part := _lines(file, offset):
        key = f"{prefix}/{offset:015d}.jsonl"
        if lake.put_if_absent(key, part):
            done += Shipped(parts=1, bytes=len(part))
            offset += len(part)
        else:  # another shipper was faster, and may have found fewer lines
            offset += len(lake.read(key))
    if closed and _old(file, keep_days, now):
        done += _deleted(file)
    return done


def _prefix(file: Path) -> str | None:
    """Where the file's parts go; None while it has no complete line."""
    with file.open("rb") as opened:
        line = opened.readline()
    if not line.endswith(b"\n"):
        return None
    found = _name.fullmatch(file.name)
    assert found
    day = found["day"]
    return f"{found['kind']}/{_model(line)}/date={day[:4]}-{day[4:6]}-{day[6:]}/{file.stem}"


def _model(line: bytes) -> str:
    """The model that a line names, as a folder's name."""
    try:
        told = str(json.loads(line)["model"] or "")
    except (ValueError, LookupError, TypeError):
        told = ""
    return _unsafe.sub("-", told).strip(".-") or NO_MODEL


def _shipped_bytes(lake: Lake, prefix: str) -> int:
    """How much of a file the lake has: its parts follow one another, and their names are where they begin."""
    keys = lake.keys(prefix)
    return int(Path(keys[-1]).stem) + len(lake.read(keys[-1])) if keys else 0


def _lines(file: Path, offset: int) -> bytes:
    """Complete lines from an offset on, as many as one part takes.

    None where no line begins there: the file was made anew, as captures of SageMaker are, by code that writes other lines.
    """
    with file.open("rb") as opened:
        opened.seek(max(0, offset - 1))
        if offset and opened.read(1) != b"\n":
            return b""
        found = opened.read(MAX_PART_BYTES)
        if len(found) == MAX_PART_BYTES and b"\n" not in found:
            found += opened.readline()
    return found[: found.rfind(b"\n") + 1]


def _closed(file: Path) -> bool:
    """Whether no process writes it: its writer holds a lock for as long as it lives."""
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _old(file: Path, keep_days: float, now: float) -> bool:
    return now - file.stat().st_mtime >= keep_days * DAY_S


def _deleted(file: Path) -> Shipped:
    file.unlink(missing_ok=True)
    return Shipped(deleted=1)
