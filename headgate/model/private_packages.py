"""Packages that no public index has, as wheels in a bundle: built from a local path, or taken as they are.

The same sources give the same bytes: they are built in a copy, with a fixed date, and the archive is written anew in order.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from headgate.errors import BadInput, Terminal
from headgate.model.artifact import sha256_file
from headgate.model.filters import FilterConfig
from headgate.model.serving_lock import Pinned, closure, license_of
from headgate.model.wheel import write_archive

SOURCE_DATE_EPOCH = 315532800  # 1980-01-01, the earliest date of a zip archive
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
NO_SOURCES = {".git", ".hg", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", "__pycache__"}
NO_SERVING = ("torch", "transformers")


@dataclass(frozen=True, slots=True)
class Private:
    """A private wheel: where it is, and what it says of itself."""

    file: Path
    name: str
    version: str
    requires: tuple[Requirement, ...]


def add_private(packages: Sequence[Path], wheels: Path, locked: Mapping[str, Pinned]) -> dict[str, Pinned]:
    """Put private packages into a folder of wheels; returns the public ones that they need beside the locked ones, by name.

    packages: folders with a pyproject.toml, or wheels. Raises BadInput where one cannot be built, or would not run where it is served.
    """
    added = [_added(package, wheels) for package in packages]
    names = [private.name for private in added]
    for private in added:
        if private.name in {"headgate", *locked} or names.count(private.name) > 1:
            raise BadInput(f"private package {private.name}: expected a name of its own, found one that the bundle has already; rename it")
    return _needed(added, locked)


def unused_packages(wheels: Path, filters: FilterConfig) -> list[str]:
    """Names of the private packages in a bundle's wheels that hold no filter's module and that no other private one needs."""
    private = [_opened(wheel, wheel) for wheel in sorted(wheels.glob("*.whl")) if not wheel.name.startswith("headgate-")]
    needed = {canonicalize_name(wanted.name) for one in private for wanted in one.requires}
    modules = [str(entry["class"]).partition(":")[0].replace(".", "/") for entry in filters.custom]
    used = {f"{module}{end}" for module in modules for end in (".py", "/__init__.py")}
    return [one.name for one in private if one.name not in needed and not used & {*_members(one.file)}]


def _members(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def sources_digest(packages: Iterable[Path]) -> str:
    """sha256 over the sources of private packages, so that changed code makes a new candidate."""
    digest = hashlib.sha256()
    for package in packages:
        for file in [package] if package.is_file() else _sources(package):
            digest.update(f"{sha256_file(file)}  {file.relative_to(package.parent).as_posix()}\n".encode())
    return digest.hexdigest()


def _added(package: Path, wheels: Path) -> Private:
    if package.is_dir():
        return _opened(_built(package, wheels), package)
    if package.suffix != ".whl" or not package.is_file():
        raise BadInput(f"private package {package}: expected a folder with a pyproject.toml, or a wheel, found neither")
    return _opened(Path(shutil.copyfile(package, wheels / package.name)), package)


def _opened(wheel: Path, package: Path) -> Private:
    try:
        name, version, _, tags = parse_wheel_filename(wheel.name)
        with zipfile.ZipFile(wheel) as archive:
            [metadata] = [member for member in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", member)]
            headers = HeaderParser().parsestr(archive.read(metadata).decode())
        told = tuple(Requirement(line) for line in headers.get_all("Requires-Dist") or ())
    except (InvalidWheelFilename, InvalidRequirement, zipfile.BadZipFile, UnicodeDecodeError, ValueError) as fault:
        raise BadInput(f"private package {package}: expected a wheel, found one that cannot be read: {fault}") from None
    if not tags & set(sys_tags()):
        raise BadInput(
            f"private package {package}: expected a wheel of pure Python or for this platform, "
            f"found {wheel.name}; build it on the platform that serves"
        )
    return Private(wheel, str(name), str(version), told)


def _built(source: Path, wheels: Path) -> Path:
    """Build a folder's wheel with what is installed here, without an index."""
    if not (source / "pyproject.toml").is_file() and not (source / "setup.py").is_file():
        raise BadInput(f"private package {source}: expected a pyproject.toml in it, found none")
    with tempfile.TemporaryDirectory(prefix="headgate-") as temporary:
        copy, out = Path(temporary) / "source", Path(temporary) / "out"
        for file in _sources(source):
            target = copy / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
        command = [*PIP, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(out), str(copy)]
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH), "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise BadInput(_not_built(source, done.stderr))
        [wheel] = out.iterdir()
        return _normalised(wheel, wheels)


