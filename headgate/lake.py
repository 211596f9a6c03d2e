"""The lake: one folder or one S3 prefix under which every table and record lives.

Records are written put-if-absent or compare-and-swap, so that a repeated or killed step is harmless.
Delta tables under the same root are read and written by `headgate.data` through delta-rs.
"""

import hashlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from filelock import FileLock
from typing_extensions import override

from headgate.errors import BadInput, BadSettings, Conflict, NotFound

if TYPE_CHECKING:
    from headgate.settings import S3


@dataclass(frozen=True)
class Entry:
    """A record's bytes and the tag that a compare-and-swap must name."""

    data: bytes
    tag: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A record as a listing tells it, unread: the stamp is another one wherever the bytes are (S3: ETag; a folder: size and mtime)."""

    key: str
    stamp: str
    written_at: datetime


class Lake(ABC):
    """Keys are relative paths with forward slashes; values are bytes."""

    uri: str

    @abstractmethod
    def get(self, key: str) -> Entry | None:
        """The record at key, or None."""

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the record unless one is there; says whether this call wrote it. Atomic among writers: exactly one of them hears True.

        One that was killed, or that ended Unavailable, may have written: whoever repeats the step then hears False and reads what is there.
        """

    @abstractmethod
    def compare_and_swap(self, key: str, data: bytes, tag: str | None) -> None:
        """Replace the record that has this tag (None: create it); Conflict if somebody wrote first."""

    @abstractmethod
    def keys(self, prefix: str) -> list[str]:
        """Every key under a prefix that ends at a folder boundary, sorted."""

    @abstractmethod
    def listing(self, prefix: str) -> list[Listed]:
        """Every record under a prefix, sorted by key, without reading one: on S3 one request a thousand."""

    @abstractmethod
    def written_at(self, key: str) -> datetime:
        """When the record was written, in UTC; NotFound if there is none."""

    @abstractmethod
    def storage_options(self) -> dict[str, str]:
        """What delta-rs needs to reach the same place."""

    def read(self, key: str) -> bytes:
        """The record's bytes; NotFound if there is none."""
        if (entry := self.get(key)) is None:
            raise NotFound(f"expected a record at {self.join(key)}, found none")
        return entry.data

    def put_same(self, key: str, data: bytes) -> None:
        """Write a record that never changes; BadInput if another one is already there."""
        if not self.put_if_absent(key, data) and self.read(key) != data:
            raise BadInput(f"{self.join(key)} is already written with other content; it never changes")

    def join(self, key: str) -> str:
        """The full address of a key."""
        return f"{self.uri.rstrip('/')}/{checked(key)}"


def checked(key: str) -> str:
    """The key itself; BadInput if it could leave the lake."""
    parts = PurePosixPath(key).parts
    if not parts or key.startswith("/") or ".." in parts or "\\" in key:
        raise BadInput(f"expected a relative key without '..', found {key!r}")
    return key


class FolderLake(Lake):
    """The lake in a folder of this machine; safe among its processes."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.uri = str(self.root)

    @override
    def get(self, key: str) -> Entry | None:
        try:
            data = (self.root / checked(key)).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Entry(data, hashlib.sha256(data).hexdigest())

    @override
    def put_if_absent(self, key: str, data: bytes) -> bool:
        path = self.root / checked(key)
        with _written_beside(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
        return True

    @override
    def compare_and_swap(self, key: str, data: bytes, tag: str | None) -> None:
        path = self.root / checked(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            found = self.get(key)
            if (found.tag if found else None) != tag:
                raise Conflict(f"{path} was changed by somebody else; read it again")
            with _written_beside(path, data) as temporary:
                temporary.replace(path)

    @override
    def keys(self, prefix: str) -> list[str]:
        top = self.root / checked(prefix)
        files = (p for p in top.rglob("*") if p.is_file() and not p.is_symlink() and not p.name.startswith("."))
        return sorted(p.relative_to(self.root).as_posix() for p in files)

    @override
    def listing(self, prefix: str) -> list[Listed]:
        found = []
        for key in self.keys(prefix):
            with suppress(FileNotFoundError):
                at = (self.root / key).stat()
                found.append(Listed(key, f"{at.st_size}-{at.st_mtime_ns}", datetime.fromtimestamp(at.st_mtime, UTC)))
        return found

    @override
    def written_at(self, key: str) -> datetime:
        try:
            return datetime.fromtimestamp((self.root / checked(key)).stat().st_mtime, UTC)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"expected a record at {self.join(key)}, found none") from None

    @override
    def storage_options(self) -> dict[str, str]:
        return {}


@contextmanager
def _written_beside(path: Path, data: bytes) -> Iterator[Path]:
    """A complete, flushed hidden file in path's folder; removed afterwards if it is still there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def open_lake(uri: str, s3: "S3 | None" = None) -> Lake:
    """The lake at a folder or an s3:// URI, reached as `s3` says (None: as headgate.toml does); BadSettings if it is neither."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if uri.startswith("s3://") and bucket:
        from headgate.lake_s3 import S3Lake
        from headgate.settings import load_settings

        return S3Lake(bucket, prefix, s3 or load_settings().s3)
    if "://" in uri:
        raise BadSettings(f"lake: expected a folder or s3://bucket/prefix, found {uri!r}")
    return FolderLake(Path(uri))
