"""New rows on a real Prefect server: the event, its automation, the decision, and the run of the training that it starts.

The automations are those of prefect.yaml, deployed by Prefect's own command. No worker runs here: the tests do what it does.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from made_up_release import made_up
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.events import emit_event
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Failed, Pending, State

from flows.retrain import decide_retraining
from headgate.data.frozen import freeze
from headgate.data.rows import parse_row
from headgate.data.table import DatasetTable
from headgate.data.version import DataVersion
from headgate.lake import Lake, open_lake
from headgate.release.champion import crown
from headgate.release.record import save_release
from headgate.release.retraining import newest_decisions
from headgate.release.training_ledger import past_trainings
from headgate.settings import load_settings
from stack.orchestration import open_trainings
from stack.triggers import standing_of
from tasks.candidates import plan_candidate
from tasks.triggering import admit_training

CHECKOUT = Path(__file__).parents[2]
EVENT = "headgate.dataset.updated"
WAIT_S = 180
SETTINGS = """
home = "home"
lake = "lake"
[models.replies]
dataset = "replies"
[models.replies.retrain]
min_new_rows = 4
cool_down_hours = {cool_down}
"""


@pytest.fixture(scope="module")
def api() -> Iterator[SyncPrefectClient]:
    """A server with the deployments and automations of prefect.yaml."""
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="headgate", type="process"))
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(CHECKOUT / "prefect.yaml")]
        env = os.environ | {"HEADGATE_CHECKOUT": str(CHECKOUT), "PREFECT_API_URL": PREFECT_API_URL.value()}
        done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=CHECKOUT)
        assert done.returncode == 0, done.stdout + done.stderr
        yield client
        for one in client.read_deployments():
            if one.name in ("default", "catch-up"):
                client.delete_deployment(one.id)
        client.delete_work_pool("headgate")


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A model whose champion was made from data version 0."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    _policy()
    found = open_lake("lake")
    freeze(found, "replies-regression", [parse_row({"id": "r", "text": "stop", "label": "unsubscribe"})])
    save_release(found, release := made_up(data_version=_annotate(found, 2)))
    crown(found, "replies", "production", release.id, None, datetime.now(UTC))
    yield found
    load_settings.cache_clear()


def _policy(cool_down: float = 1) -> None:
    Path("headgate.toml").write_text(SETTINGS.format(cool_down=cool_down))
    load_settings.cache_clear()


def _annotate(lake: Lake, count: int) -> DataVersion:
    table = DatasetTable(lake, "replies")
    newest = table.latest()
    first = newest.rows if newest else 0
    rows = [parse_row({"id": f"{i}", "text": f"{os.urandom(8).hex()}", "label": "xy"[i % 2]}) for i in range(first, first + count)]
    return table.merge(rows).version


def _announce(version: DataVersion, times: int = 1) -> None:
    payload = {"dataset": "replies", "version": version.version, "previous": 0, "digest": version.digest, "added": 4}
    for _ in range(times):
        emit_event(EVENT, resource={"prefect.resource.id": "headgate.dataset.replies"}, payload=payload | {"corrected": 0, "removed": 0})


def _runs(api: SyncPrefectClient, flow: str) -> list[FlowRun]:
    """Its runs, but for those that a schedule made."""
    found = api.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])))
    return [run for run in found if not run.auto_scheduled]


def _until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (found := look()):
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.1)
    return found


def _execute(api: SyncPrefectClient, flow: Any, run_id: UUID) -> State[Any]:
    """Take the run and run it, as a worker does when its time has come."""
    api.set_flow_run_state(run_id, Pending(), force=True)
    run = api.read_flow_run(run_id)
    run_flow(flow, flow_run=run, return_type="state", parameters=dict(run.parameters))
    state = api.read_flow_run(run_id).state
    assert state is not None
    return state


def _decide(api: SyncPrefectClient, started_by: str = f"automation:{EVENT}") -> State[Any]:
    run = run_deployment(
        "decide_retraining/default", parameters={"dataset": "replies", "started_by": started_by}, timeout=0, as_subflow=False
    )
    return _execute(api, decide_retraining, run.id)  # type: ignore[union-attr]


@pytest.fixture(autouse=True)
def no_runs(api: SyncPrefectClient) -> None:
    """Each test begins without runs of the one before."""
    for name in ("decide_retraining", "train_candidate"):
        for run in _runs(api, name):
            api.delete_flow_run(run.id)


def test_a_burst_of_twenty_events_becomes_one_decision_on_the_newest_version_and_one_training(api: SyncPrefectClient, lake: Lake) -> None:
    _announce(_annotate(lake, 1), times=10)
    _announce(_annotate(lake, 1), times=10)
    (run,) = _until(lambda: _runs(api, "decide_retraining"))
    assert run.parameters == {"dataset": "replies", "started_by": f"automation:{EVENT}"}
    newest = _annotate(lake, 12)
    assert _execute(api, decide_retraining, run.id).name == "Completed"
    (decision,) = newest_decisions(lake, "replies", 9)
    assert (decision.decision, decision.data_version, decision.since, decision.training) == ("train", newest.version, 0, 0)
    assert decision.reason == "trains: 14 new rows (14 added, 0 corrected) since version 0"
    (training,) = _runs(api, "train_candidate")
    assert training.parameters == {"model": "replies", "started_by": f"automation:{EVENT}"}
    (entry,) = past_trainings(lake, "replies", datetime.now(UTC))
    assert training.idempotency_key == entry.training.run_key == f"train-replies-{entry.training.candidate}"
    assert len(_runs(api, "decide_retraining")) == 1
    _told_everywhere(api, decision.reason)
    assert [one.id for one in open_trainings("replies")] == [training.id], "headgate run finds it and follows it"
    assert open_trainings("others") == []


def _told_everywhere(api: SyncPrefectClient, reason: str) -> None:
    """The decision is in the run's artifact and in the event feed."""
    kept = ArtifactFilter(key=ArtifactFilterKey(any_=["retrain-replies"]))
    assert f"**{reason}**" in [str(artifact.data).splitlines()[0] for artifact in api.read_artifacts(artifact_filter=kept)]

    def feed() -> list[dict[str, Any]]:
        wanted = {"filter": {"event": {"name": ["headgate.training.decided"]}}}
        events = api._client.post("/events/filter", json=wanted).raise_for_status().json()["events"]
        return [event["payload"] for event in events if event["payload"]["reason"] == reason]

    told = _until(feed)[0]
    assert (told["model"], told["dataset"], told["decision"]) == ("replies", "replies", "train")


