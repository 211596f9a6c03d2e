"""The pause for a person on a real Prefect server: refused answers, signed approvals, and answers of the gate itself."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from made_up_release import made_up
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.states import State

from flows.decision import await_decision
from headgate.lake import Lake, open_lake
from headgate.release.approval import Answer, archive, decide, decision_of
from headgate.release.audit import entries
from headgate.release.record import Release, load_release, save_release
from headgate.settings import Approval, load_settings
from stack.signing import sign_approval
from tasks.rolling_out import verify_approval

ADA, BOB = "ada@example.com", "bob@example.com"
PAGE = b"<html></html>"


@flow(name="decide")
def decide_release(release: str) -> str:
    decision = await_decision(load_release(open_lake("lake"), release))
    if decision.decision == "approve":
        verify_approval(load_release(open_lake("lake"), release))
    return f"{decision.decision} by {decision.approver}: {decision.reason}"


@pytest.fixture(scope="module")
def deployed() -> str:
    """A flow suspends only where its run belongs to a deployment."""
    decide_release.to_deployment("gate", entrypoint_type="module").apply()
    return "decide/gate"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    load_settings.cache_clear()
    yield open_lake("lake")
    load_settings.cache_clear()


def _policy(text: str = "") -> None:
    Path("headgate.toml").write_text(
        f'home = "home"\nlake = "lake"\n[models.replies]\ndataset = "replies"\n[models.replies.approval]\n{text}'
    )
    load_settings.cache_clear()


def _release(lake: Lake, number: int = 0) -> Release:
    release = made_up(
        candidate=f"{number:016d}",
        evidence_digest=hashlib.sha256(PAGE).hexdigest(),
        started_by="automation:headgate.dataset.updated",
    )
    save_release(lake, release)
    lake.put_if_absent(f"releases/{release.id}/evidence/summary.md", b"the evidence")
    lake.put_if_absent(f"releases/{release.id}/evidence/index.html", PAGE)
    return release


class Gate:
    """One run of the flow, driven as the worker does: a process until it suspends, another one after each answer."""

    def __init__(self, deployed: str, release: Release) -> None:
        run = run_deployment(deployed, parameters={"release": release.id}, timeout=0, as_subflow=False)
        self.run_id: UUID = run.id  # type: ignore[union-attr]

    def go_on(self) -> State[Any]:
        """The run's state at its next suspension or at its end."""
        with get_client(sync_client=True) as api:
            run = api.read_flow_run(self.run_id)
            with suppress(Pause):  # the engine's way out of a process that suspends
                run_flow(decide_release, flow_run=run, return_type="state", parameters=dict(run.parameters))
            state = api.read_flow_run(self.run_id).state
        assert state is not None
        return state

    def answer(self, decision: str, who: str, why: str = "looks right") -> State[Any]:
        with get_client(sync_client=True) as api:
            api.resume_flow_run(self.run_id, run_input={"decision": decision, "approver": who, "reason": why})
        return self.go_on()

    def form(self, attempt: int) -> str:
        with get_client(sync_client=True) as api:
            kept = api.read_flow_run(self.run_id).state
            assert kept is not None
            assert kept.state_details.run_input_keyset is not None
            key = kept.state_details.run_input_keyset["description"]
            assert f"approve-{attempt}" in key
            return str(json.loads(_input(api, self.run_id, key)))


def _input(api: Any, run_id: UUID, key: str) -> bytes:
    answer = api._client.get(f"/flow_runs/{run_id}/input/{key}")
    answer.raise_for_status()
    return bytes(answer.content)


def _keys(*names: str) -> dict[str, Path]:
    """Keys, and the allowed_signers file that lists them."""
    found = {name: Path(f"{name}.key").absolute() for name in names}
    for key in found.values():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    lines = (f'{name} namespaces="headgate" {key.with_name(f"{key.name}.pub").read_text()}' for name, key in found.items())
    Path("allowed_signers").write_text("".join(lines))
    return found


def test_an_unsigned_form_answer_is_refused_until_enough_people_signed(deployed: str, lake: Lake) -> None:
    _policy("signatures = 2")
    release, keys, said = _release(lake), _keys(ADA, BOB), []
    gate = Gate(deployed, release)
    assert gate.go_on().name == "Suspended"
    assert f"**Approving takes 2 signature(s), not this form**: `headgate approve {release.id[:12]} " in gate.form(0)
    assert gate.answer("approve", BOB, "typed without a key").name == "Suspended"
    assert "**Your answer was refused**: signature: expected those of 2 people, found 0; sign it with `headgate approve" in gate.form(1)
    assert sign_approval(release.id, ADA, "recall is up", keys[ADA], said.append) is False
    assert said[1:] == [
        f"  1 of 2 signature(s): {ADA}",
        f'  next: another person runs  headgate approve {release.id[:12]} --as you@example.com --reason "..." --key ~/.ssh/id_ed25519',
    ]
    assert gate.answer("approve", ADA).name == "Suspended"
    assert sign_approval(release.id, BOB, "agreed", keys[BOB], said.append) is True
    done = gate.answer("approve", BOB)
    assert done.name == "Completed", done.message
    decision = decision_of(lake, release.id)
    assert decision is not None
    assert (decision.approver, decision.reason, decision.signed_by) == (BOB, "agreed", (ADA, BOB))
    assert [(entry.action, entry.who) for entry in entries(lake)] == [("sign", ADA), ("sign", BOB), ("approve", BOB)]


def test_a_rejection_needs_no_signature(deployed: str, lake: Lake) -> None:
    _policy("signatures = 2")
    gate = Gate(deployed, release := _release(lake))
    gate.go_on()
    assert gate.answer("reject", "carol@example.com", "wrong labels").name == "Completed"
    decision = decision_of(lake, release.id)
    assert decision is not None
    assert (decision.decision, decision.approver, decision.signed_by) == ("reject", "carol@example.com", ())


def test_nobody_answers_in_the_name_of_a_machine(deployed: str, lake: Lake) -> None:
    _policy()
    gate = Gate(deployed, _release(lake))
    gate.go_on()
    assert gate.answer("approve", "automation:auto_after").name == "Suspended"
    assert "approver: expected a person, found automation:auto_after; names of machines are not taken" in gate.form(1)


def _agreed_before(lake: Lake, *numbers: int) -> None:
    for number in numbers:
        past = _release(lake, number)
        archive(lake, decide(Answer(decision="approve", approver=ADA, reason="good"), past, datetime.now(UTC), Approval()))


def test_the_gate_answers_itself_after_enough_agreement_and_says_why(deployed: str, lake: Lake) -> None:
    _policy("auto_after = {agreements = 2}")
    _agreed_before(lake, 1, 2)
    gate = Gate(deployed, release := _release(lake))
    assert gate.go_on().name == "Completed"
    decision = decision_of(lake, release.id)
    assert decision is not None
    assert decision.approver == "automation:auto_after"
    assert decision.reason.startswith("approval.auto_after: people approved 2 of the last 2 releases that passed the gates ")
    assert entries(lake)[-1].who == "automation:auto_after"


def test_the_gate_never_overrules_a_person_who_was_asked(deployed: str, lake: Lake) -> None:
    _policy("auto_after = {agreements = 2}")
    _agreed_before(lake, 1)
    gate = Gate(deployed, release := _release(lake))
    assert gate.go_on().name == "Suspended"
    _agreed_before(lake, 2)
    assert gate.answer("reject", BOB, "not this one").name == "Completed"
    decision = decision_of(lake, release.id)
    assert decision is not None
    assert (decision.decision, decision.approver) == ("reject", BOB)
