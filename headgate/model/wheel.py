"""Headgate's own wheel, made from the files that are installed here: a checkout's or a site-packages folder's.

Stored uncompressed, in order, with a fixed date, so that the same sources give the same bytes on every machine.
"""

import base64
import hashlib
import zipfile
from collections.abc import Collection, Mapping
from importlib.metadata import Distribution
from pathlib import Path

import headgate
from headgate.model.serving_lock import installed

EARLIEST = (1980, 1, 1, 0, 0, 0)
LEFT_OUT = {".pyc", ".pyo"}


def build_wheel(folder: Path) -> Path:
    """Write headgate-VERSION-py3-none-any.whl into a folder and return its path."""
    own = installed("headgate")
    info = f"headgate-{own.version}.dist-info"
    members = {**_package_files(), **_metadata_files(own, info)}
    members[f"{info}/RECORD"] = _record(members, info)
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"headgate-{own.version}-py3-none-any.whl"
    write_archive(wheel, members)
    return wheel


def write_archive(wheel: Path, members: Mapping[str, bytes], programs: Collection[str] = ()) -> None:
    """Write a wheel's members uncompressed, its metadata last, in order and with a fixed date; programs may be run."""
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members, key=lambda name: (".dist-info/" in name, name)):
            member = zipfile.ZipInfo(name, EARLIEST)
            member.create_system, member.external_attr = 3, (0o755 if name in programs else 0o644) << 16
            archive.writestr(member, members[name])


def _package_files() -> dict[str, bytes]:
    root = Path(headgate.__file__).parent
    files = (file for file in sorted(root.rglob("*")) if file.is_file() and "__pycache__" not in file.parts and file.suffix not in LEFT_OUT)
    return {f"headgate/{file.relative_to(root).as_posix()}": file.read_bytes() for file in files}


def _metadata_files(own: Distribution, info: str) -> dict[str, bytes]:
    wheel = "Wheel-Version: 1.0\nGenerator: headgate\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    found = {name: own.read_text(name) for name in ("METADATA", "entry_points.txt", "licenses/LICENSE")}
    return {f"{info}/WHEEL": wheel.encode(), **{f"{info}/{name}": text.encode() for name, text in found.items() if text}}


def _record(members: dict[str, bytes], info: str) -> bytes:
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in sorted(members.items())]
    return "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
