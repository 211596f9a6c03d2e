"""Private packages travel in the bundle as wheels, and the public ones that they need are pinned with them."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from headgate.errors import BadInput
from headgate.model import private_packages
from headgate.model.bundle import open_bundle
from headgate.model.filters import FilterConfig
from headgate.model.private_packages import add_private, sources_digest
from headgate.model.serving_lock import Pinned, parse
from headgate.model.wrapping import wrap

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}"
version = "1.0"
license = "MIT"
dependencies = {dependencies}
[tool.hatch.build.targets.wheel]
packages = ["{name}"]
"""
LOCKED = {"numpy": Pinned("numpy", "2.4.6", ("0" * 64,), "BSD-3-Clause")}


def package(folder: Path, name: str = "acme_filters", dependencies: tuple[str, ...] = ()) -> Path:
    source = folder / name
    (source / name).mkdir(parents=True)
    (source / "pyproject.toml").write_text(PROJECT.format(name=name, dependencies=json.dumps(dependencies)))
    (source / name / "__init__.py").write_text("class NoQuotes:\n    pass\n")
    return source


def added(package: Path, wheels: Path, locked: dict[str, Pinned] = LOCKED) -> dict[str, Pinned]:
    wheels.mkdir(exist_ok=True)
    return add_private([package], wheels, locked)


def refusal(package: Path, folder: Path) -> str:
    with pytest.raises(BadInput) as refused:
        added(package, folder / "wheels")
    return str(refused.value)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that was built elsewhere."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "wheels").mkdir()
    add_private([package(folder)], folder / "wheels", LOCKED)
    [wheel] = (folder / "wheels").iterdir()
    return wheel


def renamed(wheel: Path, folder: Path, name: str, **metadata: str) -> Path:
    """The wheel under another name, with other lines in its METADATA."""
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(folder / name, "w") as target:
        for member in source.namelist():
            data = source.read(member)
            if member.endswith("METADATA"):
                data = data.rstrip() + "".join(f"\n{key.replace('_', '-')}: {value}" for key, value in metadata.items()).encode() + b"\n"
            target.writestr(member, data)
    return folder / name


def test_the_same_sources_give_the_same_wheel_wherever_and_whenever_they_are_built(tmp_path: Path) -> None:
    one = package(tmp_path / "one")
    two = Path(shutil.copytree(one, tmp_path / "two" / "other"))
    for number, file in enumerate(two.rglob("*")):
        os.utime(file, (1_700_000_000 + number, 1_700_000_000 + number))
        file.chmod(0o700 if file.is_dir() else 0o640)
    added(one, tmp_path / "w1")
    added(two, tmp_path / "w2")
    [first], [second] = (tmp_path / "w1").iterdir(), (tmp_path / "w2").iterdir()
    assert first.name == second.name == "acme_filters-1.0-py2.py3-none-any.whl"
    assert first.read_bytes() == second.read_bytes()


def test_building_leaves_the_sources_as_they_were(tmp_path: Path) -> None:
    source = package(tmp_path)
    before = sorted(source.rglob("*"))
    added(source, tmp_path / "wheels")
    assert sorted(source.rglob("*")) == before


def test_a_built_wheel_can_be_installed(built: Path, tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(tmp_path / "site"), str(built)]
    subprocess.run(install, check=True)
    assert (tmp_path / "site" / "acme_filters" / "__init__.py").is_file()


def test_a_wheel_is_taken_as_it_is(built: Path, tmp_path: Path) -> None:
    assert added(built, tmp_path / "wheels") == {}
    assert (tmp_path / "wheels" / built.name).read_bytes() == built.read_bytes()


def test_a_bundle_carries_them_and_names_them(built: Path, tiny_classifier: Path, tmp_path: Path, provenance: dict[str, Any]) -> None:
    bundle = wrap(tiny_classifier, tmp_path / "bundle", FilterConfig(), provenance, private_packages=[built])
    assert f"wheels/{built.name}" in open_bundle(bundle.path).manifest["files"]
    [listed] = [one for one in bundle.read_json("sbom.cdx.json")["components"] if one["name"] == "acme_filters"]
    assert (listed["version"], listed["licenses"]) == ("1.0", [{"expression": "MIT"}])