def test_rows_that_no_event_told_of_are_found_by_the_catch_up(api: SyncPrefectClient, lake: Lake) -> None:
    _annotate(lake, 12)
    run = run_deployment("decide_retraining/catch-up", timeout=0, as_subflow=False)
    assert _execute(api, decide_retraining, run.id).name == "Completed"  # type: ignore[union-attr]
    (training,) = _runs(api, "train_candidate")
    assert training.parameters == {"model": "replies", "started_by": "automation:catch-up"}
    again = run_deployment("decide_retraining/catch-up", timeout=0, as_subflow=False)
    _execute(api, decide_retraining, again.id)  # type: ignore[union-attr]
    assert [one.decision for one in newest_decisions(lake, "replies", 9)] == ["skip", "train"]
    assert len(_runs(api, "train_candidate")) == 1


def test_headgate_triggers_says_when_the_catch_up_looks_again(api: SyncPrefectClient, lake: Lake) -> None:
    assert [one.cron for one in _schedules(api)] == ["4-59/15 * * * *"]
    due = datetime.now(UTC) + timedelta(minutes=15)  # this server has no scheduler
    run_deployment("decide_retraining/catch-up", timeout=0, as_subflow=False, scheduled_time=due)
    _decide(api)
    told = standing_of("replies", 5, True, datetime.now(UTC))
    assert (told.stack_is_up, told.next_look) == (True, due)
    assert told.decisions[0].reason == "did not train: 0 of 4 new rows since version 0; 0 of 2 labels with at least 5 new rows"


def _schedules(api: SyncPrefectClient) -> list[Any]:
    return [schedule.schedule for schedule in api.read_deployment_by_name("decide_retraining/catch-up").schedules]


def test_a_failed_training_cools_down_and_then_the_same_run_starts_again(api: SyncPrefectClient, lake: Lake) -> None:
    _annotate(lake, 12)
    _decide(api)
    (training,) = _runs(api, "train_candidate")
    api.set_flow_run_state(training.id, Failed(message="out of memory"), force=True)
    _decide(api)
    assert newest_decisions(lake, "replies", 1)[0].reason.endswith("since training 0 of data version 1 failed: out of memory")
    _policy(cool_down=0)
    _decide(api)
    (again,) = _runs(api, "train_candidate")
    assert (again.id, again.state.name if again.state else "") == (training.id, "AwaitingRetry")
    assert [one.training.number for one in past_trainings(lake, "replies", datetime.now(UTC))] == [0, 1]


def test_a_run_that_ended_with_nothing_to_do_does_not_keep_its_candidate_from_a_later_training(api: SyncPrefectClient, lake: Lake) -> None:
    _annotate(lake, 12)
    _decide(api)
    (idle,) = _runs(api, "train_candidate")
    api.set_flow_run_state(idle.id, Completed(), force=True)
    _decide(api)
    keys = [one.training.run_key for one in past_trainings(lake, "replies", datetime.now(UTC))]
    assert keys == [idle.idempotency_key, f"{idle.idempotency_key}-1"]
    assert {run.idempotency_key for run in _runs(api, "train_candidate")} == set(keys)


@flow(name="train_candidate")
def begin_training(model: str, started_by: str) -> bool:
    """The first steps of train_candidate, without the rest of it."""
    return admit_training(plan_candidate(model, started_by, None))


def test_the_run_that_was_set_off_knows_its_place_in_the_ledger_by_its_key(api: SyncPrefectClient, lake: Lake) -> None:
    newest = _annotate(lake, 12)
    _decide(api)
    (run,) = _runs(api, "train_candidate")
    assert _execute(api, begin_training, run.id).name == "Completed"
    (past,) = past_trainings(lake, "replies", datetime.now(UTC))
    assert past.beginning is not None
    assert (past.beginning.run, past.beginning.data_version, past.told) == (str(run.id), newest.version, "is running")
    assert len(newest_decisions(lake, "replies", 9)) == 1


def test_an_automations_run_that_the_ledger_did_not_set_off_is_stopped_by_it(api: SyncPrefectClient, lake: Lake) -> None:
    run = run_deployment(
        "train_candidate/default", parameters={"model": "replies", "started_by": "automation:schedule"}, timeout=0, as_subflow=False
    )
    _annotate(lake, 2)
    assert _execute(api, begin_training, run.id).name == "Completed"  # type: ignore[union-attr]
    assert past_trainings(lake, "replies", datetime.now(UTC)) == ()
    assert newest_decisions(lake, "replies", 9)[0].reason == (
        "did not train: 2 of 4 new rows since version 0; 0 of 2 labels with at least 5 new rows"
    )
