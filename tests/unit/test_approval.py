"""Approvals that bind: signed with real SSH keys by ssh-keygen, verified again by the rollout, used once."""

import hashlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest
from made_up_release import RELEASE, YES

from headgate.errors import BadInput, Refused, Stale
from headgate.lake import FolderLake
from headgate.release import ssh_signature
from headgate.release.approval import Answer, archive, decide
from headgate.release.audit import append, entries, over
from headgate.release.audit_check import faults_of
from headgate.release.binding import require_binding, use_of
from headgate.release.champion import Champion
from headgate.release.record import save_release
from headgate.release.signatures import SignedStatement, sign_release, signature_faults, signature_key, signatures, statement_of
from headgate.settings import Approval, ModelSettings

NOW = datetime.now(UTC).replace(microsecond=0)
PAGE = b"<html>evidence</html>"
ADA, BOB, EVE = "ada@example.com", "bob@example.com", "eve@example.com"
SUBJECT = RELEASE.model_copy(
    update={"evidence_digest": hashlib.sha256(PAGE).hexdigest(), "started_by": "automation:headgate.dataset.updated"}
)
SHORT = SUBJECT.id[:12]
HOW = f'sign it with `headgate approve {SHORT} --as you@example.com --reason "..." --key ~/.ssh/id_ed25519`, which answers here too'


def _new_key(folder: Path, name: str, passphrase: str = "", kind: str = "ed25519") -> Path:
    key = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", key], check=True)
    return key


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: _new_key(folder, name) for name in ("ada", "bob", "eve", "authority")}


@pytest.fixture
def lake(tmp_path):
    found = FolderLake(tmp_path / "lake")
    save_release(found, SUBJECT)
    found.put_if_absent(f"releases/{SUBJECT.id}/evidence/index.html", PAGE)
    return found


@pytest.fixture
def policy(tmp_path, keys):
    """One signature by Ada or Bob."""
    return _policy(tmp_path, f"{ADA} {OPTIONS} {_public(keys['ada'])}", f"{BOB} {OPTIONS} {_public(keys['bob'])}")


OPTIONS = 'namespaces="headgate"'


def _public(key: Path) -> str:
    return key.with_name(f"{key.name}.pub").read_text().strip()


def _policy(folder: Path, *lines: str, signatures: int = 1, **more) -> Approval:
    file = folder / "allowed_signers"
    file.write_text("".join(f"{line}\n" for line in lines))
    return Approval(signatures=signatures, allowed_signers=file, **more)


def _sign(lake, key: Path, policy: Approval, who: str = ADA, release=SUBJECT, now=NOW):
    return sign_release(lake, release, Answer(decision="approve", approver=who, reason="recall is up"), key, policy, now)


def _approved(lake, policy: Approval, who: str = ADA, now=NOW, release=SUBJECT):
    archive(lake, decide(Answer(decision="approve", approver=who, reason="recall is up"), release, now, policy))


def _begin(lake, policy, live=None, rollout="run-1", now=NOW, release=SUBJECT):
    return require_binding(lake, release, policy, live, rollout, now)


# Signing and verifying


def test_a_signature_counts_for_whom_the_file_lists_the_key(lake, policy, keys):
    signer = _sign(lake, keys["ada"], policy)
    assert (signer.who, signer.reason, signer.at) == (ADA, "recall is up", NOW)
    assert signer.key.startswith("SHA256:")
    assert signatures(lake, SUBJECT, policy, NOW).names == (ADA,)


def test_ssh_keygen_itself_verifies_what_rests_in_the_lake(lake, policy, keys, tmp_path):
    _sign(lake, keys["ada"], policy)
    kept = SignedStatement.model_validate_json(lake.read(signature_key(SUBJECT.id, ADA)))
    (tmp_path / "sig").write_text(kept.signature)
    command = ["ssh-keygen", "-Y", "verify", "-f", policy.allowed_signers, "-I", ADA, "-n", "headgate", "-s", tmp_path / "sig"]
    done = subprocess.run(command, input=kept.statement.to_bytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b'Good "headgate" signature for ada@example.com')


def test_what_is_signed_names_every_digest(policy):
    said = statement_of(SUBJECT, ADA, "why", NOW, policy).model_dump()
    bound = ("model", "bundle_digest", "image_digest", "evidence_digest", "expected_champion")
    assert {name: said[name] for name in bound} == {name: getattr(SUBJECT, name) for name in bound}
    assert (said["release"], said["data_version"], said["decision"]) == (SUBJECT.id, SUBJECT.data_version.model_dump(), "approve")
    assert said["expires_at"] - said["decided_at"] == timedelta(days=7)


