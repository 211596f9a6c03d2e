"""Files that arrive, on a real Prefect server: each way in, the event, its automation, and the ingest that it starts.

The watcher and the gateway are real processes. No worker runs here: the tests do what it does.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL
from prefect.states import Pending, State

from flows.bridge import bridge_landing
from flows.ingest import ingest_annotations
from headgate.data.landing import land
from headgate.data.table import DatasetTable
from headgate.lake import Lake, open_lake
from headgate.settings import load_settings
from tasks.announcing import announce_arrival

CHECKOUT = Path(__file__).parents[2]
INGEST = "flows.ingest.ingest_annotations"
WAIT_S = 180
# Each test tells of data sets of its own: an arrival soon after one of the same data set starts no run, by design.
DATASETS = ("replies", "calls", "dropped", "dropped-late", "posted", "queued")
TOKEN = "t" * 32
SETTINGS = """
home = "home"
lake = "{lake}"
[arrivals]
settle_s = 0.3
look_every_s = 0.3
{arrivals}
""" + "".join(f'[models.{name}]\ndataset = "{name}"\nlabels = ["positive", "other"]\n' for name in DATASETS)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncPrefectClient]:
    """A server with the ingest of prefect.yaml and its automation, and nothing else of it."""
    plan = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())
    plan["deployments"] = [one for one in plan["deployments"] if (one["name"], one["entrypoint"]) == ("default", INGEST)]
    file = tmp_path_factory.mktemp("deploy") / "prefect.yaml"
    file.write_text(yaml.safe_dump(plan))
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="headgate", type="process"))
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        done = subprocess.run(command, env=_environ() | {"HEADGATE_CHECKOUT": str(CHECKOUT)}, capture_output=True, text=True, cwd=CHECKOUT)
        assert done.returncode == 0, done.stdout + done.stderr
        yield client
        client.delete_deployment(client.read_deployment_by_name("ingest_annotations/default").id)
        client.delete_work_pool("headgate")


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: SyncPrefectClient) -> Iterator[Lake]:
    for run in _runs(api):
        api.delete_flow_run(run.id)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    _settings("lake")
    yield open_lake("lake")
    load_settings.cache_clear()


def _settings(lake: str, arrivals: str = "") -> None:
    Path("headgate.toml").write_text(SETTINGS.format(lake=lake, arrivals=arrivals))
    load_settings.cache_clear()


def _environ() -> dict[str, str]:
    return os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONPATH": str(CHECKOUT)}


def _row(text: str, label: str = "positive") -> str:
    return json.dumps({"text": text, "label": label}) + "\n"


def _land(lake: Lake, name: str, dataset: str = "replies") -> str:
    Path(name).write_text(_row(name))
    return land(lake, dataset, Path(name))


def _runs(api: SyncPrefectClient) -> list[FlowRun]:
    return [
        run for run in api.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=["ingest_annotations"]))) if run.deployment_id
    ]


def _until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (found := look()):
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.1)
    return found


def _execute(api: SyncPrefectClient, run: FlowRun) -> State[Any]:
    """Take the run and run it, as a worker does when its time has come."""
    api.set_flow_run_state(run.id, Pending(), force=True)
    taken = api.read_flow_run(run.id)
    run_flow(ingest_annotations, flow_run=taken, return_type="state", parameters=dict(taken.parameters))
    state = api.read_flow_run(run.id).state
    assert state is not None
    return state


def _rows_of(lake: Lake, dataset: str = "replies") -> int | None:
    newest = DatasetTable(lake, dataset).latest()
    return newest.rows if newest else None


def _artifacts(api: SyncPrefectClient) -> int:
    return len(api.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["ingest-replies"]))))


@contextmanager
def _program(*arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, env=_environ() | environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_burst_of_arrivals_becomes_one_ingest_of_everything_for_each_data_set(api: SyncPrefectClient, lake: Lake) -> None:
    begun = datetime.now(UTC)
    for number in range(6):
        announce_arrival("replies", [lake.join(_land(lake, f"{number}.jsonl"))])
    announce_arrival("calls", [lake.join(_land(lake, "call.jsonl", "calls"))])
    runs = _until(lambda: found if len(found := _runs(api)) == 2 else None)
    assert sorted(run.parameters["dataset"] for run in runs) == ["calls", "replies"]
    late = _land(lake, "late.jsonl")  # after the run was made, before it begins
    announce_arrival("replies", [lake.join(late)])
    for run in runs:
        assert run.expected_start_time is not None
        assert run.expected_start_time - begun >= timedelta(seconds=12), "it begins after the events that it stands for"
        assert _execute(api, run).name == "Completed"
    assert (_rows_of(lake), _rows_of(lake, "calls")) == (7, 1)
    assert len(_runs(api)) == 2


def test_an_ingest_with_nothing_to_do_says_so_and_leaves_no_artifact(api: SyncPrefectClient, lake: Lake) -> None:
    _land(lake, "a.jsonl")
    assert list(ingest_annotations(model="replies")) == ["replies"]
    before = _artifacts(api)
    assert ingest_annotations() == {}
    assert _artifacts(api) == before
    _land(lake, "b.jsonl")
    _land(lake, "c.jsonl", "calls")
    assert sorted(ingest_annotations()) == ["calls", "replies"], "the catch-up takes in all data sets"


def test_an_arrival_in_a_data_set_of_no_model_fails_with_the_names_of_those_there_are(api: SyncPrefectClient, lake: Lake) -> None:
    announce_arrival("reples", ["x"])
    (run,) = _until(lambda: _runs(api))
    state = _execute(api, run)
    assert state.name == "Failed"
    assert "data set 'reples': expected one that a model of headgate.toml reads" in str(state.message)
    assert ", ".join(sorted(DATASETS)) + "), found none that does" in str(state.message)


def test_a_file_dropped_into_the_folder_is_ingested_also_if_the_watcher_was_killed_meanwhile(api: SyncPrefectClient, lake: Lake) -> None:
    landing = Path("lake/landing")
    for dataset in ("dropped", "dropped-late"):
        (landing / dataset).mkdir(parents=True)
    with _program("stack.landing_watcher") as first:
        (landing / "dropped/a.jsonl.part").write_text(_row("yes"))
        (landing / "dropped/a.jsonl.part").rename(landing / "dropped/a.jsonl")
        (run,) = _until(lambda: _runs(api))
        first.send_signal(signal.SIGKILL)
    assert run.parameters == {"dataset": "dropped"}
    assert _execute(api, run).name == "Completed"
    (landing / "dropped-late/b.jsonl").write_text(_row("no", "other"))
    with _program("stack.landing_watcher"):
        (again,) = _until(lambda: [one for one in _runs(api) if one.id != run.id])
    assert again.parameters == {"dataset": "dropped-late"}, "what was ingested is not told again"
    assert _execute(api, again).name == "Completed"
    assert (_rows_of(lake, "dropped"), _rows_of(lake, "dropped-late")) == (1, 1)


def test_an_annotation_posted_to_the_gateway_is_ingested(api: SyncPrefectClient, lake: Lake) -> None:
    with _program("headgate", "gateway", "--port", "0", HEADGATE_WEBHOOK_SECRETS=TOKEN) as gateway:
        assert gateway.stdout is not None
        url = gateway.stdout.readline().rpartition(" ")[2].strip()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        answer = httpx.post(f"{url}/landing/posted/jsonl", content=_row("call me"), headers=headers, trust_env=False)
        assert (answer.status_code, answer.json()["rows"]) == (200, 1), answer.text
        (run,) = _until(lambda: _runs(api))
    assert run.parameters == {"dataset": "posted"}
    assert _execute(api, run).name == "Completed"
    assert _rows_of(lake, "posted") == 1


MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, lake: Lake) -> Iterator[Lake]:
    """A lake on S3 whose bucket notifies a queue, named in headgate.toml."""
    with subprocess.Popen([sys.executable, "-c", MOTO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as moto:
        assert moto.stdout is not None
        for name, value in {
            "AWS_ENDPOINT_URL": moto.stdout.readline().strip(),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="annotations")
        url = boto3.client("sqs").create_queue(QueueName="landing")["QueueUrl"]
        arn = "arn:aws:sqs:us-east-1:123456789012:landing"
        wanted: Any = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
        boto3.client("s3").put_bucket_notification_configuration(Bucket="annotations", NotificationConfiguration=wanted)
        _settings("s3://annotations/lake", f'queue_url = "{url}"')
        yield open_lake("s3://annotations/lake")
        moto.kill()


def test_a_file_put_into_the_bucket_is_ingested_by_way_of_the_queue(api: SyncPrefectClient, bucket: Lake) -> None:
    bucket.put_if_absent("landing/queued/week 1.jsonl", _row("yes").encode())
    assert bridge_landing(listen_s=2) == {"queued": 1}
    (run,) = _until(lambda: _runs(api))
    assert _execute(api, run).name == "Completed"
    assert _rows_of(bucket, "queued") == 1
    assert bridge_landing(listen_s=1) == {}
