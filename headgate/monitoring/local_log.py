"""The prediction logs of this machine, which may not be in the lake yet: one prediction by its id, in the files of its day only."""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from headgate.monitoring.prediction_log import LATE, predicted_at


@dataclass(frozen=True)
class Looked:
    """A line where it was found, and what was looked through."""

    line: dict[str, Any] | None
    folders: int
    files: int
    where: str

    def told(self) -> str:
        """What was looked through, for a reader."""
        return f"{self.files} file(s) of that day in {self.folders} log folder(s) here ({self.where})"


def find_here(home: Path, log_dirs: Sequence[Path], prediction_id: str) -> Looked:
    """Look for a prediction in the logs of the local target's servers, and in folders of servers that were started by hand."""
    folders = [*sorted(path for path in (home / "predictions").glob("*/*") if path.is_dir()), *log_dirs]
    where = ", ".join(map(str, (home / "predictions", *log_dirs)))
    count = 0
    for folder in folders:
        for file in _of_day(folder, prediction_id):
            count += 1
            if (line := _line(file, prediction_id)) is not None:
                return Looked({**line, "_origin": str(file)}, len(folders), count, where)
    return Looked(None, len(folders), count, where)


def _of_day(folder: Path, prediction_id: str) -> Iterator[Path]:
    """The files that may hold a prediction: named by its day or the next, and opened before it, or a moment after."""
    at = predicted_at(prediction_id)
    for day in (at, at + timedelta(days=1)):
        for file in sorted(folder.glob(f"predictions-{day:%Y%m%d}-*.jsonl")):
            if predicted_at(file.stem) <= at + LATE:
                yield file


def _line(file: Path, prediction_id: str) -> dict[str, Any] | None:
    """The whole line of a prediction; a line that is still being written is none."""
    with file.open("rb") as opened:
        if not opened.seek(0, 2):
            return None
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            at = content.find(b'"prediction_id":"%b"' % prediction_id.encode())
            end = content.find(b"\n", at)
            if at < 0 or end < 0:
                return None
            found: dict[str, Any] = orjson.loads(content[content.rfind(b"\n", 0, at) + 1 : end])
            return found
