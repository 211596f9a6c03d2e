"""Files of JSON Lines that are rotated by size and by day, and are known to be closed by their lock.

`<kind>-YYYYMMDD-<ulid>.jsonl`: no two processes, hosts or starts share a name. The writer holds a lock (flock) on its file, which
the system takes away when the process ends, however it ends: a file that can be locked is closed. It gets its name once it is locked.
"""

import fcntl
import logging
import os
import time
from pathlib import Path
from typing import BinaryIO

from headgate.errors import BadInput
from headgate.serving.identifiers import PredictionIds

MAX_FILE_BYTES = 64 * 2**20

logger = logging.getLogger(__name__)


def check_folder(folder: Path) -> None:
    """Make the folder, and a file in it that is removed again; BadInput if that cannot be."""
    tried = folder / f".tried-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tried.touch()
        tried.unlink(missing_ok=True)
    except OSError as fault:
        found = f"{folder} ({fault.strerror})"
        raise BadInput(f"expected --log-dir to be a folder that can be written, found {found}; mend its rights or choose another") from None


class LogFiles:
    """Appends lines to the newest file of one kind in a folder; belongs to one thread.

    keep_bytes: where nobody ships the files, the oldest closed ones are removed so that a folder of one kind holds no more;
    other writers' open files are left alone, and each may grow by one file beyond that. None: all are kept.
    """

    def __init__(self, folder: Path, kind: str, max_file_bytes: int = MAX_FILE_BYTES, keep_bytes: int | None = None) -> None:
        self._folder, self._kind, self._keep_bytes = folder, kind, keep_bytes
        self._max_file_bytes = max_file_bytes if keep_bytes is None else min(max_file_bytes, max(1, keep_bytes // 4))
        self._names = PredictionIds("")
        self._file: BinaryIO | None = None
        self._day, self._bytes, self._named_ns = "", 0, 0

    def append(self, lines: bytes) -> None:
        """Write whole lines at once; OSError if they cannot be."""
        today = time.strftime("%Y%m%d", time.gmtime())
        if self._file is None or self._day != today or self._bytes >= self._max_file_bytes:
            self._open(today)
        assert self._file is not None
        try:
            self._file.write(lines)
        except OSError:
            self.close()  # the next lines go to a new file, so that half a line never has a whole one behind it
            raise
        self._bytes += len(lines)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, day: str) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._keep_bytes is not None:
            _make_room(self._folder, self._kind, self._keep_bytes - self._max_file_bytes)
        self._named_ns = max(time.time_ns(), self._named_ns + 1_000_000)  # so that its files sort as they were opened
        name = f"{self._kind}-{day}-{self._names.fresh(self._named_ns).decode().removeprefix('-')}.jsonl"
        new = self._folder / f"{name}.new"
        file = new.open("xb", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(self._folder / name)
        self._file, self._day, self._bytes = file, day, 0


def _make_room(folder: Path, kind: str, most: int) -> None:
    """Remove the oldest closed files of a kind until the others have at most so many bytes."""
    files = sorted(folder.glob(f"{kind}-*.jsonl"))
    sizes = {file: _size(file) for file in files}
    for file in files:
        if sum(sizes.values()) <= most:
            return
        if _removed(file):
            logger.warning("%s: the oldest file was removed to make room, with %d bytes", file.name, sizes.pop(file))


def _removed(file: Path) -> bool:
    """Whether the file was closed, and now is gone; another process may be doing the same."""
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
