"""Opening a bundle: a content-addressed folder whose every file is named, with its sha256, in bundle.json.

The digest of a bundle is the sha256 of the lines `<sha256>  <path>` in order of path, as `sha256sum` prints them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgate.errors import BadBundle
from headgate.model.artifact import MAX_TEXT_BYTES, check_folder, read_json, told

FORMAT_VERSION = 2
MANIFEST = "bundle.json"
REQUIRED = ("calibration.json", "engine.json", "examples.jsonl", "filters.json", "labels.json", "provenance.json", "tokenizer.json")
REQUIRED_SINCE_2 = ("model_card.md", "requirements.txt", "sbom.cdx.json")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle: its folder, its digest, and bundle.json as read."""

    path: Path
    digest: str
    manifest: Mapping[str, Any]

    def file(self, name: str) -> Path:
        """Where one of its files is; BadBundle if it is none of its files."""
        if name not in self.manifest["files"]:
            raise BadBundle(f"bundle {self.digest[:8]} has no {name}")
        return self.path / name

    def read_json(self, name: str) -> Any:
        """The content of one of its JSON files; BadBundle if it is none of its files or no JSON."""
        try:
            return read_json(self.file(name), MAX_TEXT_BYTES)
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
    faults = [f"{name} is not listed" for name in _required(manifest) if name not in files]
    faults += check_folder(folder, files, MANIFEST)
    if faults:
        raise BadBundle(f"{folder} is not the bundle that was written, {len(faults)} fault(s):\n{told(faults)}")
    return Bundle(folder, digest_of(files), manifest)


def signature_file(bundle: Path) -> Path:
    """Where the signature of a bundle folder lies."""
    place = bundle.absolute()
    return place.with_name(f"{place.name}.minisig")


def signature_beside(bundle: Path) -> str | None:
    """The signature that lies beside a bundle folder, if one does."""
    file = signature_file(bundle)
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None


def _required(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    return REQUIRED if manifest["format_version"] == 1 else (*REQUIRED, *REQUIRED_SINCE_2)


def digest_of(files: Mapping[str, str]) -> str:
    """The bundle digest of a list of files {path: sha256}."""
    return hashlib.sha256("".join(f"{files[name]}  {name}\n" for name in sorted(files)).encode()).hexdigest()


def _manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise BadBundle(f"expected a bundle folder, found nothing at {folder}; `headgate wrap --classifier DIR --out {folder}` writes one")
    if folder.is_symlink():
        raise BadBundle(f"{folder} is a link: name the folder that it leads to")
    try:
        manifest: Any = read_json(folder / MANIFEST)
    except FileNotFoundError:
        raise BadBundle(f"{folder} is not a bundle: it has no {MANIFEST}") from None
    except (OSError, ValueError) as fault:
        raise BadBundle(f"{folder / MANIFEST} cannot be read: {fault}") from None
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise BadBundle(f"{folder}: expected format_version 1 to {FORMAT_VERSION}, found {version!r}; use the headgate that wrote it")
    found: dict[str, Any] = manifest
    files = found.get("files")
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise BadBundle(f"{folder / MANIFEST}: expected `files` to map each path to its sha256")
    return found
