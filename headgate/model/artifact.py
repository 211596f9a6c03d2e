"""What a folder that came from somewhere else may hold: plain files, all listed with their sha256, no pickle, no bomb.

Classifiers and bundles are checked here before anything in them is understood. Standard library only.
"""

import hashlib
import json
import os
import pickletools
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

MAX_ENTRIES = 1_000
MAX_DEPTH = 8
MAX_BYTES = 16 << 30
MAX_TEXT_BYTES = 32 << 20
MAX_RECORD_BYTES = 4 << 20
SHOWN = 20

TEXTS = {"", ".csv", ".json", ".jsonl", ".md", ".toml", ".txt", ".yaml", ".yml"}
PICKLES = {".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"}
ARCHIVES = {".7z", ".bz2", ".gz", ".lz4", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"}
ARCHIVE_STARTS = (b"PK\3\4", b"PK\5\6", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\7")
WHEEL = ".whl"
START_BYTES = 1 << 16
OPERATIONS = {operation.code for operation in pickletools.opcodes}


def check_folder(folder: Path, listed: Mapping[str, str], record: str, beside: Collection[str] = ()) -> list[str]:
    """All that is wrong with a folder, one line a fault.

    listed: path to sha256, as the file `record` says. beside: names of files that may be there unlisted.
    A file is opened only if it is plain and of a sane size; a link is never followed.
    """
    try:
        found = _entries(folder)
    except OSError as fault:
        return [f"the folder cannot be listed: {fault.strerror}"]
    if len(found) > MAX_ENTRIES:
        return [f"the folder holds more than {MAX_ENTRIES:,} files"]
    if (total := sum(entry.st_size for entry in found.values() if stat.S_ISREG(entry.st_mode))) > MAX_BYTES:
        return [f"the folder has {total:,} bytes, expected at most {MAX_BYTES:,}"]
    return [*_bad_names(listed, record), *_bad_entries(found), *_not_as_listed(folder, found, listed, {record, *beside}, record)]


def told(faults: Collection[str]) -> str:
    """Faults as the lines of a message, the first ones of many."""
    lines = list(faults)[:SHOWN]
    return "\n".join(f"  {line}" for line in [*lines, *([f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else [])])


def read_json(file: Path, limit: int = MAX_RECORD_BYTES) -> Any:
    """The content of a plain JSON file of at most `limit` bytes; OSError or ValueError."""
    found = file.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("expected a plain file, found a link, a folder or a device")
    if found.st_size > limit:
        raise ValueError(f"expected at most {limit:,} bytes, found {found.st_size:,}")
    try:
        return json.loads(file.read_bytes())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown(name: str) -> str:
    """A name that cannot break a message."""
    return name if name.isprintable() else repr(name)


def _entries(folder: Path) -> dict[str, os.stat_result]:
    """Everything below a folder by its path in it, not followed; at most one more than is allowed, one folder deeper than is allowed."""
    found: dict[str, os.stat_result] = {}
    waiting = [""]
    while waiting:
        for entry in _listing(folder, waiting.pop()):
            name = Path(entry.path).relative_to(folder).as_posix()
            found[name] = entry.stat(follow_symlinks=False)
            if len(found) > MAX_ENTRIES:
                return found
            if entry.is_dir(follow_symlinks=False) and name.count("/") < MAX_DEPTH:
                waiting.append(name)
    return found


def _listing(folder: Path, name: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder / name) as entries:
        yield from entries


def _bad_names(listed: Iterable[str], record: str) -> Iterator[str]:
    for name in sorted(listed):
        if not _inside(name, record):
            yield f"{name!r} is no path inside the folder"
        elif PurePosixPath(name).suffix.lower() in PICKLES:
            yield f"{name} is a pickle, which can run any code"
        elif PurePosixPath(name).suffix.lower() in ARCHIVES:
            yield f"{name} is an archive"


def _inside(name: str, record: str) -> bool:
    parts = PurePosixPath(name).parts
    plain = str(PurePosixPath(name)) == name and "\\" not in name and name.isprintable()
    return bool(parts) and plain and not name.startswith("/") and ".." not in parts and name != record


def _bad_entries(found: Mapping[str, os.stat_result]) -> Iterator[str]:
    if any(name.count("/") >= MAX_DEPTH and stat.S_ISDIR(entry.st_mode) for name, entry in found.items()):
        yield f"the folder is nested deeper than {MAX_DEPTH} folders"
    for name, entry in sorted(found.items()):
        if stat.S_ISLNK(entry.st_mode):
            yield f"{shown(name)} is a link"
        elif not stat.S_ISREG(entry.st_mode) and not stat.S_ISDIR(entry.st_mode):
            yield f"{shown(name)} is no plain file"
        elif stat.S_ISREG(entry.st_mode) and _too_large(name, entry):
            yield f"{shown(name)} has {entry.st_size:,} bytes, expected at most {MAX_TEXT_BYTES:,}"


def _not_as_listed(
    folder: Path, found: Mapping[str, os.stat_result], listed: Mapping[str, str], unlisted: Collection[str], record: str
) -> Iterator[str]:
    plain = {name for name, entry in found.items() if stat.S_ISREG(entry.st_mode)}
    for name in sorted(listed):
        if name in found and stat.S_ISDIR(found[name].st_mode):
            yield f"{name} is a folder, expected a file"
        elif name not in found and _inside(name, record):
            yield f"{name} is missing"
    yield from (f"{shown(name)} is extra: it is not in {record}" for name in sorted(plain - {*listed, *unlisted}))
    yield from (f"{shown(name)} is an empty folder" for name in _empty_folders(found) if name not in listed)
    for name in sorted(plain & {*listed, *unlisted} - {record}):
        if not _too_large(name, found[name]) and (fault := _bad_content(folder / name, name, listed.get(name))):
            yield fault


def _empty_folders(found: Mapping[str, os.stat_result]) -> list[str]:
    """Folders that were looked into and hold nothing."""
    holding = {name.rpartition("/")[0] for name in found}
    return sorted(
        name for name, entry in found.items() if stat.S_ISDIR(entry.st_mode) and name not in holding and name.count("/") < MAX_DEPTH
    )


def _too_large(name: str, entry: os.stat_result) -> bool:
    return PurePosixPath(name).suffix.lower() in TEXTS and entry.st_size > MAX_TEXT_BYTES


def _bad_content(file: Path, name: str, digest: str | None) -> str | None:
    try:
        if digest is not None and sha256_file(file) != digest:
            return f"{name} is changed: its sha256 is not the listed one"
        with file.open("rb") as opened:
            start = opened.read(START_BYTES)
    except OSError as fault:
        return f"{name} cannot be read: {fault.strerror}"
    if _is_pickle(start) or b"/data.pkl" in start[:4096]:
        return f"{name} is a pickle, which can run any code"
    if start.startswith(ARCHIVE_STARTS) and not name.lower().endswith(WHEEL):
        return f"{name} is an archive"
    return None


def _is_pickle(start: bytes) -> bool:
    """By its mark, or, before protocol 2, by what it would do: a whole program of pickle's that names something to import."""
    if start[:1] == b"\x80":
        return start[1:2] in (b"\2", b"\3", b"\4", b"\5") and (len(start) == 2 or chr(start[2]) in OPERATIONS)
    names = set()
    try:
        for operation, _, _ in pickletools.genops(start):
            names.add(operation.name)
    except ValueError:
        return False
    return bool(names & {"GLOBAL", "INST"})
