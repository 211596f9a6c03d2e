"""What Docker or buildah are asked for; that they really do it is for the lane `cluster`."""

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.images import build_and_push
from headgate.errors import BadInput, Refused, Unavailable
from headgate.model.bundle import open_bundle
from stack.cli import app

DIGEST = "sha256:" + "9" * 64


class Programs:
    """Programs on an otherwise empty PATH; each notes what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.notes = folder / "bin", folder / "notes"
        self.folder.mkdir()

    def put(self, name: str, script: str) -> None:
        file = self.folder / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.notes}\n{script}\n')
        file.chmod(file.stat().st_mode | stat.S_IEXEC)

    def asked(self) -> list[str]:
        return self.notes.read_text().splitlines()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    found = Programs(tmp_path)
    monkeypatch.setenv("PATH", str(found.folder))
    return found


BUILDAH = f'for a in "$@"; do case $a in --digestfile=*) echo {DIGEST} > "${{a#--digestfile=}}";; esac; done'


def test_buildah_builds_pushes_and_tells_the_digest(programs: Programs, bundle: Path) -> None:
    programs.put("buildah", BUILDAH)
    digest = open_bundle(bundle).digest
    assert build_and_push(bundle, "r.example/replies", ["--secret", "id=pip,src=x"], insecure=True) == f"r.example/replies@{DIGEST}"
    build, push = programs.asked()
    name = f"r.example/replies:bundle-{digest[:16]}"
    assert build.startswith(
        f"buildah bud --layers --format=docker --build-arg BUNDLE_DIGEST={digest} --build-arg COMMIT=c0ffee --secret id=pip,src=x"
    )
    assert build.endswith(f"Dockerfile --tag {name} {bundle}")
    assert push.startswith("buildah push --tls-verify=false --digestfile=")
    assert push.endswith(name)


def test_docker_is_taken_where_its_daemon_answers(programs: Programs, bundle: Path) -> None:
    programs.put("buildah", BUILDAH)
    programs.put("docker", f'[ "$1" = push ] && echo "bundle-1: digest: {DIGEST} size: 1573"; exit 0')
    assert build_and_push(bundle, "docker.io/acme/replies") == f"docker.io/acme/replies@{DIGEST}"
    assert [line.split()[:2] for line in programs.asked()][:3] == [["docker", part] for part in ("info", "build", "push")]
    programs.put("docker", "echo pushed; exit 0")
    with pytest.raises(Unavailable, match=r"was pushed, but docker does not say under which digest; push it again\. It said:\npushed"):
        build_and_push(bundle, "docker.io/acme/replies")


def test_without_a_program_that_builds_it_says_which_to_install(programs: Programs, bundle: Path) -> None:
    programs.put("docker", "exit 1")
    with pytest.raises(Refused, match="expected Docker with its daemon, or buildah, to build an image; found neither; install one"):
        build_and_push(bundle, "r.example/replies")


def test_what_the_program_said_is_told_where_it_fails(programs: Programs, bundle: Path) -> None:
    programs.put("buildah", "echo no space left >&2; exit 125")
    with pytest.raises(BadInput, match=r"the image of bundle [0-9a-f]{12} was not built; buildah said:\nno space left"):
        build_and_push(bundle, "r.example/replies")
    programs.put("buildah", '[ "$1" = bud ] || { echo denied >&2; exit 125; }')
    with pytest.raises(Unavailable, match=r"was not pushed; log in to its registry, or try again\. buildah said:\ndenied"):
        build_and_push(bundle, "r.example/replies")


@pytest.mark.parametrize(
    "said",
    [
        "ERROR: Could not install packages due to an OSError: HTTPSConnectionPool: Read timed out.",
        "dial tcp: lookup registry-1.docker.io: no such host",
        "error: received unexpected HTTP status: 503 Service Unavailable",
    ],
)
def test_what_could_not_be_fetched_may_be_tried_again(said: str, programs: Programs, bundle: Path) -> None:
    programs.put("buildah", f"echo '{said}' >&2; exit 125")
    with pytest.raises(Unavailable, match=r"was not built; buildah said:\n.*\ntry again once what it fetches from answers"):
        build_and_push(bundle, "r.example/replies")


def test_an_option_that_the_command_does_not_know_is_no_option_of_the_build(programs: Programs, bundle: Path) -> None:
    done = CliRunner().invoke(app, ["image", str(bundle), "--repository", "r.example/replies", "--insecur"])
    assert done.exit_code == 2
    assert "No such option: --insecur" in done.output


def test_the_command_prints_the_image_and_gives_what_follows_two_dashes_to_the_build(programs: Programs, bundle: Path) -> None:
    programs.put("buildah", BUILDAH)
    done = CliRunner().invoke(app, ["image", str(bundle), "--repository", "r.example/replies", "--", "--secret", "id=ca,src=ca.pem"])
    assert (done.exit_code, done.stdout) == (0, f"r.example/replies@{DIGEST}\n"), done.output
    assert "--secret id=ca,src=ca.pem --file" in programs.asked()[0]
