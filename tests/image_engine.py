"""What builds and runs the serving image here: Docker where its daemon answers, else Debian's buildah and podman."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import pytest

from headgate.model.bundle import open_bundle

CHECKOUT = Path(__file__).parents[1]
BASE = "localhost/python:3.11-slim"
NAME = "localhost/headgate-image-test"
PARTS = ("buildah", "podman", "runc", "conmon", "mmdebstrap", "skopeo")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Engine:
    """What builds and runs images here."""

    build: tuple[str, ...]
    run: str
    environment: dict[str, str]

    def call(self, *arguments: str, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
        """One command to its end; the caller looks at how it ended."""
        return subprocess.run(arguments, capture_output=True, text=True, env=os.environ | self.environment, timeout=timeout_s)

    def told(self, *arguments: str) -> str:
        """What a command that has to succeed says."""
        done = self.call(self.run, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def running(self, image: str, *arguments: str, options: Sequence[str]) -> Iterator[str]:
        """A container under the options; gone afterwards."""
        name = f"headgate-{uuid4().hex[:8]}"
        try:
            self.told("run", "--detach", f"--name={name}", *options, image, *arguments)
            yield name
        finally:
            self.call(self.run, "rm", "--force", name)

    def image(self, bundle: Path, tag: str, **arguments: str) -> subprocess.CompletedProcess[str]:
        """Build the image of a bundle; build arguments win over those that the bundle asks for."""
        opened = open_bundle(bundle)
        given = {"BUNDLE_DIGEST": opened.digest, "COMMIT": opened.provenance["commit"], **arguments}
        options = [option for name, value in given.items() for option in ("--build-arg", f"{name}={value}")]
        if CERTIFICATES.exists():
            options += ["--secret", f"id=ca,src={CERTIFICATES}"]
        return self.call(*self.build, *options, "--file", str(CHECKOUT / "Dockerfile"), "--tag", f"{NAME}:{tag}", str(bundle))

    def inspect(self, tag: str) -> dict[str, Any]:
        """What an image says of itself."""
        return dict(json.loads(self.told("image", "inspect", f"{NAME}:{tag}"))[0])


def find_engine(shared: Path, folder: Path) -> Engine:
    """Docker, or buildah and podman with a base image made from Debian packages; neither: a loud skip, in CI a failure."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        return Engine(("docker", "build"), "docker", {"DOCKER_BUILDKIT": "1"})
    if missing := [part for part in PARTS if shutil.which(part) is None]:
        give_up(f"expected a Docker daemon, or {', '.join(PARTS)}; found no daemon and no {', '.join(missing)}")
    conf = shared / "tools" / "containers"
    environment = {"CONTAINERS_CONF": str(conf / "containers.conf"), "CONTAINERS_STORAGE_CONF": str(conf / "storage.conf")}
    build = ("buildah", "bud", "--isolation=chroot", "--pull-never", "--layers", "--format=docker", f"--build-arg=BASE_IMAGE={BASE}")
    found = Engine(build, "podman", environment)
    if found.call("podman", "image", "exists", BASE).returncode:
        make_base(found, folder)
    return found


def give_up(told: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(told)
    pytest.skip(told)


def make_base(engine: Engine, folder: Path) -> None:
    """A base image without a registry: Debian bookworm with Python."""
    packages = "--include=python3-minimal,python3-pip,python3-venv,ca-certificates"
    made = engine.call("mmdebstrap", "--variant=minbase", "--mode=root", packages, "bookworm", str(folder / "base.tar"))
    assert made.returncode == 0, made.stderr
    (folder / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
    built = engine.call("buildah", "bud", "--isolation=chroot", "--tag", BASE, str(folder))
    assert built.returncode == 0, built.stderr
