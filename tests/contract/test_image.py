"""The serving image, really built and run: with Docker where its daemon answers, else with Debian's buildah and podman."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from image_engine import CERTIFICATES, CHECKOUT, Engine

from headgate.model.bundle import open_bundle

pytestmark = [pytest.mark.image, pytest.mark.timeout(1200)]

HARDENED = ("--read-only", "--user=10001:10001", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=512m", "--network=none")
LARGEST_BYTES = 450_000_000
ASK = """
import json, sys, urllib.request
def read(path, body=None):
    request = urllib.request.Request("http://127.0.0.1:8080" + path, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, answer.read().decode()
print(json.dumps([read("/ping")[0], read("/invocations", sys.argv[1].encode())[1]]))
"""
FORBIDDEN = """
import importlib.util, shutil, sys
modules = [name for name in ("pip", "setuptools", "ensurepip", "torch", "transformers") if importlib.util.find_spec(name)]
programs = [name for name in ("pip", "pip3", "gcc", "cc", "g++", "make", "git") if shutil.which(name)]
sys.exit(f"found {modules + programs}" if modules + programs else 0)
"""


def answer(engine: Engine, container: str, timeout_s: float = 60) -> tuple[int, dict[str, Any]]:
    """What it answers to a ping and to a text, asked from inside: there is no network."""
    deadline = time.monotonic() + timeout_s
    body = json.dumps({"instances": [{"text": "stop"}]})
    while (done := engine.call(engine.run, "exec", container, "python", "-c", ASK, body)).returncode:
        logs = engine.call(engine.run, "logs", container)
        assert time.monotonic() < deadline, done.stderr + logs.stdout + logs.stderr
        time.sleep(0.3)
    pinged, text = json.loads(done.stdout)
    return pinged, json.loads(text)


def test_it_starts_and_answers_without_network_root_capabilities_and_a_writable_disk(engine: Engine, image: str, bundle: Path) -> None:
    with engine.running(image, "--release", "r1", options=HARDENED) as container:
        pinged, body = answer(engine, container)
    assert pinged == 200
    assert body["predictions"][0]["label"] in json.loads((bundle / "labels.json").read_text())
    assert (body["model"]["bundle_digest"], body["model"]["release"]) == (open_bundle(bundle).digest, "r1")


def test_the_word_with_which_sagemaker_starts_it_is_understood(engine: Engine, image: str) -> None:
    with engine.running(image, "serve", options=HARDENED) as container:
        assert answer(engine, container)[0] == 200


def test_the_health_check_passes_where_it_serves(engine: Engine, image: str) -> None:
    told = engine.inspect("plain")
    command = (told["Config"].get("Healthcheck") or told["Healthcheck"])["Test"]
    with engine.running(image, options=HARDENED) as container:
        answer(engine, container)
        assert engine.call(engine.run, "exec", container, *command[1:]).returncode == 0


def test_a_bundle_that_was_touched_is_not_served(engine: Engine, image: str, bundle: Path, tmp_path: Path) -> None:
    touched = Path(shutil.copytree(bundle, tmp_path / "touched"))
    (touched / "labels.json").write_text("[]")
    done = engine.call(engine.run, "run", "--rm", *HARDENED, f"--volume={touched}:/bundle:ro", image)
    assert done.returncode == 1
    assert "labels.json is changed: its sha256 is not the listed one" in done.stdout + done.stderr


@pytest.mark.parametrize("wrong", ["BUNDLE_DIGEST", "COMMIT"])
def test_an_image_that_would_be_labelled_wrongly_is_not_built(engine: Engine, image: str, bundle: Path, wrong: str) -> None:
    built = engine.image(bundle, "wrong", **{wrong: "f00"})
    assert built.returncode != 0
    assert f"expected --build-arg BUNDLE_DIGEST={open_bundle(bundle).digest} --build-arg COMMIT=c0ffee" in built.stdout + built.stderr


def test_a_bundle_that_was_touched_is_not_built_into_one(engine: Engine, image: str, bundle: Path, tmp_path: Path) -> None:
    touched = Path(shutil.copytree(bundle, tmp_path / "touched"))
    digest = open_bundle(touched).digest
    (touched / "notes.txt").write_text("hi")
    options = ["--build-arg", f"BUNDLE_DIGEST={digest}", "--build-arg", "COMMIT=c0ffee", "--file", str(CHECKOUT / "Dockerfile")]
    secret = ["--secret", f"id=ca,src={CERTIFICATES}"] if CERTIFICATES.exists() else []
    built = engine.call(*engine.build, *options, *secret, str(touched))
    assert built.returncode != 0
    assert "notes.txt is extra: it is not in bundle.json" in built.stdout + built.stderr


def test_it_says_what_it_is_made_from(engine: Engine, image: str, bundle: Path) -> None:
    config = engine.inspect("plain")["Config"]
    assert config["Labels"]["io.headgate.bundle.digest"] == f"sha256:{open_bundle(bundle).digest}"
    assert config["Labels"]["org.opencontainers.image.revision"] == "c0ffee"
    assert "python:3.11-slim" in config["Labels"]["org.opencontainers.image.base.name"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"][:3] == ["python", "-m", "headgate.serving"]


def test_it_is_small_and_holds_no_installer_compiler_or_torch(engine: Engine, image: str) -> None:
    assert engine.inspect("plain")["Size"] < LARGEST_BYTES
    done = engine.call(engine.run, "run", "--rm", *HARDENED, "--entrypoint=python", image, "-c", FORBIDDEN)
    assert done.returncode == 0, done.stderr


def test_the_variant_of_sagemaker_runs_as_root(engine: Engine, root_image: str) -> None:
    assert engine.inspect("root")["Config"]["User"] == "root"
    with engine.running(root_image, "serve", options=["--network=none", "--read-only"]) as container:
        assert engine.told("exec", container, "id", "-u") == "0"
        assert answer(engine, container)[0] == 200


def test_the_variant_of_sagemaker_serves_as_another_user_where_a_pod_names_one(engine: Engine, root_image: str) -> None:
    with engine.running(root_image, "--release", "r1", options=HARDENED) as container:
        assert engine.told("exec", container, "id", "-u") == "10001"
        assert answer(engine, container)[0] == 200
