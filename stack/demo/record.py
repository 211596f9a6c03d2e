"""What the demo observed, kept after each act, so that a demo that was killed goes on with the next one. Choices are pure."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from headgate.record import Record


class Told(Record):
    """One line on the terminal, and when."""

    at: datetime
    text: str


class ActRecord(Record):
    """One act that came to its end. `facts` are what it looked at: ids, verdicts, reasons, seconds."""

    number: int
    name: str
    title: str
    began: datetime
    ended: datetime
    told: tuple[Told, ...] = ()
    facts: dict[str, Any] = Field(default_factory=dict)
    failed: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended - self.began).total_seconds()


class Beginning(Record):
    """What a story was begun with; another one cannot go on from it."""

    digest: str
    commit: str
    at: datetime


def digest_of(*texts: str) -> str:
    """Names the settings and acts of a story."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


class Story:
    """The records under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begun(self) -> Beginning | None:
        """How the story began, or None if there is none."""
        file = self.folder / "begun.json"
        return Beginning.model_validate_json(file.read_bytes()) if file.exists() else None

    def begin(self, beginning: Beginning) -> None:
        """Remember how it began."""
        _write(self.folder / "begun.json", beginning.to_bytes())

    def acts(self) -> list[ActRecord]:
        """The acts that came to their end, in order."""
        found = sorted((self.folder / "acts").glob("*.json"))
        return [ActRecord.model_validate_json(file.read_bytes()) for file in found]

    def keep(self, act: ActRecord) -> None:
        """Remember an act; one that failed before is replaced."""
        _write(self.folder / "acts" / f"{act.number:02d}.json", act.to_bytes())


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    unfinished.write_bytes(data)
    unfinished.replace(file)


def fresh_start(begun: Beginning | None, digest: str, acts: Sequence[ActRecord], count: int, again: bool) -> str:
    """Why the story starts from nothing, or empty where it goes on."""
    if begun is None:
        return "nothing was told here yet"
    if again:
        return "asked for by --again"
    if begun.digest != digest:
        return "the demo's acts or settings are others than those of the story that was begun here"
    if sum(not act.failed for act in acts) == count:
        return "the last story came to its end"
    return ""


def still_to_tell(names: Sequence[str], acts: Sequence[ActRecord]) -> list[int]:
    """Places of the acts that are left: from the first one that did not come to a good end."""
    done = {act.name for act in acts if not act.failed}
    first = next((place for place, name in enumerate(names) if name not in done), len(names))
    return list(range(first, len(names)))
