"""Where a training stands, on disk: one safetensors file a checkpoint, named by its step and its own sha256, never pickle.

A file appears whole or not at all: it is written beside its place, flushed to the disk and renamed. The one before is
removed only when two newer ones are complete, so that a kill, a full disk or a damaged file costs steps, not the training.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from safetensors.torch import load, save
from torch import Tensor

from headgate.errors import BadInput, Terminal

KEPT = 2
NAME = re.compile(r"(?P<training>[0-9a-f]{12})-step-(?P<step>\d{8})-(?P<sha256>[0-9a-f]{64})\.safetensors")
UNFINISHED = "unfinished.tmp"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read and is whole: the steps done, its tensors, and how far it is, as plain JSON."""

    file: Path
    step: int
    tensors: dict[str, Tensor]
    progress: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Checkpoints of one training in a folder, one every so many steps; `tell` hears where a training continues, and of damage."""

    folder: Path
    every_steps: int = 100
    tell: Callable[[str], None] = logging.getLogger(__name__).warning

    def __post_init__(self) -> None:
        if self.every_steps < 1:
            raise BadInput(f"checkpoints: expected every_steps of at least 1, found {self.every_steps}")

    def under(self, name: str) -> Self:
        """Those of another training of the same fit, in a sub-folder."""
        return replace(self, folder=self.folder / name)

    def clear(self) -> None:
        """Remove them all, those under it too, and nothing else: the training is done."""
        for file in [*self.folder.rglob("*.safetensors"), *self.folder.rglob(UNFINISHED)]:
            if file.name == UNFINISHED or NAME.fullmatch(file.name):
                file.unlink(missing_ok=True)
        for folder in sorted((path for path in self.folder.rglob("*") if path.is_dir()), reverse=True):
            _remove_if_empty(folder)
        _remove_if_empty(self.folder)

    def write(self, training: str, step: int, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Keep the state after `step` steps of the training of that digest; Terminal if the disk does not take it."""
        content = save(dict(tensors), metadata={"progress": json.dumps(progress)})
        name = f"{training[:12]}-step-{step:08d}-{hashlib.sha256(content).hexdigest()}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write_whole(self.folder / name, content)
        except OSError as fault:
            with suppress(OSError):
                (self.folder / UNFINISHED).unlink()
            raise Terminal(
                f"the checkpoint of step {step} could not be written in {self.folder}: {fault.strerror or fault}; "
                f"make room for {len(content):,} bytes and start again: {self.last(training)}"
            ) from fault
        self._remove_all_but_newest(training)

    def latest(self, training: str) -> Checkpoint | None:
        """The newest whole checkpoint of the training of that digest, or None: it starts anew."""
        own, damaged = self._files(training), 0
        for file in own:
            if (found := _read(file)) is not None:
                self.tell(f"training continues after step {found.step}, from {file}")
                return found
            damaged += 1
            self.tell(f"damaged checkpoint left out: {file} is not what was written")
            file.unlink(missing_ok=True)
        if damaged:
            self.tell(f"no whole checkpoint in {self.folder}: training starts anew")
        elif any(self._all()):
            self.tell(
                f"the checkpoints in {self.folder} are of other rows, another plan or other weights to start from: training starts anew"
            )
        return None

    def last(self, training: str) -> str:
        """Which checkpoint a training that stopped would continue from, for messages."""
        own = self._files(training)
        return f"the last good checkpoint is kept, {own[0]}" if own else "there is no checkpoint yet"

    def _files(self, training: str) -> list[Path]:
        """Newest first."""
        own = [(step, file) for of, step, file in self._all() if of == training[:12]]
        return [file for _, file in sorted(own, reverse=True)]

    def _all(self) -> Iterator[tuple[str, int, Path]]:
        for file in self.folder.glob("*.safetensors"):
            if found := NAME.fullmatch(file.name):
                yield found["training"], int(found["step"]), file

    def _remove_all_but_newest(self, training: str) -> None:
        kept = self._files(training)[:KEPT]
        for _, _, file in list(self._all()):
            if file not in kept:
                file.unlink(missing_ok=True)


def _read(file: Path) -> Checkpoint | None:
    """None if the bytes are not those that were written."""
    found = NAME.fullmatch(file.name)
    assert found
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != found["sha256"]:
        return None
    header = int.from_bytes(content[:8], "little")
    progress = json.loads(json.loads(content[8 : 8 + header])["__metadata__"]["progress"])
    return Checkpoint(file, int(found["step"]), load(content), progress)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _write_whole(file: Path, content: bytes) -> None:
    beside = file.parent / UNFINISHED
    with beside.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