def test_a_key_that_the_file_does_not_list_is_refused_and_nothing_is_kept(lake, policy, keys):
    with pytest.raises(Refused, match=rf"^{ADA}: expected a signature by a key that .*allowed_signers lists for {ADA}, found none"):
        _sign(lake, keys["eve"], policy)
    assert lake.keys(f"releases/{SUBJECT.id}/signatures") == []


def test_nobody_signs_in_another_s_name(lake, policy, keys):
    with pytest.raises(Refused, match=rf"^{BOB}: expected a signature by a key that .* lists for {BOB}, found none"):
        _sign(lake, keys["ada"], policy, who=BOB)


def test_without_an_allowed_signers_file_the_refusal_shows_a_line_of_it(lake, keys, tmp_path):
    with pytest.raises(Refused) as fault:
        _sign(lake, keys["ada"], Approval(signatures=1, allowed_signers=tmp_path / "nowhere"))
    assert str(fault.value) == (
        f"approval.allowed_signers: expected the file {tmp_path / 'nowhere'}, found none; it has one line a person: "
        'you@example.com namespaces="headgate" ssh-ed25519 AAAA...'
    )


def test_a_key_listed_for_another_namespace_is_refused(lake, keys, tmp_path):
    policy = _policy(tmp_path, f'{ADA} namespaces="git" {_public(keys["ada"])}')
    with pytest.raises(Refused, match="found none"):
        _sign(lake, keys["ada"], policy)


def test_a_key_counts_until_its_valid_before(lake, keys, tmp_path):
    ends = NOW + timedelta(days=1)
    policy = _policy(tmp_path, f'{ADA} {OPTIONS},valid-before="{ends:%Y%m%d%H%M%SZ}" {_public(keys["ada"])}')
    _sign(lake, keys["ada"], policy)
    assert signatures(lake, SUBJECT, policy, NOW).names == (ADA,)
    late = signatures(lake, SUBJECT, policy, ends + timedelta(minutes=1))
    assert late.names == ()
    assert "key has expired" in late.faults[0]


def test_a_certificate_of_a_listed_authority_counts_for_the_person_it_names(lake, keys, tmp_path):
    own = _new_key(tmp_path, "own")
    subprocess.run(["ssh-keygen", "-q", "-s", keys["authority"], "-I", "id", "-n", ADA, f"{own}.pub"], check=True)
    policy = _policy(tmp_path, f"*@example.com cert-authority,{OPTIONS} {_public(keys['authority'])}")
    assert _sign(lake, Path(f"{own}-cert.pub"), policy).who == ADA
    with pytest.raises(Refused, match="name is not a listed principal"):
        _sign(lake, Path(f"{own}-cert.pub"), policy, who=BOB)


@pytest.mark.parametrize("who", ["-oProxyCommand=x", "ada@example.com\nbob@example.com", "*", "ada,bob", "ada example", '"ada"', "!ada"])
def test_names_that_ssh_keygen_would_read_otherwise_are_refused(lake, policy, keys, who):
    with pytest.raises(BadInput) as fault:
        _sign(lake, keys["ada"], policy, who=who)
    assert str(fault.value) == f"expected who signs as a plain name such as you@example.com, found {who!r}"


def test_a_missing_key_says_how_to_make_one(lake, policy, tmp_path):
    with pytest.raises(BadInput) as fault:
        _sign(lake, tmp_path / "none", policy)
    assert str(fault.value) == f"{tmp_path / 'none'}: expected an SSH key, found no file; `ssh-keygen -t ed25519` makes one"


def test_a_key_that_others_can_read_says_chmod(lake, policy, tmp_path):
    key = _new_key(tmp_path, "open")
    key.chmod(0o644)
    with pytest.raises(BadInput, match=r"expected a key that can sign, ssh-keygen refused .*; make it readable for you alone: chmod 600$"):
        _sign(lake, key, policy)


def test_a_passphrase_without_a_terminal_points_to_the_agent(tmp_path):
    key = _new_key(tmp_path, "locked", passphrase="secret")
    script = f"from pathlib import Path; from headgate.release.ssh_signature import sign; sign(b'm', Path({str(key)!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, start_new_session=True, stdin=subprocess.DEVNULL)
    assert "run it on a terminal that can ask for the passphrase, or add the key to an ssh-agent and give its .pub file" in done.stderr


