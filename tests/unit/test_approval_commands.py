"""`headgate approve --key` and `headgate audit` from the command line, with real keys and without a stack."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_up_release import NOW, POLICY, YES, keep
from made_up_release import WITH_PAGE as RELEASE
from typer.testing import CliRunner

from headgate.errors import Refused
from headgate.lake import Lake, open_lake
from headgate.release.approval import archive, decide
from headgate.release.audit import entries
from headgate.release.record import save_release
from headgate.settings import load_settings
from stack.cli import app

ADA, BOB = "ada@example.com", "bob@example.com"
SUBJECT = RELEASE.model_copy(update={"started_by": f"person:{ADA}"})
SHORT = SUBJECT.id[:12]
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADGATE_TOML", raising=False)
    load_settings.cache_clear()
    found = open_lake("lake")
    keep(found, SUBJECT)
    yield found
    load_settings.cache_clear()


@pytest.fixture
def key(lake: Lake) -> Path:
    """A key of Bob's, and a project that wants two signatures."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "bob"], check=True)
    Path("allowed_signers").write_text(f'{BOB} namespaces="headgate" {Path("bob.pub").read_text()}')
    _settings("signatures = 2\nforbid_self_approval = true")
    return Path("bob").absolute()


def _settings(approval: str) -> None:
    Path("headgate.toml").write_text(f'lake = "lake"\n[models.replies]\ndataset = "replies"\n[models.replies.approval]\n{approval}\n')
    load_settings.cache_clear()


def _run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(done.exception, Exception):
        raise done.exception
    return done.exit_code, done.output


def _approve(key: Path, who: str = BOB) -> tuple[int, str]:
    return _run("approve", SHORT, "--as", who, "--reason", "recall is up", "--key", key)


def test_the_first_of_two_signatures_is_kept_and_says_who_goes_on(lake: Lake, key: Path) -> None:
    code, said = _approve(key)
    first, *rest = said.splitlines()
    assert code == 0
    assert first.startswith(f"release {SHORT} is signed by {BOB} with key SHA256:")
    assert rest == [
        f"  1 of 2 signature(s): {BOB}",
        f'  next: another person runs  headgate approve {SHORT} --as you@example.com --reason "..." --key ~/.ssh/id_ed25519',
    ]
    assert [(entry.action, entry.who, entry.reason) for entry in entries(lake)] == [("sign", BOB, "recall is up")]


def test_signing_again_says_the_same_and_adds_no_entry(lake: Lake, key: Path) -> None:
    assert _approve(key) == _approve(key)
    assert len(entries(lake)) == 1


def test_who_started_the_training_cannot_sign(lake: Lake, key: Path) -> None:
    with pytest.raises(Refused) as fault:
        _approve(key, who=ADA)
    assert str(fault.value) == f"release {SHORT}: self-approval: {ADA} started this release and approval.forbid_self_approval is set"
    assert entries(lake) == []


def test_a_decided_release_is_not_signed_any_more(lake: Lake, key: Path) -> None:
    archive(lake, decide(YES.model_copy(update={"decision": "reject"}), SUBJECT, NOW, POLICY))
    with pytest.raises(Refused, match=rf"^release {SHORT} is decided already; see `headgate audit`$"):
        _approve(key)


def test_a_release_whose_tests_failed_is_not_signed(lake: Lake, key: Path) -> None:
    failed = SUBJECT.model_copy(update={"verdict": "failed"})
    save_release(lake, failed)
    with pytest.raises(Refused, match=rf"^release {failed.id[:12]}: its tests failed; only a release that passed can be approved$"):
        _run("approve", failed.id, "--as", BOB, "--reason", "why", "--key", key)


def test_the_audit_shows_a_signature_with_its_digests(lake: Lake, key: Path) -> None:
    _approve(key)
    code, said = _run("audit")
    told, over = said.splitlines()
    assert code == 0
    assert told.endswith(f" replies sign {SHORT} by {BOB}: recall is up")
    assert over.startswith(f"    over bundle {'b' * 12}, data replies@0 ")
    assert over.endswith(f"signed by {BOB}")


def test_an_audit_of_nothing_says_so(lake: Lake) -> None:
    _settings("")
    assert _run("audit") == (0, "nothing was decided yet\n")


def test_the_audit_fails_over_a_decision_that_the_log_does_not_tell_of(lake: Lake) -> None:
    _settings("")
    archive(lake, decide(YES, SUBJECT, NOW, POLICY))
    code, said = _run("audit", "--json")
    assert code == 1
    assert json.loads(said) == {
        "entries": [],
        "faults": [f"release {SHORT}: expected an entry 'approve' by grace@example.com, found none; the log may have lost its end"],
    }
    assert _run("audit")[0] == 1
