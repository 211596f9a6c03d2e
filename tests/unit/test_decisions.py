"""The history of decisions, and when it lets the gates answer for themselves."""

from datetime import timedelta

import pytest
from made_up_release import NOW, POLICY, RELEASE, YES

from headgate.errors import BadSettings
from headgate.lake import FolderLake
from headgate.release.approval import archive, decide
from headgate.release.audit import append, entries
from headgate.release.decisions import AUTOMATION, Agreement, PastDecision, agreement, answer_by_history, history, undone_releases
from headgate.release.record import save_release
from headgate.release.rollout import Action, Step, write_step
from headgate.settings import AutoAfter, load_settings


@pytest.fixture
def lake(tmp_path):
    return FolderLake(tmp_path / "lake")


def _past(letters: str) -> list[PastDecision]:
    """One decision a letter, oldest first: a approved, r rejected, u approved and undone, m by the machine, x by the machine and undone."""
    return [
        PastDecision(
            release=str(number),
            model="replies",
            decided_at=NOW + timedelta(days=number),
            decision="reject" if letter == "r" else "approve",
            approver=AUTOMATION if letter in "mx" else "grace",
            reason="why",
            rolled_back=letter in "ux",
        )
        for number, letter in enumerate(letters)
    ]


@pytest.mark.parametrize(
    ("letters", "agreements", "disagreements", "answers"),
    [
        ("", 1, 0, False),
        ("aa", 3, 0, False),
        ("aaa", 3, 0, True),
        ("raaa", 3, 0, True),
        ("aara", 3, 0, False),
        ("aara", 3, 1, True),
        ("aaua", 3, 0, False),
        ("rara", 2, 1, True),
        ("rarra", 2, 1, False),
        ("aaam", 3, 0, True),
        ("aaax", 3, 0, False),
        ("aaaxaaa", 3, 0, True),
        ("mmm", 1, 0, False),
    ],
)
def test_the_gate_answers_once_people_agreed_so_often(letters, agreements, disagreements, answers):
    policy = AutoAfter(agreements=agreements, disagreements=disagreements)
    assert (answer_by_history(_past(letters), policy) is not None) is answers


def test_the_gate_says_what_its_answer_rests_on():
    assert answer_by_history(_past("aara"), AutoAfter(agreements=3, disagreements=1)) == (
        "approval.auto_after: people approved 3 of the last 4 releases that passed the gates "
        "(1 rejected or rolled back, 1 allowed), counted back to 2026-05-01"
    )


def test_agreement_in_five_numbers():
    assert agreement(_past("raumxaa")) == Agreement(agreements=3, disagreements=2, in_a_row=2, by_automation=2, automation_rolled_back=1)
    assert agreement([]) == Agreement(agreements=0, disagreements=0, in_a_row=0, by_automation=0, automation_rolled_back=0)


def _decided(lake, number: int, decision="approve", **changed) -> str:
    release = RELEASE.model_copy(update={"candidate": f"{number:016d}"} | changed)
    save_release(lake, release)
    archive(lake, decide(YES.model_copy(update={"decision": decision}), release, NOW + timedelta(days=number), POLICY))
    return release.id


def test_the_history_has_decided_releases_of_the_model_that_passed_oldest_first(lake):
    second, first = _decided(lake, 2, "reject"), _decided(lake, 1)
    _decided(lake, 3, model="tickets")
    _decided(lake, 4, "reject", verdict="failed")
    save_release(lake, RELEASE)
    assert [(past.release, past.decision, past.agreed) for past in history(lake, "replies")] == [
        (first, "approve", True),
        (second, "reject", False),
    ]


def test_an_approved_release_that_the_rollout_took_back_is_a_disagreement(lake):
    release = _decided(lake, 1)
    step = Step(number=0, environment="production", action=Action(kind="roll_back", reason="errors"), phase="intent", at=NOW)
    write_step(lake, release, step)
    assert [past.agreed for past in history(lake, "replies")] == [False]


def _moves(lake, *moves: tuple[str, str]) -> set[str]:
    for action, release in moves:
        told = {"who": "oncall", "action": action, "model": "replies", "release": release, "reason": "why", "environment": "production"}
        append(lake, now=NOW, **told)
    return undone_releases(entries(lake))


def test_a_release_that_a_person_rolled_back_is_undone(lake):
    assert _moves(lake, ("promote", "r1"), ("promote", "r2"), ("roll_back", "r1")) == {"r2"}


def test_a_release_that_failed_before_it_was_champion_is_undone_and_the_champion_is_not(lake):
    assert _moves(lake, ("promote", "r1"), ("roll_back", "r2"), ("promote", "r3")) == {"r2"}


def test_a_release_that_came_back_is_not_undone(lake):
    assert _moves(lake, ("promote", "r1"), ("promote", "r2"), ("roll_back", "r1"), ("roll_back", "r2")) == {"r1"}


def test_a_person_rolling_back_turns_agreement_into_disagreement(lake):
    first, second = _decided(lake, 1), _decided(lake, 2)
    _moves(lake, ("promote", first), ("promote", second), ("roll_back", first))
    assert [past.agreed for past in history(lake, "replies")] == [True, False]


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADGATE_TOML", raising=False)
    load_settings.cache_clear()

    def read(approval: str):
        (tmp_path / "headgate.toml").write_text(f'[models.replies]\ndataset = "replies"\n[models.replies.approval]\n{approval}')
        return load_settings().model("replies").approval

    yield read
    load_settings.cache_clear()


def test_the_policy_is_off_by_default_and_one_line_to_set(read):
    assert POLICY.auto_after is None
    assert read("auto_after = {agreements = 20}").auto_after == AutoAfter(agreements=20, disagreements=0)


def test_signatures_and_automatic_answers_exclude_each_other(read):
    with pytest.raises(BadSettings) as fault:
        read("signatures = 2\nauto_after = {agreements = 20}")
    assert (
        "models.replies.approval.auto_after: expected signatures or auto_after, found both: 2 people must sign, "
        "so the gate cannot answer itself; set signatures = 0 or leave auto_after out"
    ) in str(fault.value)
