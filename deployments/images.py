"""The serving image of a bundle: built by Docker or buildah, pushed, and named by the digest that the registry gave it."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from headgate.errors import BadInput, Refused, Unavailable
from headgate.model.bundle import open_bundle

DOCKERFILE = Path(__file__).parents[1] / "Dockerfile"
BUILD_S, PUSH_S = 3600, 1800
NOT_FETCHED = (
    "temporary failure in name resolution",
    "no such host",
    "connection refused",
    "connection reset",
    "connection timed out",
    "i/o timeout",
    "tls handshake timeout",
    "read timed out",
    "too many requests",
    "bad gateway",
    "service unavailable",
    "gateway timeout",
)


def build_and_push(
    bundle: Path, repository: str, options: Sequence[str] = (), insecure: bool = False, login: Mapping[str, str] | None = None
) -> str:
    """Build the image of a bundle and push it; returns repository@sha256:... . Repeating it pushes the same layers, which costs little.

    options: for the build, as Docker and buildah both understand them (--build-arg, --secret). insecure: the registry speaks HTTP (buildah
    alone; Docker's daemon has a list of such registries). login: variables for the push, such as DOCKER_CONFIG. Refused without a program
    that builds, BadInput if it does not build, Unavailable if what it is built from is not fetched, or it is not pushed.
    """
    found = open_bundle(bundle)
    name = f"{repository}:{tag_of(found.digest)}"
    given = {"BUNDLE_DIGEST": found.digest, "COMMIT": str(found.provenance.get("commit") or "")}
    arguments = [part for key, value in given.items() for part in ("--build-arg", f"{key}={value}")]
    program = builder()
    command = ["docker", "build"] if program == "docker" else ["buildah", "bud", "--layers", "--format=docker"]
    built = _run([*command, *arguments, *options, "--file", str(DOCKERFILE), "--tag", name, str(bundle)], BUILD_S)
    if built.returncode:
        told = f"the image of bundle {found.digest[:12]} was not built; {command[0]} said:\n{_end(built)}"
        raise Unavailable(f"{told}\ntry again once what it fetches from answers") if _not_fetched(built) else BadInput(told)
    return f"{repository}@{_push(program, name, insecure, login or {})}"


def tag_of(bundle_digest: str) -> str:
    """The tag of a bundle's image in every repository."""
    return f"bundle-{bundle_digest[:16]}"


def builder() -> str:
    """docker where its daemon answers, else buildah; Refused if there is neither."""
    if shutil.which("docker") and _run(["docker", "info"], 60).returncode == 0:
        return "docker"
    if shutil.which("buildah"):
        return "buildah"
    raise Refused(
        "expected Docker with its daemon, or buildah, to build an image; found neither; install one (Debian: apt-get install buildah)"
    )


def _push(program: str, name: str, insecure: bool, login: Mapping[str, str]) -> str:
    with tempfile.TemporaryDirectory(prefix="headgate-") as folder:
        told = Path(folder) / "digest"
        tls = ["--tls-verify=false"] if insecure else []
        command = ["docker", "push", name] if program == "docker" else ["buildah", "push", *tls, f"--digestfile={told}", name]
        pushed = _run(command, PUSH_S, login)
        if pushed.returncode:
            raise Unavailable(f"{name} was not pushed; log in to its registry, or try again. {program} said:\n{_end(pushed)}")
        return told.read_text().strip() if told.exists() else _pushed_by_docker(name, pushed.stdout)


def _pushed_by_docker(name: str, said: str) -> str:
    """The digest that the registry gave to this very push: what the daemon remembers may be another one."""
    found = re.findall(r"digest: (sha256:[0-9a-f]{64})\b", said)
    if not found:
        raise Unavailable(f"{name} was pushed, but docker does not say under which digest; push it again. It said:\n{said.strip()[-1000:]}")
    return str(found[-1])


def _run(command: Sequence[str], timeout_s: float, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DOCKER_BUILDKIT": "1"} | dict(variables or {})
    try:
        return subprocess.run([*command], capture_output=True, text=True, timeout=timeout_s, check=False, env=environment)
    except subprocess.TimeoutExpired as fault:
        raise Unavailable(f"{' '.join(command[:2])} did not end within {timeout_s:g} s; try again") from fault


def _not_fetched(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a base image or a wheel did not come over the network, by the words of Docker, buildah and pip."""
    return any(words in (done.stdout + done.stderr).lower() for words in NOT_FETCHED)


def _end(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