def _sources(source: Path) -> Iterator[Path]:
    """A package's own files in order, without what tools leave there."""
    for found in sorted(source.rglob("*")):
        parts = found.relative_to(source).parts
        left = NO_SOURCES & {*parts} or parts[0] in ("build", "dist") or any(part.endswith(".egg-info") for part in parts)
        if found.is_file() and not left:
            yield found


def _not_built(source: Path, told: str) -> str:
    lines = [line for line in told.strip().splitlines() if line.strip()][-3:]
    try:
        backend = tomllib.loads((source / "pyproject.toml").read_text())["build-system"]["requires"]
    except (OSError, ValueError, KeyError, TypeError):
        backend = ["setuptools"]
    needs = " ".join(map(str, backend))
    return f"private package {source} cannot be built here: {' '.join(lines)}; it builds with what is installed: pip install {needs}"


def _normalised(wheel: Path, wheels: Path) -> Path:
    """The same members without compression, dates and order of their own."""
    with zipfile.ZipFile(wheel) as archive:
        members = {found.filename: archive.read(found) for found in archive.infolist() if not found.is_dir()}
        programs = {found.filename for found in archive.infolist() if found.external_attr >> 16 & 0o111}
    [record] = [name for name in members if name.endswith(".dist-info/RECORD")]
    members[record] = b"".join(sorted(members[record].splitlines(keepends=True)))
    write_archive(wheels / wheel.name, members, programs)
    return wheels / wheel.name


def _needed(added: Sequence[Private], locked: Mapping[str, Pinned]) -> dict[str, Pinned]:
    """Public packages that private ones need and the lock has not, at the version installed here; BadInput names one that is not."""
    own = {private.name: private.version for private in added}
    found: dict[str, Pinned] = {}
    for private in added:
        for wanted in private.requires:
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
                continue
            found |= _public(private, wanted, own, locked)
    return found


def _public(private: Private, wanted: Requirement, own: Mapping[str, str], locked: Mapping[str, Pinned]) -> dict[str, Pinned]:
    name = canonicalize_name(wanted.name)
    have = own.get(name) or (locked[name].version if name in locked else None)
    if have is not None and not wanted.specifier.contains(have, prereleases=True):
        raise BadInput(f"private package {private.name} needs {wanted}, expected one that allows {name} {have}, which the bundle has")
    if have is not None or name == "headgate":
        return {}
    needed = _closure(private, wanted, {*own, *locked, "headgate"})
    if heavy := sorted({*NO_SERVING} & {*needed}):
        raise BadInput(f"private package {private.name} needs {', '.join(heavy)}, which serving has not; expected code that does without")
    return {one: Pinned(one, package.version, (_hash(one, package.version),), license_of(package)) for one, package in needed.items()}


def _closure(private: Private, wanted: Requirement, left_out: Collection[str]) -> dict[str, Distribution]:
    try:
        needed = closure([wanted], left_out)
    except Terminal as fault:
        raise BadInput(f"private package {private.name} needs {wanted}: {fault}, or add its wheel to private_packages") from None
    found = needed[canonicalize_name(wanted.name)].version
    if not wanted.specifier.contains(found, prereleases=True):
        raise BadInput(f"private package {private.name} needs {wanted}, found {found} here; pip install '{wanted}' and wrap again")
    return needed


def _hash(name: str, version: str) -> str:
    """sha256 of a public package's wheel for this platform, from where pip finds packages."""
    with tempfile.TemporaryDirectory(prefix="headgate-") as folder:
        command = [*PIP, "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder, f"{name}=={version}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise BadInput(
                f"{name}=={version}, which a private package needs: expected a wheel on the package index for its sha256, "
                f"found none ({done.stderr.strip().splitlines()[-1:]}); add its wheel to private_packages"
            )
        [wheel] = Path(folder).iterdir()
        return sha256_file(wheel)
