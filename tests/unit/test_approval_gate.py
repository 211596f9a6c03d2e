"""What the approval gate decides around Prefect: who is asked, whether an answer counts, what the form says."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from made_up_release import POLICY, RELEASE, YES

from headgate.lake import Lake, open_lake
from headgate.release.approval import archive, decide, was_asked
from headgate.release.audit import entries
from headgate.release.record import Release, save_release
from headgate.settings import load_settings
from tasks.gate import answer_before_asking, approval_text, judge_answer, recorded_decision

SHORT = RELEASE.id[:12]
AUTOMATIC = "auto_after = {agreements = 2}"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADGATE_TOML", raising=False)
    load_settings.cache_clear()
    found = open_lake("lake")
    save_release(found, RELEASE)
    found.put_if_absent(f"releases/{RELEASE.id}/evidence/summary.md", b"the evidence")
    yield found
    load_settings.cache_clear()


def _policy(approval: str) -> None:
    Path("headgate.toml").write_text(f'lake = "lake"\n[models.replies]\ndataset = "replies"\n[models.replies.approval]\n{approval}\n')
    load_settings.cache_clear()


def _agreed(lake: Lake, *numbers: int, subject: Release = RELEASE) -> None:
    for number in numbers:
        past = subject.model_copy(update={"candidate": f"{number:016d}"})
        save_release(lake, past)
        archive(lake, decide(YES, past, datetime.now(UTC), POLICY))


def test_the_gate_answers_itself_where_people_agreed_often_enough(lake):
    _policy(AUTOMATIC)
    _agreed(lake, 1, 2)
    own = answer_before_asking(RELEASE)
    assert own is not None
    assert (own.decision, own.approver) == ("approve", "automation:auto_after")
    assert own.reason.startswith("approval.auto_after: people approved 2 of the last 2 releases that passed the gates ")
    assert not was_asked(lake, RELEASE.id)


def test_once_a_person_was_asked_the_gate_never_answers_any_more(lake):
    _policy(AUTOMATIC)
    _agreed(lake, 1)
    assert answer_before_asking(RELEASE) is None
    _agreed(lake, 2, 3)
    assert answer_before_asking(RELEASE) is None
    assert was_asked(lake, RELEASE.id)


def test_without_the_policy_a_person_is_asked(lake):
    _policy("")
    _agreed(lake, 1, 2, 3)
    assert answer_before_asking(RELEASE) is None


def test_the_name_of_a_machine_is_not_taken_from_a_person(lake):
    _policy("")
    answer = YES.model_copy(update={"approver": " Automation:auto_after"})
    assert judge_answer(RELEASE, answer, timedelta()) == [
        "approver: expected a person, found Automation:auto_after; names of machines are not taken"
    ]


def test_the_form_says_how_to_sign_where_that_is_needed(lake):
    _policy("signatures = 1")
    how = f'`headgate approve {SHORT} --as you@example.com --reason "..." --key ~/.ssh/id_ed25519`'
    assert approval_text(RELEASE, ["signature: none"]) == (
        f"**Your answer was refused**: signature: none\n\n**Approving takes 1 signature(s), not this form**: {how}\n\nthe evidence"
    )
    assert judge_answer(RELEASE, YES, timedelta()) == [
        f"signature: expected those of 1 people, found 0; sign it with {how}, which answers here too"
    ]


def test_without_signatures_the_form_is_as_it_was(lake):
    _policy("")
    assert approval_text(RELEASE, []) == "the evidence"
    assert judge_answer(RELEASE, YES, timedelta()) == []


def test_a_decision_whose_audit_entry_a_kill_prevented_is_told_once(lake):
    _policy("")
    decision = archive(lake, decide(YES, RELEASE, datetime.now(UTC), POLICY))
    assert recorded_decision(RELEASE) == recorded_decision(RELEASE) == decision
    (entry,) = entries(lake)
    assert (entry.who, entry.at, entry.over is not None) == ("grace@example.com", decision.decided_at, True)


def test_an_open_release_has_no_decision(lake):
    _policy("")
    assert recorded_decision(RELEASE) is None
    assert entries(lake) == []
