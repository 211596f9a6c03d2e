"""Headgate's own wheel, made from the files that are installed here: a checkout's or a site-packages folder's.

Stored uncompressed, in order, with a fixed date, so that the same sources give the same bytes on every machine.
"""

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import headgate
from headgate.errors import Terminal

EARLIEST = (1980, 1, 1, 0, 0, 0)
LEFT_OUT = {".pyc", ".pyo"}
SERVING = ("httptools", "numpy", "onnxruntime", "orjson", "prometheus-client", "starlette", "tokenizers", "uvicorn", "uvloop")


def build_wheel(folder: Path) -> Path:
    """Write headgate-VERSION-py3-none-any.whl into a folder and return its path."""
    installed = _installed("headgate")
    info = f"headgate-{installed.version}.dist-info"
    members = {**_package_files(), **_metadata_files(installed, info)}
    members[f"{info}/RECORD"] = _record(members, info)
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"headgate-{installed.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members, key=lambda name: (name.startswith(info), name)):
            member = zipfile.ZipInfo(name, EARLIEST)
            member.create_system, member.external_attr = 3, 0o644 << 16
            archive.writestr(member, members[name])
    return wheel


def serving_requirements() -> str:
    """The public packages that serving needs, and theirs, each pinned to the version installed here, one a line."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(_closure(SERVING).items()))


def _closure(roots: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            package = _installed(name)
            found[name] = package.version
            waiting += _needed(package)
    return found


def _needed(package: Distribution) -> Iterator[str]:
    for line in package.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise Terminal(f"package {name} is not installed here, so that its version cannot be pinned; pip install {name}") from None


def _package_files() -> dict[str, bytes]:
    root = Path(headgate.__file__).parent
    files = (file for file in sorted(root.rglob("*")) if file.is_file() and "__pycache__" not in file.parts and file.suffix not in LEFT_OUT)
    return {f"headgate/{file.relative_to(root).as_posix()}": file.read_bytes() for file in files}


def _metadata_files(installed: Distribution, info: str) -> dict[str, bytes]:
    wheel = "Wheel-Version: 1.0\nGenerator: headgate\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    found = {name: installed.read_text(name) for name in ("METADATA", "entry_points.txt", "licenses/LICENSE")}
    return {f"{info}/WHEEL": wheel.encode(), **{f"{info}/{name}": text.encode() for name, text in found.items() if text}}


def _record(members: dict[str, bytes], info: str) -> bytes:
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in sorted(members.items())]
    return "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