def test_an_ssh_agent_signs_where_the_public_file_is_given(lake, keys, tmp_path, monkeypatch):
    key = _new_key(tmp_path, "agents", passphrase="")
    with subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        agent.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        subprocess.run(["ssh-add", "-q", key], check=True)
        key.unlink()
        policy = _policy(tmp_path, f"{ADA} {OPTIONS} {_public(key)}")
        assert _sign(lake, key.with_name("agents.pub"), policy).who == ADA
        agent.terminate()


def test_a_machine_without_ssh_keygen_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused) as fault:
        ssh_signature.verify(b"m", "s", ADA, tmp_path)
    assert str(fault.value) == (
        "expected the program ssh-keygen, found none on PATH; install it (Debian and Ubuntu: apt install openssh-client)"
    )


def test_signing_twice_keeps_the_first_signature(lake, policy, keys):
    first = _sign(lake, keys["ada"], policy)
    assert _sign(lake, keys["ada"], policy, now=NOW + timedelta(hours=1)) == first


def test_a_signature_that_expired_is_replaced_by_a_new_one(lake, policy, keys):
    _sign(lake, keys["ada"], policy, now=NOW - timedelta(days=8))
    assert signatures(lake, SUBJECT, policy, NOW).names == ()
    assert _sign(lake, keys["ada"], policy).at == NOW
    assert signatures(lake, SUBJECT, policy, NOW).names == (ADA,)


# Whose signatures count


def _edit(lake, **changed):
    """Change what Ada's kept statement says, as somebody with write access to the lake can."""
    key = signature_key(SUBJECT.id, ADA)
    entry = lake.get(key)
    kept = SignedStatement.model_validate_json(entry.data)
    edited = kept.model_copy(update={"statement": kept.statement.model_copy(update=changed)})
    lake.compare_and_swap(key, edited.to_bytes(), entry.tag)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"reason": "other"}, "incorrect signature"),
        ({"expires_at": NOW + timedelta(days=700)}, "incorrect signature"),
        ({"bundle_digest": "0" * 64}, "is over other digests than those of this release"),
        ({"decided_at": NOW + timedelta(days=3)}, "which is yet to come"),
        ({"approver": EVE}, f"{EVE}: expected a signature by a key"),
    ],
)
def test_an_edited_signature_does_not_count(lake, policy, keys, changed, fault):
    _sign(lake, keys["ada"], policy)
    _edit(lake, **changed)
    found = signatures(lake, SUBJECT, policy, NOW)
    assert found.names == ()
    assert fault in found.faults[0]


def test_a_signature_of_another_release_does_not_count(lake, policy, keys):
    other = SUBJECT.model_copy(update={"bundle_digest": "a" * 64})
    save_release(lake, other)
    _sign(lake, keys["ada"], policy, release=other)
    lake.put_if_absent(signature_key(SUBJECT.id, ADA), lake.read(signature_key(other.id, ADA)))
    assert signatures(lake, SUBJECT, policy, NOW) == ((), (f"the signature of {ADA} is over other digests than those of this release",))


def test_garbage_among_the_signatures_is_told_and_stops_nobody(lake, policy, keys):
    lake.put_if_absent(signature_key(SUBJECT.id, EVE), b"{}")
    _sign(lake, keys["ada"], policy)
    assert signatures(lake, SUBJECT, policy, NOW).names == (ADA,)
    assert signatures(lake, SUBJECT, policy, NOW).faults == ("a record among the signatures is none",)


def test_a_signature_copied_under_another_name_counts_once(lake, policy, keys):
    _sign(lake, keys["ada"], policy)
    lake.put_if_absent(signature_key(SUBJECT.id, BOB), lake.read(signature_key(SUBJECT.id, ADA)))
    assert signatures(lake, SUBJECT, policy, NOW).names == (ADA,)


def test_one_key_under_a_pattern_is_one_person_under_every_name(lake, keys, tmp_path):
    policy = _policy(tmp_path, f"*@example.com {OPTIONS} {_public(keys['ada'])}", signatures=2)
    _sign(lake, keys["ada"], policy, who=ADA)
    _sign(lake, keys["ada"], policy, who=BOB, now=NOW + timedelta(seconds=1))
    found = signatures(lake, SUBJECT, policy, NOW + timedelta(minutes=1))
    assert found.names == (ADA,)
    assert found.faults == (f"the signature of {BOB} does not count beside that of {ADA}: their keys may be one person's",)