def test_a_public_package_that_one_needs_is_pinned_at_the_version_installed_here(built: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(private_packages, "_hash", lambda name, version: "ab" * 32)
    wheel = renamed(built, tmp_path, built.name, Requires_Dist="python-dateutil>=2")
    found = added(wheel, tmp_path / "wheels")
    assert set(found) == {"python-dateutil", "six"}
    assert found["six"].hashes == ("ab" * 32,)


def test_a_package_that_the_bundle_has_is_not_asked_for_again(built: Path, tmp_path: Path) -> None:
    wheel = renamed(built, tmp_path, built.name, Requires_Dist="numpy>=2")
    assert added(wheel, tmp_path / "wheels") == {}


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        ("no-such-thing>=2", "needs no-such-thing>=2: package no-such-thing is not installed here, so that its version cannot be pinned; "),
        ("numpy<2", "needs numpy<2, expected one that allows numpy 2.4.6, which the bundle has"),
        ("packaging<1", "needs packaging<1, found "),
        ("torch", "needs torch, which serving has not; expected code that does without"),
    ],
)
def test_what_serving_cannot_have_is_refused_with_its_name(built: Path, tmp_path: Path, wanted: str, fault: str) -> None:
    told = refusal(renamed(built, tmp_path, built.name, Requires_Dist=wanted), tmp_path)
    assert told.startswith(f"private package acme-filters {fault}")


def test_a_wheel_for_another_platform_is_refused(built: Path, tmp_path: Path) -> None:
    other = renamed(built, tmp_path, "acme_filters-1.0-cp311-cp311-win_amd64.whl")
    assert refusal(other, tmp_path) == (
        f"private package {other}: expected a wheel of pure Python or for this platform, "
        "found acme_filters-1.0-cp311-cp311-win_amd64.whl; build it on the platform that serves"
    )


@pytest.mark.parametrize("name", ["acme.whl", "acme-1.0-py3-none-any.whl"])
def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no zip")
    assert refusal(tmp_path / name, tmp_path).startswith(
        f"private package {tmp_path / name}: expected a wheel, found one that cannot be read"
    )


@pytest.mark.parametrize("name", ["notes.txt", "nothing"])
def test_neither_folder_nor_wheel_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("hi")
    told = refusal(tmp_path / name, tmp_path)
    assert told == f"private package {tmp_path / name}: expected a folder with a pyproject.toml, or a wheel, found neither"


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty", tmp_path) == f"private package {tmp_path / 'empty'}: expected a pyproject.toml in it, found none"


def test_a_package_that_cannot_be_built_says_what_it_builds_with(tmp_path: Path) -> None:
    source = package(tmp_path)
    text = (source / "pyproject.toml").read_text().replace("hatchling.build", "nowhere.build").replace('"hatchling"', '"nowhere>=3"')
    (source / "pyproject.toml").write_text(text)
    told = refusal(source, tmp_path)
    assert told.startswith(f"private package {source} cannot be built here: ")
    assert told.endswith("; it builds with what is installed: pip install nowhere>=3")


def test_a_name_that_is_taken_is_refused(built: Path, tmp_path: Path) -> None:
    taken = {**LOCKED, "acme-filters": LOCKED["numpy"]}
    (tmp_path / "wheels").mkdir()
    with pytest.raises(BadInput, match=r"^private package acme-filters: expected a name of its own, found one that the bundle has already"):
        add_private([built], tmp_path / "wheels", taken)
    with pytest.raises(BadInput, match=r"^private package acme-filters: expected a name of its own"):
        add_private([built, built], tmp_path / "wheels", LOCKED)


def test_changed_sources_have_another_digest_and_caches_do_not_count(tmp_path: Path) -> None:
    source = package(tmp_path)
    before = sources_digest([source])
    (source / "acme_filters" / "__pycache__").mkdir()
    (source / "acme_filters" / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert sources_digest([source]) == before
    (source / "acme_filters" / "__init__.py").write_text("changed = True\n")
    assert sources_digest([source]) != before


def test_the_lock_of_a_bundle_with_one_still_has_all_that_serving_needs(
    built: Path, tiny_classifier: Path, tmp_path: Path, provenance: dict[str, Any]
) -> None:
    bundle = wrap(tiny_classifier, tmp_path / "bundle", FilterConfig(), provenance, private_packages=[built])
    assert {"numpy", "onnxruntime", "tokenizers"} <= set(parse(bundle.file("requirements.txt").read_text()))
