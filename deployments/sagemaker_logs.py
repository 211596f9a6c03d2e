"""What the endpoints of a region answered, copied to this machine as files of the prediction log for who ships them: one for each capture.

A capture in S3 never changes, and a file's name and lines follow from it alone (`sagemaker_log_lines`). So a capture that is copied again,
after a kill or because the notes of what was copied are lost, is the same file, and whoever ships it finds all of it in the lake. The
notes only save the reading: one file for each folder of captures, with what was copied of its last day.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock
from pydantic import ValidationError

from deployments.sagemaker_captures import Captures
from deployments.sagemaker_log_lines import Source, digest_of, log_file
from deployments.sagemaker_objects import CHALLENGER, CHAMPION, DIGITS, named
from deployments.sagemaker_state import States
from headgate.errors import NotFound, Refused
from headgate.record import Record

LATE = timedelta(days=1)  # a capture that comes so long after its hour is copied still
IDLE = timedelta(minutes=10)  # between two looks at a folder that had nothing of late
AT_ONCE, NOTED = 500, 50


class Copied(Record):
    """What was copied of one folder: all before `since`, and the captures of the hours from then on whose addresses have these digests."""

    since: datetime | None = None
    digests: tuple[str, ...] = ()
    looked: datetime | None = None

    def rests(self, now: datetime) -> bool:
        """Whether nothing came of late, so that it is looked at less often."""
        return self.looked is not None and not self.digests and now - self.looked < IDLE


@dataclass(frozen=True)
class CaptureLogs:
    """The captures of one region's endpoints, under `to`, which is `captures` of its table."""

    captures: Captures
    states: States
    to: str
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def copy(self, endpoint: str, since: datetime, home: Path) -> None:
        """Copy what came into `<home>/<endpoint>/<release>/`, of each folder of captures AT_ONCE at most; repeated, it goes on.

        Refused tells of the folders that cannot be read, once all others were copied.
        """
        folder = home / endpoint
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        address = urlsplit(self.to)
        prefix = f"{address.path.strip('/')}/{named(endpoint, {}).rpartition('-')[0]}-".lstrip("/")
        with FileLock(folder / ".lock"):
            faults = []
            for config in filter(_ours, self.captures.folders(address.netloc, prefix)):
                for variant in (CHAMPION, CHALLENGER):
                    try:
                        self._copy(address.netloc, f"{config}{endpoint}/{variant}/", since, folder)
                    except Refused as fault:  # such as somebody else's configuration; it keeps no other folder from being copied
                        faults.append(str(fault))
        if faults:
            raise Refused("; ".join(faults))

    def _copy(self, bucket: str, prefix: str, since: datetime, folder: Path) -> None:
        _, config, _, variant, _ = f"/{prefix}".rsplit("/", 4)
        note, now = folder / f"{config}-{variant}.json", self.clock()
        known = _read(note)
        if known.rests(now):
            return
        start = max(since, known.since or since)
        old, new, rest = self._listed(bucket, prefix, start, {*known.digests})
        source, release = self._source(config, variant) if new else (Source(variant), "")
        for at in range(0, len(new), NOTED):
            for key in new[at : at + NOTED]:
                self._write(bucket, key, source, folder / release)
            done = {*known.digests, *(digest_of(f"s3://{bucket}/{key}") for key in new[: at + NOTED])}
            _note(note, known.model_copy(update={"digests": tuple(sorted(done)), "looked": now}))
        reached = max(start, min(now - LATE, _hour_of(prefix, rest) or start) if rest else now - LATE)
        late = sorted(digest_of(f"s3://{bucket}/{key}") for key in (*old, *new) if key > _from(prefix, reached))
        _note(note, Copied(since=reached, digests=tuple(late), looked=None if rest else now))

    def _listed(self, bucket: str, prefix: str, start: datetime, done: set[str]) -> tuple[list[str], list[str], str | None]:
        """The captures since then: those that were copied, AT_ONCE others at most, and the first of the rest; the list ends there."""
        old: list[str] = []
        new: list[str] = []
        for key in self.captures.keys(bucket, prefix, _from(prefix, start)):
            if digest_of(f"s3://{bucket}/{key}") in done:
                old.append(key)
            elif len(new) < AT_ONCE:
                new.append(key)
            else:
                return old, new, key
        return old, new, None

    def _source(self, config: str, variant: str) -> tuple[Source, str]:
        """Whose captures a folder holds, and the name of its release's folder here; where the configuration was removed captures tell."""
        try:
            cast = self.states.config(config).cast
            revision = self.states.revision(cast.champion if variant == CHAMPION else str(cast.challenger))
        except NotFound:
            return Source(variant), config
        told = revision.configuration.log_text if revision.configuration else "none"
        cohort = "shadow" if variant == CHALLENGER and cast.shape == "shadow" else variant
        return Source(cohort, revision.model, revision.release, told), revision.release

    def _write(self, bucket: str, key: str, source: Source, folder: Path) -> None:
        """The file of one capture, whole or not at all; one that expired meanwhile has none."""
        with suppress(NotFound):
            if found := log_file(f"s3://{bucket}/{key}", self.captures.body(bucket, key), source):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                _put(folder / found.name, found.lines)


def _ours(folder: str) -> bool:
    """Whether a folder is named by a configuration of ours, whose name ends in a digest."""
    return re.fullmatch(rf".*-[0-9a-f]{{{DIGITS}}}/", folder) is not None


def _from(prefix: str, at: datetime) -> str:
    """The keys of captures of this hour and later ones come after this."""
    return f"{prefix}{at.astimezone(UTC):%Y/%m/%d/%H}/"


def _hour_of(prefix: str, key: str) -> datetime | None:
    """The hour in whose folder a capture lies."""
    with suppress(ValueError):
        return datetime.strptime(key.removeprefix(prefix)[:13], "%Y/%m/%d/%H").replace(tzinfo=UTC)
    return None


def _read(note: Path) -> Copied:
    try:
        return Copied.model_validate_json(note.read_bytes())
    except (FileNotFoundError, ValidationError):
        return Copied()


def _note(note: Path, copied: Copied) -> None:
    _put(note, copied.to_bytes())


def _put(file: Path, data: bytes) -> None:
    """Written whole, then named."""
    new = file.with_name(f".{file.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)
