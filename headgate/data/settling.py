"""When a file that somebody drops into a folder is whole: nothing tells, so that its size and time have to stand still for a while."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from headgate.lake import Listed

# What browsers, rclone, FTP servers and editors call a file that is not finished; names that begin with a dot are not listed at all.
HALF_WRITTEN = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".swp", "~")
# Files that Headgate lands, each in one step: by command, by a decision about a refused row, by the gateway. Their ingest is on the way.
OURS = re.compile(r"\d{8}T\d{6}\.\d{6}-[0-9a-f]{16}-.+|(label-studio|argilla|rows)-[0-9a-f]{32}\.jsonl")
OURS_WAIT_S = 120.0


def is_half_written(key: str) -> bool:
    """Whether the name, or that of a folder above it, says that the file is not finished."""
    parts = PurePosixPath(key).parts
    return parts[-1].lower().endswith(HALF_WRITTEN) or any(part.startswith(".") for part in parts)


def is_ours(key: str) -> bool:
    """Whether Headgate itself landed the file, so that its ingest is on the way."""
    return OURS.fullmatch(PurePosixPath(key).name) is not None


class Settling:
    """Which of the files in a folder are whole and not yet announced; it remembers from one look to the next and does no I/O."""

    def __init__(self, settle_s: float, ours_wait_s: float = OURS_WAIT_S) -> None:
        self.settle_s, self.ours_wait_s = settle_s, ours_wait_s
        self._since: dict[str, tuple[str, float]] = {}
        self._told: dict[str, str] = {}

    def whole(self, files: Iterable[Listed], now: float) -> list[Listed]:
        """The files that stood still for long enough and were not announced as they stand; `now` in seconds, of a clock that only rises."""
        files = list(files)
        self._since = {one.key: self._first_seen(one, now) for one in files}
        self._told = {key: stamp for key, stamp in self._told.items() if key in self._since}
        return [one for one in files if self._told.get(one.key) != one.stamp and now - self._since[one.key][1] >= self._wait(one)]

    def announced(self, files: Iterable[Listed]) -> None:
        """These need not be announced again unless they change."""
        self._told |= {one.key: one.stamp for one in files}

    def is_waiting(self) -> bool:
        """Whether a file is neither whole nor announced yet."""
        return any(self._told.get(key) != stamp for key, (stamp, _) in self._since.items())

    def _first_seen(self, one: Listed, now: float) -> tuple[str, float]:
        stamp, since = self._since.get(one.key, ("", now))
        return (stamp, since) if stamp == one.stamp else (one.stamp, now)

    def _wait(self, one: Listed) -> float:
        return self.ours_wait_s if is_ours(one.key) else self.settle_s