def test_two_keys_of_one_person_are_one_person(lake, keys, tmp_path):
    lines = (f"{name} {OPTIONS} {_public(keys[key])}" for name, key in ((f"{ADA},ada2@example.com", "ada"), ("ada2@example.com", "bob")))
    policy = _policy(tmp_path, *lines, signatures=2)
    _sign(lake, keys["ada"], policy, who=ADA)
    _sign(lake, keys["bob"], policy, who="ada2@example.com")
    assert len(signatures(lake, SUBJECT, policy, NOW).counted) == 1


def test_who_started_the_training_cannot_sign_under_another_name(lake, keys, tmp_path):
    policy = _policy(tmp_path, f"*@example.com {OPTIONS} {_public(keys['ada'])}", forbid_self_approval=True)
    own = SUBJECT.model_copy(update={"started_by": f"person:{ADA}"})
    save_release(lake, own)
    with pytest.raises(Refused) as fault:
        _sign(lake, keys["ada"], policy, who="ada.other@example.com", release=own)
    assert str(fault.value) == (
        "self-approval: ada.other@example.com signed with a key of who started this release and approval.forbid_self_approval is set"
    )
    assert _sign(lake, keys["ada"], policy).who == ADA  # an automation started that one


def test_two_people_who_sign_at_once_are_both_counted(lake, policy, keys):
    start = Barrier(2)

    def sign(key, who):
        start.wait()
        _sign(lake, key, policy, who=who)

    threads = [Thread(target=sign, args=(keys[name], who)) for name, who in (("ada", ADA), ("bob", BOB))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(signatures(lake, SUBJECT, policy, NOW).names) == [ADA, BOB]


# What the form's answer needs


def test_a_form_answer_without_the_signature_is_refused_with_what_to_do(lake, policy):
    found = signatures(lake, SUBJECT, policy, NOW)
    assert signature_faults(YES, found, SUBJECT, policy) == [f"signature: expected those of 1 people, found 0; {HOW}"]
    assert signature_faults(YES.model_copy(update={"decision": "reject"}), found, SUBJECT, policy) == []
    assert signature_faults(YES, found, SUBJECT, Approval()) == []


def test_one_of_two_signatures_says_who_signed_already(lake, policy, keys):
    _sign(lake, keys["ada"], policy)
    two = policy.model_copy(update={"signatures": 2})
    found = signatures(lake, SUBJECT, two, NOW)
    assert signature_faults(YES, found, SUBJECT, two) == [f"signature: expected those of 2 people, found 1 ({ADA}); {HOW}"]


def test_a_form_answer_in_the_name_of_somebody_who_did_not_sign_is_refused(lake, policy, keys):
    _sign(lake, keys["ada"], policy)
    found = signatures(lake, SUBJECT, policy, NOW)
    assert signature_faults(YES, found, SUBJECT, policy) == [f"approver: expected one of those who signed ({ADA}), found grace@example.com"]
    assert signature_faults(YES.model_copy(update={"approver": ADA}), found, SUBJECT, policy) == []


# What the rollout verifies


def test_an_approval_serves_one_rollout_which_may_be_started_again(lake, keys):
    policy = Approval()
    _approved(lake, policy)
    use = _begin(lake, policy)
    assert _begin(lake, policy, now=NOW + timedelta(days=30)) == use == use_of(lake, SUBJECT.id)
    with pytest.raises(Refused) as fault:
        _begin(lake, policy, rollout="run-2")
    assert str(fault.value) == (
        f"release {SHORT}: its approval was used by rollout run-1 on {NOW:%Y-%m-%d}; one approval serves one rollout: "
        "run `headgate retest` for a new one, or `headgate rollback --to` for an earlier champion"
    )


def test_after_a_rollback_the_approval_cannot_be_used_again(lake):
    _approved(lake, Approval())
    back = Champion(model="replies", environment="production", release="e" * 64, previous=(SUBJECT.id,), since=NOW)
    with pytest.raises(Refused, match=rf"^release {SHORT}: its approval was used: the release was champion before {'e' * 12}; "):
        _begin(lake, Approval(), live=back)
    assert use_of(lake, SUBJECT.id) is None


def test_an_approval_expires_before_its_rollout_begins(lake):
    _approved(lake, Approval())
    with pytest.raises(Refused, match=rf"^release {SHORT}: its approval expired on .* UTC; run `headgate retest` for a new one$"):
        _begin(lake, Approval(), now=NOW + timedelta(days=7, minutes=1))


def test_a_champion_that_moved_after_the_approval_makes_it_stale(lake):
    _approved(lake, Approval())
    moved = Champion(model="replies", environment="production", release="9" * 64, since=NOW)
    with pytest.raises(Stale) as fault:
        _begin(lake, Approval(), live=moved)
    assert str(fault.value) == (
        f"release {SHORT}: its approval is stale: expected champion none, found 999999999999; run `headgate retest` for new evidence"
    )


def test_evidence_that_was_exchanged_after_the_approval_stops_the_rollout(lake):
    _approved(lake, Approval())
    (lake.root / "releases" / SUBJECT.id / "evidence" / "index.html").write_text("better")
    with pytest.raises(
        Refused, match=rf"^release {SHORT}: expected evidence {SUBJECT.evidence_digest[:12]} at .*; what was approved is not"
    ):
        _begin(lake, Approval())
    assert use_of(lake, SUBJECT.id) is None


def test_the_rollout_refuses_an_archived_decision_without_signatures(lake, policy):
    _approved(lake, policy)
    with pytest.raises(Refused) as fault:
        _begin(lake, policy)
    assert str(fault.value) == f"release {SHORT}: approval.signatures is not met: expected those of 1 people, found 0; {HOW}"
    assert use_of(lake, SUBJECT.id) is None


def test_the_rollout_takes_a_signed_approval_and_verifies_it_again_each_time(lake, policy, keys):
    _sign(lake, keys["ada"], policy)
    _approved(lake, policy)
    _begin(lake, policy)
    policy.allowed_signers.write_text(f"{BOB} {OPTIONS} {_public(keys['bob'])}\n")
    with pytest.raises(Refused, match=f"expected those of 1 people, found 0; {ADA}: expected a signature by a key that"):
        _begin(lake, policy)


def test_a_rollout_under_way_is_not_stopped_by_the_end_of_its_signature(lake, policy, keys):
    _sign(lake, keys["ada"], policy)
    _approved(lake, policy)
    use = _begin(lake, policy)
    assert _begin(lake, policy, now=NOW + timedelta(days=8)) == use


def test_an_expired_signature_begins_no_rollout(lake, policy, keys):
    _sign(lake, keys["ada"], policy)
    _approved(lake, policy, now=NOW + timedelta(days=5))
    with pytest.raises(Refused, match=f"the signature of {ADA} expired on "):
        _begin(lake, policy, now=NOW + timedelta(days=8))


def test_an_answer_of_the_gate_counts_only_while_the_policy_allows_it(lake):
    _approved(lake, Approval(), who="automation:auto_after")
    with pytest.raises(Refused, match=r"was given by automation:auto_after, but approval\.auto_after is not set any more"):
        _begin(lake, Approval())
    assert _begin(lake, Approval(auto_after={"agreements": 1})).rollout == "run-1"


def test_of_two_rollouts_at_once_one_gets_the_approval(lake):
    _approved(lake, Approval())
    start, refused = Barrier(2), []

    def begin(rollout):
        start.wait()
        try:
            _begin(lake, Approval(), rollout=rollout)
        except Refused as fault:
            refused.append((rollout, str(fault)))

    threads = [Thread(target=begin, args=(name,)) for name in ("run-1", "run-2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((loser, why),) = refused
    assert use_of(lake, SUBJECT.id).rollout != loser
    assert "one approval serves one rollout" in why


# The audit of signatures


def _log_signature(lake, who=ADA):
    append(lake, now=NOW, who=who, action="sign", model="replies", release=SUBJECT.id, reason="recall is up", over=over(SUBJECT, (who,)))


def test_the_audit_verifies_signatures_for_the_time_of_signing(lake, keys, tmp_path):
    ends = NOW + timedelta(days=1)
    policy = _policy(tmp_path, f'{ADA} {OPTIONS},valid-before="{ends:%Y%m%d%H%M%SZ}" {_public(keys["ada"])}')
    _sign(lake, keys["ada"], policy)
    _log_signature(lake)
    models = {"replies": ModelSettings(dataset="replies", approval=policy)}
    assert faults_of(lake, entries(lake), models) == []
    _edit(lake, reason="other")
    (fault,) = faults_of(lake, entries(lake), models)
    assert fault.startswith(f"release {SHORT}: {ADA}: expected a signature by a key that ")


def test_a_signature_that_the_log_does_not_tell_of_is_a_fault(lake, policy, keys):
    _sign(lake, keys["ada"], policy)
    assert faults_of(lake, entries(lake), {"replies": ModelSettings(dataset="replies", approval=policy)}) == [
        f"release {SHORT}: expected an entry 'sign' by {ADA}, found none; the log may have lost its end"
    ]
