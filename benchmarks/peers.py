"""Environments for the packages that Headgate is compared with: `.headgate/bench/<name>/`, never the project's own lock.

What the project's lock pins is pinned to the same version there, so that a peer runs on the same torch and transformers.
A peer that needs another version of such a package names it among its own requirements.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

CHECKOUT = Path(__file__).resolve().parent.parent
HOME = CHECKOUT / ".headgate" / "bench"
TORCH = CHECKOUT / "requirements" / "torch.txt"
LOCK = CHECKOUT / "requirements" / "lock.txt"
PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]+\])?==([A-Za-z0-9.+!]+)")


def peer_python(name: str, requirements: Sequence[str], with_torch: bool = True) -> Path:
    """The interpreter of a peer's environment, made once for these requirements; each is `package==version`. Raises ValueError."""
    check_pinned(requirements)
    torch, limits = TORCH.read_text().strip() if with_torch else "", constraints(LOCK.read_text(), requirements)
    wanted = hashlib.sha256("\n".join([torch, *requirements, limits]).encode()).hexdigest()
    home = HOME / name
    python, stamp = home / "bin" / "python", home / "installed"
    HOME.mkdir(parents=True, exist_ok=True)
    with FileLock(HOME / f"{name}.lock"):
        if not stamp.is_file() or stamp.read_text() != wanted:
            _make(home, torch, requirements, limits)
            stamp.write_text(wanted)
    return python


def check_pinned(requirements: Sequence[str]) -> None:
    """Raise ValueError that names every requirement whose version is left open."""
    if loose := [requirement for requirement in requirements if not PINNED.fullmatch(requirement)]:
        raise ValueError(f"expected package==version, found {', '.join(loose)}; pin each, so that a comparison can be repeated")


def locked(package: str) -> str:
    """The project's own pin of a package, `package==version`. Raises KeyError."""
    pins = [found.group(0) for line in LOCK.read_text().splitlines() if (found := PINNED.match(line))]
    return {_package(pin): pin for pin in pins}[package]


def constraints(lock: str, requirements: Sequence[str]) -> str:
    """The lock's pins without hashes, less the packages that the requirements pin themselves; one `package==version` a line."""
    own = {_package(requirement) for requirement in requirements}
    pins = [found.group(0) for line in lock.splitlines() if (found := PINNED.match(line))]
    return "\n".join(pin for pin in pins if _package(pin) not in own) + "\n"


def _package(requirement: str) -> str:
    found = PINNED.match(requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found.group(1)).lower()


def _make(home: Path, torch: str, requirements: Sequence[str], limits: str) -> None:
    print(f"making {home} (once, a few minutes) ...", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    python, limited = home / "bin" / "python", home / "constraints.txt"
    limited.write_text(limits)
    # torch by pip, as in the Makefile: its CPU build may come from a place that only pip is configured to read.
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    first = [torch] if torch else []
    if first:
        subprocess.run([*pip, "--no-deps", *first], check=True)
    asked = [*first, *requirements, "--constraint", str(limited)]
    uv = CHECKOUT / ".venv" / "bin" / "uv"
    found = uv.is_file() and subprocess.run([str(uv), "pip", "install", "--quiet", "--python", str(python), *asked]).returncode == 0
    if not found:
        subprocess.run([*pip, *asked], check=True)
