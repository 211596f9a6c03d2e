"""Where annotators drop files: `<lake>/landing/<dataset>/`, a folder or an S3 prefix. Landed files are never moved or changed."""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from headgate.data.mail_folders import as_json_lines, folder_rows
from headgate.data.settling import is_half_written
from headgate.data.version import checked_name
from headgate.errors import NotFound
from headgate.lake import Lake, Listed

READ = "ingested-keys"
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class LandedFile:
    """A landed file; `arrived` sorts as the files came: the time, then the key. The stamp is what a listing said when it was read."""

    key: str
    sha256: str
    data: bytes
    arrived: str
    stamp: str = ""

    @property
    def landed_at(self) -> str:
        """When the file came, as ISO 8601 in UTC."""
        return self.arrived.split(" ", 1)[0]

    @property
    def name(self) -> str:
        """The file's own name, for messages."""
        return re.sub(r"^\d{8}T\d{6}\.\d{6}-[0-9a-f]{16}-", "", PurePosixPath(self.key).name)


def land(lake: Lake, dataset: str, file: Path) -> str:
    """Put a file into the landing area and say where; the same bytes land once. A folder of e-mails with labels lands as JSON Lines."""
    try:
        name, data = _mail_folder(file) if file.is_dir() else (file.name, file.read_bytes())
    except OSError as fault:
        raise NotFound(f"expected a file at {file}, which could not be read: {fault.strerror}") from None
    mark = f"-{hashlib.sha256(data).hexdigest()[:16]}-"
    if there := next((key for key in landed(lake, dataset) if mark in key), None):
        return there
    key = f"{_landing(dataset)}/{datetime.now(UTC):%Y%m%dT%H%M%S.%f}{mark}{name}"
    lake.put_if_absent(key, data)
    return key


def landed(lake: Lake, dataset: str) -> list[str]:
    """The keys of every landed file, sorted."""
    return lake.keys(_landing(dataset))


def pending(lake: Lake, dataset: str) -> list[LandedFile]:
    """The landed files that no ingest has finished yet, as they came; the same bytes count once."""
    return pending_and_copies(lake, dataset)[0]


def pending_and_copies(lake: Lake, dataset: str) -> tuple[list[LandedFile], list[LandedFile]]:
    """The pending files, and those that only repeat the bytes of a finished or pending one, to be marked with `mark_read`.

    A file that was marked is listed and not read again, unless its stamp says that it was replaced: reads are O(new files).
    """
    done = _done(lake, dataset)
    files: dict[str, LandedFile] = {}
    copies = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for file in pool.map(lambda one: _read(lake, one), _unread(lake, dataset, done)):
            if file.sha256 in done or file.sha256 in files:
                copies.append(replace(file, data=b""))
            else:
                files[file.sha256] = file
    return sorted(files.values(), key=lambda file: file.arrived), copies


def unread(lake: Lake, dataset: str) -> list[Listed]:
    """The landed files that no ingest has finished as they stand now, unread; no half-written ones."""
    return _unread(lake, dataset, _done(lake, dataset))


def _done(lake: Lake, dataset: str) -> set[str]:
    return {PurePosixPath(key).stem for key in lake.keys(f"ingested/{checked_name(dataset)}")}


def _unread(lake: Lake, dataset: str, done: set[str]) -> list[Listed]:
    marked = {PurePosixPath(key).name for key in lake.keys(f"{READ}/{dataset}")}
    finished = {mark for sha256, _, mark in (name.partition("-") for name in marked) if sha256 in done}
    there = (one for one in lake.listing(_landing(dataset)) if not is_half_written(one.key))
    return [one for one in there if _mark(one.key, one.stamp) not in finished]


def mark_read(lake: Lake, dataset: str, file: LandedFile) -> None:
    """Say that these very bytes under this key need no further reading; only after the record at `ingested_key` is written."""
    record = {"key": file.key, "stamp": file.stamp, "sha256": file.sha256}
    lake.put_if_absent(f"{READ}/{dataset}/{file.sha256}-{_mark(file.key, file.stamp)}", json.dumps(record, sort_keys=True).encode())


def _read(lake: Lake, one: Listed) -> LandedFile:
    data = lake.read(one.key)
    arrived = f"{one.written_at:%Y-%m-%dT%H:%M:%S.%fZ} {one.key}"
    return LandedFile(one.key, hashlib.sha256(data).hexdigest(), data, arrived, one.stamp)


def _mark(key: str, stamp: str) -> str:
    return hashlib.sha256(f"{key}\n{stamp}".encode()).hexdigest()[:32]


def ingested_key(dataset: str, sha256: str) -> str:
    """Where the record stands that says this file needs no further ingest."""
    return f"ingested/{checked_name(dataset)}/{sha256}.json"


def _mail_folder(folder: Path) -> tuple[str, bytes]:
    """The folder's mails as a JSON Lines file of the folder's name; hidden files are left out."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    rows = folder_rows({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})
    return f"{folder.resolve().name}.jsonl", as_json_lines(rows)


def _landing(dataset: str) -> str:
    return f"landing/{checked_name(dataset)}"
