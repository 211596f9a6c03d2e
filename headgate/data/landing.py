"""Where annotators drop files: `<lake>/landing/<dataset>/`, a folder or an S3 prefix. Landed files are never moved or changed."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from headgate.data.mail_folders import as_json_lines, folder_rows
from headgate.data.version import checked_name
from headgate.errors import NotFound
from headgate.lake import Lake


@dataclass(frozen=True, slots=True)
class LandedFile:
    """A landed file; `arrived` sorts as the files came: the time, then the key."""

    key: str
    sha256: str
    data: bytes
    arrived: str

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
    done = {PurePosixPath(key).stem for key in lake.keys(f"ingested/{checked_name(dataset)}")}
    files: dict[str, LandedFile] = {}
    for key in landed(lake, dataset):
        data = lake.read(key)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in done:
            arrived = f"{lake.written_at(key):%Y-%m-%dT%H:%M:%S.%fZ} {key}"
            files.setdefault(sha256, LandedFile(key, sha256, data, arrived))
    return sorted(files.values(), key=lambda file: file.arrived)


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
