"""Whether new rows set off a training: every reason with its whole message."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from headgate.data.new_rows import NewRows
from headgate.lake import Lake
from headgate.release.candidate import Outcome
from headgate.release.retraining import Decision, Evidence, checks, decide, keep_decision, newest_decisions
from headgate.release.training_ledger import (
    Beginning,
    End,
    PastTraining,
    Training,
    claim,
    next_number,
    note_beginning,
    note_end,
    past_trainings,
)
from headgate.settings import ModelSettings, Retrain

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROWS = NewRows(dataset="replies", since=12, version=15, added=222, corrected=24, removed=0, by_label={"other": 46, "positive": 200})
FEW = NewRows(dataset="replies", since=12, version=15, added=140, corrected=3, removed=0, by_label={"other": 43, "positive": 100})


def _past(number: int = 0, hours_ago: float = 5, **fields: Any) -> PastTraining:
    training = Training(
        model="replies",
        number=number,
        candidate="c" * 16,
        data_version=12,
        started_by="automation:headgate.dataset.updated",
        reason="trains: enough",
        at=NOW - timedelta(hours=hours_ago),
        set_off_by="run-1",
        run_key=f"train-replies-{number}",
    )
    return PastTraining(training=training, **fields)


def _tested(number: int = 0, hours_ago: float = 5) -> PastTraining:
    return _past(number, hours_ago, outcome=Outcome(candidate="c" * 16, release="a" * 64, stopped=None))


def _ended(how: Any, hours_ago: float = 0.5, why: str = "out of memory") -> PastTraining:
    return _past(3, hours_ago + 1, end=End(how=how, why=why, at=NOW - timedelta(hours=hours_ago)))


def _decide(policy: dict[str, Any] | None = None, **evidence: Any) -> Decision:
    found = {"live": "a" * 64, "data_version": 15, "candidate": "d" * 16, "since": 12, "rows": ROWS, "trainings": (_tested(),)} | evidence
    return decide(Retrain(**(policy or {})), Evidence(model="replies", **found), "replies", "automation:x", "run-9", NOW)


def test_enough_new_rows_of_enough_labels_set_off_a_training() -> None:
    found = _decide()
    assert (found.decision, found.checks, found.until) == ("train", (), None)
    assert found.reason == "trains: 246 new rows (222 added, 24 corrected) since version 12"
    assert (found.data_version, found.since, found.new_rows, found.trigger) == (15, 12, 246, "automation:x")


@pytest.mark.parametrize(
    ("policy", "evidence", "checks", "reason"),
    [
        ({}, {"rows": FEW}, ("rows",), "143 of 200 new rows since version 12"),
        (
            {"min_labels": 3},
            {},
            ("labels",),
            "2 of 3 labels with at least 5 new rows (other, positive)",
        ),
        (
            {"min_new_rows_per_label": 500},
            {"rows": FEW},
            ("rows", "labels"),
            "143 of 200 new rows since version 12; 0 of 2 labels with at least 500 new rows",
        ),
        ({"enabled": False}, {"rows": FEW}, ("switch",), "retrain.enabled is false"),
        (
            {},
            {"live": None, "rows": None},
            ("champion",),
            "no release is live yet, and the first one is started by a person: run `headgate run --model replies`",
        ),
        (
            {},
            {"unready": "data set replies: expected a data version, found none", "rows": None},
            ("data",),
            "data set replies: expected a data version, found none",
        ),
        (
            {},
            {"known": "release aaa of data version 15 was rejected: ada: no", "rows": FEW},
            ("candidate",),
            "release aaa of data version 15 was rejected: ada: no",
        ),
        (
            {},
            {"trainings": (_past(7, 2, beginning=Beginning(run="r", candidate="e", data_version=14, at=NOW)),), "rows": FEW},
            ("running",),
            "training 7 of data version 14 is under way, set off 2026-05-01 10:00 UTC by automation:headgate.dataset.updated",
        ),
    ],
    ids=["rows", "labels", "all that is missing", "switch", "champion", "data", "candidate", "running"],
)
def test_what_is_missing_is_named(policy: dict[str, Any], evidence: dict[str, Any], checks: tuple[str, ...], reason: str) -> None:
    found = _decide(policy, **evidence)
    assert (found.decision, found.checks, found.reason, found.until) == ("skip", checks, f"did not train: {reason}", None)


def test_the_interval_is_kept_from_start_to_start() -> None:
    found = _decide({"min_interval_hours": 6})
    assert found.reason == "did not train: 6 h after training 0: not before 2026-05-01 13:00 UTC"
    assert found.until == NOW + timedelta(hours=1)
    assert _decide({"min_interval_hours": 5}).decision == "train"


@pytest.mark.parametrize(
    ("how", "told"),
    [("failed", "failed"), ("cancelled", "was cancelled"), ("crashed", "crashed"), ("lost", "was lost")],
)
def test_after_a_failure_it_cools_down(how: str, told: str) -> None:
    found = _decide(trainings=(_tested(), _ended(how)))
    assert found.reason == f"did not train: cool-down until 2026-05-01 12:30 UTC, since training 3 of data version 12 {told}: out of memory"
    assert (found.checks, found.until) == (("cool_down",), NOW + timedelta(minutes=30))
    assert _decide({"cool_down_hours": 0.5}, trainings=(_ended(how),)).decision == "train"
    assert _decide(trainings=(_ended(how), _tested(4))).decision == "train", "a training that was tested since ends it"


def test_after_the_data_checks_stopped_a_candidate_it_cools_down_too() -> None:
    stopped = _past(3, 0.5, outcome=Outcome(candidate="c" * 16, release=None, stopped="data checks failed: empty texts"))
    assert _decide(trainings=(stopped,)).reason == (
        "did not train: cool-down until 2026-05-01 12:30 UTC, since training 3 of data version 12 was stopped: "
        "data checks failed: empty texts"
    )


def test_a_candidate_that_its_tests_stopped_is_no_failure_of_the_training() -> None:
    refused = _past(3, 0.5, outcome=Outcome(candidate="c" * 16, release="a" * 64, stopped="accuracy failed"))
    assert _decide(trainings=(refused,)).decision == "train"


def test_the_budget_is_of_any_24_hours_and_says_when_it_is_free_again() -> None:
    day = (_tested(0, 25), _tested(1, 23), _tested(2, 10), _tested(3, 2))
    found = _decide({"max_trainings_per_day": 3}, trainings=day)
    assert found.reason == "did not train: 3 of 3 trainings within 24 hours, the next not before 2026-05-01 13:00 UTC"
    assert (found.checks, found.until) == (("budget",), NOW + timedelta(hours=1))
    assert _decide({"max_trainings_per_day": 4}, trainings=day).decision == "train"


def test_a_run_that_found_nothing_to_do_was_no_training() -> None:
    idle = _ended("nothing_new")
    policy = {"max_trainings_per_day": 1, "min_interval_hours": 4}
    assert _decide(policy, trainings=(idle,)).decision == "train"


def test_where_a_person_must_start_it_the_ledger_only_says_that_it_is_due() -> None:
    found = _decide({"approval": "required"})
    assert (found.decision, found.checks) == ("ask", ("approval",))
    assert found.reason == (
        "did not train: 246 new rows (222 added, 24 corrected) since version 12 are enough, but retrain.approval is required, "
        "so it waits for a person: run `headgate run --model replies`"
    )
    waits = _decide({"approval": "required"}, rows=FEW)
    assert (waits.decision, waits.reason) == ("skip", "did not train: 143 of 200 new rows since version 12")


def test_time_alone_ends_a_wait_only_where_nothing_else_is_missing() -> None:
    failed = (_ended("failed"),)
    both = _decide({"min_interval_hours": 2}, trainings=failed)
    assert both.checks == ("interval", "cool_down")
    assert both.until == NOW + timedelta(minutes=30)
    assert _decide(trainings=failed, rows=FEW).until is None


def test_every_condition_is_told_with_what_was_found() -> None:
    evidence = Evidence(model="replies", live="a" * 64, candidate="d", data_version=15, since=12, rows=FEW, trainings=(_tested(),))
    assert {check.name: (check.met, check.told) for check in checks(Retrain(), evidence, NOW)} == {
        "switch": (True, "retrain.enabled is true"),
        "champion": (True, "release aaaaaaaaaaaa is live"),
        "candidate": (True, "data version 15 is not tested yet"),
        "running": (True, "no training is under way"),
        "rows": (False, "143 of 200 new rows since version 12"),
        "labels": (True, "2 of 2 labels with at least 5 new rows (other, positive)"),
        "interval": (True, "no interval to keep"),
        "cool_down": (True, "the last training did not fail"),
        "budget": (True, "1 of 8 trainings within 24 hours"),
        "approval": (True, "no person is asked before a training"),
    }


def test_what_was_said_already_is_not_recorded_again_until_something_changes(lake: Lake) -> None:
    first = _decide(rows=FEW)
    assert keep_decision(lake, first) is True
    later = first.model_copy(update={"at": NOW + timedelta(minutes=15), "decided_by": "run-10", "trigger": "automation:catch-up"})
    assert keep_decision(lake, later) is False
    other = later.model_copy(update={"data_version": 16})
    assert keep_decision(lake, other) is True
    assert keep_decision(lake, first.model_copy(update={"at": NOW + timedelta(minutes=30), "decided_by": "run-11"})) is True
    assert [one.data_version for one in newest_decisions(lake, "replies", 9)] == [15, 16, 15]
    assert [one.data_version for one in newest_decisions(lake, "replies", 1)] == [15]
    assert newest_decisions(lake, "others", 9) == []


def test_a_decision_is_told_by_the_run_that_was_killed_after_recording_it(folder_lake: Lake) -> None:
    first = _decide(rows=FEW)
    keep_decision(folder_lake, first)
    assert keep_decision(folder_lake, first.model_copy(update={"at": NOW + timedelta(seconds=5)})) is True
    assert newest_decisions(folder_lake, "replies", 9) == [first]


def test_a_bound_that_no_rows_could_meet_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ValidationError) as told:
        ModelSettings(dataset="replies", labels=("x", "y"), retrain=Retrain(min_labels=3))
    assert told.value.errors()[0]["msg"] == (
        "Value error, expected min_labels of at most the 2 labels of the model, found 3; no new rows could set off a training"
    )
    assert ModelSettings(dataset="replies", retrain=Retrain(min_labels=3)).retrain.min_labels == 3, "labels that are not listed may be more"


def test_a_number_is_given_once_and_what_became_of_it_is_read_back(lake: Lake) -> None:
    given = _past(0).training
    assert [claim(lake, given), claim(lake, given.model_copy(update={"candidate": "e" * 16}))] == [True, False]
    assert (next_number(lake, "replies"), next_number(lake, "others")) == (1, 0)
    beginning = Beginning(run="run-7", candidate=given.candidate, data_version=13, at=NOW)
    end = End(how="failed", why="out of memory", at=NOW)
    note_beginning(lake, given, beginning)
    note_beginning(lake, given, beginning.model_copy(update={"run": "run-8"}))
    note_end(lake, given, end)
    note_end(lake, given, end.model_copy(update={"why": "seen later"}))
    assert past_trainings(lake, "replies", NOW) == (PastTraining(training=given, beginning=beginning, end=end),)
