"""The serving image of a bundle: built by Docker or buildah, pushed, and named by the digest that the registry gave it."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from headgate.errors import BadInput, Refused, Unavailable
from headgate.model.bundle import open_bundle

DOCKERFILE = Path(__file__).parents[1] / "Dockerfile"
BUILD_S, PUSH_S = 3600, 1800


def build_and_push(bundle: Path, repository: str, options: Sequence[str] = (), insecure: bool = False) -> str:
    """Build the image of a bundle and push it; returns repository@sha256:... . Repeating it pushes the same layers, which costs little.

    options: for the build, as Docker and buildah both understand them (--build-arg, --secret). insecure: the registry speaks HTTP (buildah
    alone; Docker's daemon has a list of such registries). Refused without a program that builds, BadInput if it does not build, Unavailable
    if it is not pushed.
    """
    found = open_bundle(bundle)
    name = f"{repository}:bundle-{found.digest[:16]}"
    given = {"BUNDLE_DIGEST": found.digest, "COMMIT": str(found.provenance.get("commit") or "")}
    arguments = [part for key, value in given.items() for part in ("--build-arg", f"{key}={value}")]
    program = builder()
    command = ["docker", "build"] if program == "docker" else ["buildah", "bud", "--layers", "--format=docker"]
    built = _run([*command, *arguments, *options, "--file", str(DOCKERFILE), "--tag", name, str(bundle)], BUILD_S)
    if built.returncode:
        raise BadInput(f"the image of bundle {found.digest[:12]} was not built; {command[0]} said:\n{_end(built)}")
    return f"{repository}@{_push(program, name, insecure)}"


def builder() -> str:
    """docker where its daemon answers, else buildah; Refused if there is neither."""
    if shutil.which("docker") and _run(["docker", "info"], 60).returncode == 0:
        return "docker"
    if shutil.which("buildah"):
        return "buildah"
    raise Refused(
        "expected Docker with its daemon, or buildah, to build an image; found neither; install one (Debian: apt-get install buildah)"
    )


def _push(program: str, name: str, insecure: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="headgate-") as folder:
        told = Path(folder) / "digest"
        tls = ["--tls-verify=false"] if insecure else []
        pushed = _run(["docker", "push", name] if program == "docker" else ["buildah", "push", *tls, f"--digestfile={told}", name], PUSH_S)
        if pushed.returncode:
            raise Unavailable(f"{name} was not pushed; log in to its registry, or try again. {program} said:\n{_end(pushed)}")
        return told.read_text().strip() if told.exists() else _docker_digest(name)


def _docker_digest(name: str) -> str:
    """What the registry gave it, as the daemon remembers."""
    inspected = _run(["docker", "image", "inspect", name], 60)
    prefix = f"{name.rpartition(':')[0]}@"
    known = [one.removeprefix(prefix) for one in json.loads(inspected.stdout)[0]["RepoDigests"] if one.startswith(prefix)]
    if not known:
        raise Unavailable(f"{name} was pushed, but the Docker daemon does not say under which digest; push it again")
    return str(known[0])


def _run(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    try:
        return subprocess.run([*command], capture_output=True, text=True, timeout=timeout_s, check=False, env=environment)
    except subprocess.TimeoutExpired as fault:
        raise Unavailable(f"{' '.join(command[:2])} did not end within {timeout_s:g} s; try again") from fault


def _end(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
