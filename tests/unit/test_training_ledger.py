"""The ledger around the decision: numbers given once, ends settled from the flow runs, kills and races."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from made_up_ledger import annotate, lake_with_champion, policy
from made_up_release import RELEASE

from headgate.data.table import DatasetTable
from headgate.data.version import DataVersion
from headgate.lake import FolderLake, Lake
from headgate.release.candidate import Candidate, save_outcome
from headgate.release.record import save_release
from headgate.release.retraining import newest_decisions
from headgate.release.training_ledger import RunState, Training, claim, past_trainings
from headgate.settings import load_settings
from tasks.triggering import Decided, admit, decide_once, models_of

NOW = datetime.now(UTC)
EVENT = "automation:headgate.dataset.updated"


class Runs:
    """What Prefect would know about the flow runs, by their key."""

    def __init__(self) -> None:
        self.known: dict[str, RunState] = {}

    def __call__(self, training: Training) -> RunState | None:
        return self.known.get(training.run_key)

    def put(self, key: str, kind: str, at: datetime = NOW, starts: int = 1, why: str = "") -> None:
        self.known[key] = RunState(id="run", kind=kind, at=at, starts=starts, why=why)


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADGATE_TOML", raising=False)
    yield lake_with_champion()
    load_settings.cache_clear()


def _decide(lake: Lake, runs: Runs, by: str = "dispatch-1", now: datetime = NOW) -> Decided:
    return decide_once(lake, "replies", EVENT, by, runs, now)


def _candidate(decided: Decided, lake: Lake, version: DataVersion | None = None, started_by: str = EVENT) -> Candidate:
    training = past_trainings(lake, "replies", NOW)[-1].training if decided.decision.training is not None else None
    return Candidate(
        model="replies",
        key=training.candidate if training else "e" * 16,
        data_version=version or DatasetTable(lake, "replies").latest(),
        regression_set=DatasetTable(lake, "replies-regression").latest(),
        commit="0" * 40,
        started_by=started_by,
        champion=None,
    )


def _finish(lake: Lake, candidate: Candidate) -> None:
    release = RELEASE.model_copy(update={"candidate": candidate.key, "data_version": candidate.data_version})
    save_release(lake, release)
    save_outcome(lake, candidate, release=release.id, stopped="accuracy failed")


def test_enough_rows_set_off_one_training_and_the_next_decisions_say_that_it_runs(lake: Lake, runs: Runs) -> None:
    annotate(lake, "c", "d", "e")
    assert _decide(lake, runs).decision.reason == "did not train: 3 of 4 new rows since version 0"
    annotate(lake, "f")
    first = _decide(lake, runs, now=NOW + timedelta(seconds=1))
    assert (first.decision.decision, first.decision.training, first.fresh) == ("train", 0, True)
    (past,) = past_trainings(lake, "replies", NOW)
    runs.put(past.training.run_key, "open")
    burst = [_decide(lake, runs, f"dispatch-{number}", NOW + timedelta(seconds=number)) for number in range(2, 21)]
    assert {one.decision.reason for one in burst} == {
        f"did not train: training 0 of data version 2 is under way, set off {first.decision.at:%Y-%m-%d %H:%M} UTC by {EVENT}"
    }
    assert [one.fresh for one in burst] == [True] + [False] * 18
    assert [one.decision for one in newest_decisions(lake, "replies", 99)] == ["skip", "train", "skip"]
    assert len(past_trainings(lake, "replies", NOW)) == 1


def test_new_rows_count_from_the_last_tested_candidate_even_if_it_was_stopped(lake: Lake, runs: Runs) -> None:
    annotate(lake, "c", "d", "e", "f")
    decided = _decide(lake, runs)
    candidate = _candidate(decided, lake)
    assert admit(lake, candidate, "run-1", past_trainings(lake, "replies", NOW)[0].training.run_key, runs, NOW) is None
    _finish(lake, candidate)
    assert "was stopped: accuracy failed" in _decide(lake, runs).decision.reason
    annotate(lake, "g", "h")
    assert _decide(lake, runs).decision.reason == "did not train: 2 of 4 new rows since version 1"


def test_a_training_that_the_data_checks_stopped_has_not_used_its_rows(lake: Lake, runs: Runs) -> None:
    policy("cool_down_hours = 0")
    annotate(lake, "c", "d", "e", "f")
    candidate = _candidate(_decide(lake, runs), lake)
    save_outcome(lake, candidate, release=None, stopped="data checks failed")
    assert _decide(lake, runs).decision.checks == ("candidate",), "the same rows are not checked twice"
    annotate(lake, "c2")
    assert _decide(lake, runs).decision.reason == "trains: 5 new rows (5 added, 0 corrected) since version 0"


def test_a_failed_run_cools_down_and_then_the_same_run_is_started_again(lake: Lake, runs: Runs) -> None:
    annotate(lake, "c", "d", "e", "f")
    _decide(lake, runs)
    key = past_trainings(lake, "replies", NOW)[0].training.run_key
    runs.put(key, "failed", NOW + timedelta(minutes=10), why="out of memory")
    soon = _decide(lake, runs, now=NOW + timedelta(minutes=20))
    until = NOW + timedelta(minutes=70)
    assert soon.decision.reason == (
        f"did not train: cool-down until {until:%Y-%m-%d %H:%M} UTC, since training 0 of data version 1 failed: out of memory"
    )
    again = _decide(lake, runs, "dispatch-3", now=NOW + timedelta(minutes=80))
    assert (again.decision.decision, again.decision.training) == ("train", 1)
    newest = past_trainings(lake, "replies", NOW)[-1]
    assert (newest.training.run_key, newest.open) == (key, True), "the old failure is not the end of the new training"


def test_a_crashed_run_is_left_to_the_recovery_until_that_gave_up(lake: Lake, runs: Runs) -> None:
    annotate(lake, "c", "d", "e", "f")
    _decide(lake, runs)
    key, crashed = past_trainings(lake, "replies", NOW)[0].training.run_key, NOW + timedelta(minutes=1)
    runs.put(key, "crashed", crashed)
    assert _decide(lake, runs, now=crashed + timedelta(minutes=9)).decision.checks == ("running",)
    runs.put(key, "crashed", crashed, starts=5)
    told = _decide(lake, runs, now=crashed + timedelta(minutes=9)).decision
    assert told.checks == ("cool_down",)
    assert told.reason.endswith("since training 0 of data version 1 crashed: its process died, start 5 of 5")


def test_a_crashed_run_that_nothing_recovers_does_not_block_for_ever(lake: Lake, runs: Runs) -> None:
    annotate(lake, "c", "d", "e", "f")
    _decide(lake, runs)
    runs.put(past_trainings(lake, "replies", NOW)[0].training.run_key, "crashed", NOW + timedelta(minutes=1))
    assert _decide(lake, runs, now=NOW + timedelta(minutes=12)).decision.checks == ("cool_down",)


def test_a_training_whose_run_prefect_lost_after_it_began_is_over(lake: Lake, runs: Runs) -> None:
    annotate(lake, "c", "d", "e", "f")
    candidate = _candidate(_decide(lake, runs), lake)
    admit(lake, candidate, "run-1", past_trainings(lake, "replies", NOW)[0].training.run_key, runs, NOW)
    told = _decide(lake, runs).decision
    assert told.reason.endswith("since training 0 of data version 1 was lost: its flow run is not known any more")


def test_what_a_killed_decision_set_off_is_started_by_the_next_one(lake: Lake, runs: Runs) -> None:
    annotate(lake, "c", "d", "e", "f")
    _decide(lake, runs, "killed")
    later = _decide(lake, runs, "dispatch-2", NOW + timedelta(minutes=15))
    assert (later.decision.decision, later.decision.training) == ("train", 0)
    assert later.decision.reason == f"trains: training 0 was set off {NOW:%Y-%m-%d %H:%M} UTC but never started"
    assert len(past_trainings(lake, "replies", NOW)) == 1


def test_the_same_decision_run_started_again_after_a_kill_goes_on_with_its_own_training(lake: Lake, runs: Runs) -> None:
    annotate(lake, "c", "d", "e", "f")
    first = _decide(lake, runs)
    again = _decide(lake, runs, now=NOW + timedelta(seconds=30))
    assert (again.decision.training, again.decision.reason) == (0, first.decision.reason)
    assert [one.decision for one in newest_decisions(lake, "replies", 9)] == ["train"]


@pytest.mark.parametrize("kept", ["set-off", "decision"])
def test_a_kill_between_number_and_record_leaves_one_training_and_one_decision(lake: Lake, runs: Runs, kept: str) -> None:
    annotate(lake, "c", "d", "e", "f")
    _decide(lake, runs)
    if kept == "set-off":
        shutil.rmtree("lake/ledger/replies/decisions")
    assert _decide(lake, runs, now=NOW + timedelta(seconds=30)).decision.training == 0
    assert [one.training for one in newest_decisions(lake, "replies", 9)] == [0]
    assert len(past_trainings(lake, "replies", NOW)) == 1


def test_a_persons_training_is_entered_without_asking_the_policy_and_counts_from_then_on(lake: Lake, runs: Runs) -> None:
    policy("enabled = false\nmax_trainings_per_day = 1")
    candidate = _candidate(_decide(lake, runs), lake, started_by="person:ada")
    told = admit(lake, candidate, "run-1", None, runs, NOW)
    assert told is not None
    assert (told.decision.decision, told.decision.reason) == ("train", "trains: started by person:ada")
    runs.put("run-run-1", "open")
    assert admit(lake, candidate, "run-1", None, runs, NOW) is None, "a run that starts again after a kill is entered once"
    (past,) = past_trainings(lake, "replies", NOW)
    assert (past.training.started_by, past.beginning is not None) == ("person:ada", True)
    policy("max_trainings_per_day = 1")
    _finish(lake, candidate)
    annotate(lake, "c", "d", "e", "f")
    assert _decide(lake, runs).decision.checks == ("budget",)


def test_a_run_that_an_automation_starts_past_the_ledger_is_decided_by_it(lake: Lake, runs: Runs) -> None:
    annotate(lake, "c")
    candidate = _candidate(_decide(lake, runs), lake, started_by="automation:schedule")
    told = admit(lake, candidate, "run-1", None, runs, NOW)
    assert told is not None
    assert told.decision.reason == ("did not train: 1 of 4 new rows since version 0; 1 of 2 labels with at least 1 new rows (x)")
    annotate(lake, "d", "e", "f")
    told = admit(lake, candidate, "run-2", None, runs, NOW)
    assert told is not None
    assert told.decision.decision == "train"
    (past,) = past_trainings(lake, "replies", NOW)
    assert (past.training.run_key, past.training.started_by, past.beginning is not None) == ("run-run-2", "automation:schedule", True)


def test_a_retest_is_no_training(lake: Lake, runs: Runs) -> None:
    candidate = _candidate(_decide(lake, runs), lake).model_copy(update={"retest": "a" * 64})
    assert admit(lake, candidate, "run-1", None, runs, NOW) is None
    assert past_trainings(lake, "replies", NOW) == ()


def test_where_nothing_is_ready_the_decision_says_what_to_do(lake: Lake, runs: Runs) -> None:
    shutil.rmtree("lake/datasets/replies-regression")
    assert _decide(lake, runs).decision.reason == (
        "did not train: regression set replies-regression: expected frozen rows, found none; "
        "name a file as regression_rows in headgate.toml and run `headgate run`"
    )


def test_before_the_first_release_a_person_starts_it(lake: Lake, runs: Runs) -> None:
    shutil.rmtree("lake/champions")
    assert _decide(lake, runs).decision.reason == (
        "did not train: no release is live yet, and the first one is started by a person: run `headgate run --model replies`"
    )


def test_the_models_of_a_data_set_are_decided_each_for_itself(lake: Lake) -> None:
    policy(models='[models.urgency]\ndataset = "replies"\n[models.tickets]\ndataset = "tickets"')
    assert models_of("replies") == ["replies", "urgency"]
    assert models_of(None) == ["replies", "urgency", "tickets"]
    assert models_of("unknown") == []


def _training(number: int, hours_ago: float = 0) -> Training:
    return Training(
        model="replies",
        number=number,
        candidate=f"{number:016d}",
        data_version=number,
        started_by=EVENT,
        reason="trains",
        at=NOW - timedelta(hours=hours_ago),
        set_off_by="d",
        run_key=f"train-{number}",
    )


def test_only_the_trainings_of_a_day_and_those_back_to_the_last_tested_one_are_read(lake: Lake) -> None:
    for number, hours in enumerate((90, 80, 30, 2)):
        assert claim(lake, _training(number, hours))
    for number in (0, 1):
        name = f"{number:016d}"
        lake.put_if_absent(
            f"candidates/replies/{name}/outcomes/0000.json",
            json.dumps({"candidate": name, "release": "a" * 64, "stopped": None}).encode(),
        )
    assert [one.training.number for one in past_trainings(lake, "replies", NOW)] == [1, 2, 3]


class _Racing(FolderLake):
    """Everybody reaches the first number before anybody takes it."""

    def __init__(self, root: Path, parties: int) -> None:
        super().__init__(root)
        self.barrier = threading.Barrier(parties)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if key.endswith("000000/set-off.json"):
            self.barrier.wait(timeout=60)
        return super().put_if_absent(key, data)


def test_of_those_who_decide_at_the_same_moment_one_sets_off_the_training(lake: Lake, tmp_path: Path) -> None:
    annotate(lake, "c", "d", "e", "f")
    racing = _Racing(tmp_path / "lake", 4)

    def decide(number: int) -> Decided:
        return decide_once(racing, "replies", EVENT, f"dispatch-{number}", lambda _: RunState(id="r", kind="open", at=NOW, starts=1), NOW)

    with ThreadPoolExecutor(4) as pool:
        found = [one.decision for one in pool.map(decide, range(4))]
    assert sorted(one.decision for one in found) == ["skip", "skip", "skip", "train"]
    assert [one.training for one in found if one.decision == "train"] == [0]
    assert {one.checks for one in found if one.decision == "skip"} == {("running",)}
    assert len(past_trainings(lake, "replies", NOW)) == 1


CLAIMS = """
import sys
from pathlib import Path
from headgate.lake import open_lake
from headgate.release.training_ledger import Training, claim, next_number
lake, template = open_lake(sys.argv[1]), Training.model_validate_json(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
while True:
    number = next_number(lake, "replies")
    if claim(lake, template.model_copy(update={"number": number})):
        print(number, flush=True)
        break
"""


def test_processes_never_share_a_number(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", CLAIMS, str(tmp_path / "lake"), _training(0).model_dump_json()]
    processes = [subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sorted(process.communicate(timeout=60)[0] for process in processes) == ["0\n", "1\n", "2\n"]
