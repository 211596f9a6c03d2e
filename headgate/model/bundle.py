"""Opening a bundle: a content-addressed folder whose every file is named, with its sha256, in bundle.json.

The digest of a bundle is the sha256 of the lines `<sha256>  <path>` in order of path, as `sha256sum` prints them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from headgate.errors import BadBundle

FORMAT_VERSION = 1
MANIFEST = "bundle.json"
REQUIRED = ("calibration.json", "engine.json", "examples.jsonl", "filters.json", "labels.json", "provenance.json", "tokenizer.json")
PICKLES = {".pkl", ".pickle", ".joblib", ".pt", ".pth", ".dill"}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle: its folder, its digest, and bundle.json as read."""

    path: Path
    digest: str
    manifest: Mapping[str, Any]

    def read_json(self, name: str) -> Any:
        """The content of one of its JSON files; BadBundle if it is none of its files or no JSON."""
        if name not in self.manifest["files"]:
            raise BadBundle(f"bundle {self.digest[:8]} has no {name}")
        try:
            return json.loads((self.path / name).read_bytes())
        except ValueError as fault:
            raise BadBundle(f"bundle {self.digest[:8]}: {name} is not JSON ({fault}); wrap the classifier again") from None

    @property
    def labels(self) -> list[str]:
        """The labels in the order of the engine's outputs."""
        return list(self.read_json("labels.json"))

    @property
    def provenance(self) -> dict[str, Any]:
        """What the bundle was made from."""
        return dict(self.read_json("provenance.json"))


def open_bundle(path: Path | str) -> Bundle:
    """Verify every file of a bundle before anything is read from it; BadBundle lists all that is wrong."""
    folder = Path(path)
    manifest = _manifest(folder)
    files: dict[str, str] = manifest["files"]
    faults = [*_bad_names(files), *_bad_files(folder, files)]
    if faults:
        raise BadBundle("\n".join([f"{folder} is not the bundle that was written, {len(faults)} fault(s):", *(f"  {f}" for f in faults)]))
    return Bundle(folder, digest_of(files), manifest)


def digest_of(files: Mapping[str, str]) -> str:
    """The bundle digest of a list of files {path: sha256}."""
    return hashlib.sha256("".join(f"{files[name]}  {name}\n" for name in sorted(files)).encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise BadBundle(f"expected a bundle folder, found nothing at {folder}; `headgate wrap --classifier DIR --out {folder}` writes one")
    try:
        manifest: Any = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise BadBundle(f"{folder} is not a bundle: it has no {MANIFEST}") from None
    except (OSError, ValueError, RecursionError) as fault:
        raise BadBundle(f"{folder / MANIFEST} cannot be read: {fault}") from None
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise BadBundle(f"{folder}: expected format_version {FORMAT_VERSION}, found {version!r}; use the headgate that wrote it")
    found: dict[str, Any] = manifest
    files = found.get("files")
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise BadBundle(f"{folder / MANIFEST}: expected `files` to map each path to its sha256")
    return found


def _bad_names(files: Mapping[str, str]) -> list[str]:
    faults = [f"{name} is not listed" for name in REQUIRED if name not in files]
    for name in sorted(files):
        if not _inside(name):
            faults.append(f"{name!r} leads outside the bundle")
        elif PurePosixPath(name).suffix.lower() in PICKLES:
            faults.append(f"{name} is a pickle, which can run any code")
    return faults


def _inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    plain = str(PurePosixPath(name)) == name and "\\" not in name and "\0" not in name and "\n" not in name
    return bool(parts) and plain and not name.startswith("/") and ".." not in parts and name != MANIFEST


def _bad_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    found = {entry.relative_to(folder).as_posix(): entry for entry in folder.rglob("*")}
    faults = [f"{name} is a link" for name, entry in found.items() if entry.is_symlink()]
    real = {name: entry for name, entry in found.items() if entry.is_file() and not entry.is_symlink()}
    faults += [f"{name} is missing" for name in sorted(files.keys() - found.keys()) if _inside(name)]
    faults += [f"{name} is extra: it is not in {MANIFEST}" for name in sorted(real.keys() - files.keys() - {MANIFEST})]
    for name in sorted(real.keys() & files.keys()):
        if sha256_file(real[name]) != files[name]:
            faults.append(f"{name} is changed: its sha256 is not the listed one")
        elif _pickled(real[name]):
            faults.append(f"{name} is a pickle, which can run any code")
    return faults


def _pickled(file: Path) -> bool:
    with file.open("rb") as opened:
        start = opened.read(2)
    return len(start) == 2 and start[0] == 0x80 and start[1] in range(2, 6)
