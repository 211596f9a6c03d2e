"""The built wheel in an environment that has what the wheel declares and nothing else: no checkout, no torch."""

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from headgate.model.serving_lock import parse

CHECKOUT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that hatchling builds from the checkout with what is installed here, so without network."""
    folder = tmp_path_factory.mktemp("dist")
    build = (*PIP, "wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(folder), str(CHECKOUT))
    subprocess.run(build, check=True)
    [made] = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel and the packages it declares."""
    site_packages = fresh_environment(tmp_path_factory.mktemp("declared"), wheel)
    [installed] = site_packages.glob("headgate-*.dist-info")
    lend(site_packages, closure(PathDistribution(installed)))
    return site_packages.parents[2] / "bin"


@pytest.fixture(scope="module")
def bundle_bin_folder(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with a bundle's own wheel and requirements.txt, as the Dockerfile installs them."""
    [wheel] = (bundle / "wheels").iterdir()
    site_packages = fresh_environment(tmp_path_factory.mktemp("bundled"), wheel)
    lend(site_packages, parse((bundle / "requirements.txt").read_text()))
    return site_packages.parents[2] / "bin"


def fresh_environment(folder: Path, wheel: Path) -> Path:
    """Make an environment with the wheel alone; returns its site-packages."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = str(folder / "bin" / "python")
    subprocess.run([*PIP, "--python", python, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    return next(folder.glob("lib/python*/site-packages"))


def lend(site_packages: Path, names: Iterable[str]) -> None:
    """Link packages of the tests' own environment."""
    for package in map(distribution, names):
        for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            (site_packages / top).symlink_to(package.locate_file(top))


def closure(package: Distribution) -> set[str]:
    """What a package declares, what that declares, and so on."""
    found: set[str] = set()
    waiting = required(package)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += required(distribution(name))
    return found


def required(package: Distribution) -> list[str]:
    lines = [Requirement(line) for line in package.requires or ()]
    return [canonicalize_name(line.name) for line in lines if line.marker is None or line.marker.evaluate({"extra": ""})]


def plain_environment() -> dict[str, str]:
    """Nothing of this environment's Python and Headgate."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HEADGATE", "VIRTUAL"))}


def call(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program away from the checkout."""
    return subprocess.run([*map(str, command)], cwd="/", env=plain_environment(), capture_output=True, text=True, timeout=60)


@contextmanager
def served(*command: str | Path) -> Iterator[httpx.Client]:
    """A client of a server started on a free port; the server must end by itself on SIGTERM."""
    arguments = [*map(str, command), "--port", "0"]
    with subprocess.Popen(arguments, cwd="/", env=plain_environment(), stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        try:
            told = next((line for line in server.stderr if "serving bundle" in line), "it ended")
            address = re.search(r"http://\S+:\d+", told)
            assert address, told
            with httpx.Client(base_url=address[0], transport=httpx.HTTPTransport(retries=9)) as client:
                yield client
        finally:
            server.terminate()
            assert server.wait(timeout=60) == 0


def check_answer(client: httpx.Client, bundle: Path) -> None:
    answer = client.post("/invocations", json={"instances": [{"text": "yes please, call me thursday"}]})
    assert answer.status_code == 200, answer.text
    [prediction] = answer.json()["predictions"]
    assert prediction["outcome"] == "scored"
    assert prediction["label"] in json.loads((bundle / "labels.json").read_text())
    assert sum(prediction["scores"].values()) == pytest.approx(1, abs=1e-3)


def test_the_wheel_holds_the_library_alone_and_all_of_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"headgate", "headgate-0.1.0.dist-info"}
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "headgate"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert {name for name in names if name.startswith("headgate/")} == {n for n in tracked.stdout.split() if (CHECKOUT / n).is_file()}
    assert "headgate-0.1.0.dist-info/licenses/LICENSE" in names


def test_the_command_line_helps_without_the_checkout(bin_folder: Path) -> None:
    done = call(bin_folder / "headgate", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f" {command} " in done.stdout for command in ("train", "wrap", "test", "serve", "data"))
    assert " approve " not in done.stdout


def test_a_fault_is_one_message(bin_folder: Path, tmp_path: Path) -> None:
    done = call(bin_folder / "headgate", "serve", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"headgate: {tmp_path} is not a bundle: it has no bundle.json\n")


def test_serve_answers_without_torch_and_the_checkout(bin_folder: Path, bundle: Path) -> None:
    assert "No module named 'torch'" in call(bin_folder / "python", "-c", "import torch").stderr
    found = call(bin_folder / "python", "-c", "import headgate; print(headgate.__file__)").stdout
    assert Path(found).is_relative_to(bin_folder.parent)
    with served(bin_folder / "headgate", "serve", bundle) as client:
        check_answer(client, bundle)


def test_a_bundle_serves_with_its_own_wheel_and_requirements_alone(bundle_bin_folder: Path, bundle: Path) -> None:
    with served(bundle_bin_folder / "python", "-m", "headgate.serving", bundle) as client:
        check_answer(client, bundle)
