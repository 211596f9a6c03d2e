"""Chunks on a real Dask cluster: a scheduler and two workers in processes of their own, over a real serving process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from distributed import Client
from running_server import serving

from headgate.errors import Unavailable
from headgate.evaluation.asking import Endpoint
from headgate.evaluation.chunks import Tally, score_in_chunks
from headgate.model.bundle import open_bundle
from headgate.model.runtime import Runtime
from headgate.settings import Scoring
from tasks import scoring_chunks
from tasks.scoring_chunks import scoring_executor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
ROWS = pd.DataFrame({"id": [f"{n:04d}" for n in range(600)], "text": [f"yes call me at {n}" for n in range(600)], "label": "positive"})
START_S = 60


@dataclass(frozen=True)
class Cluster:
    """A scheduler's address and its two workers."""

    address: str
    workers: list[subprocess.Popen[bytes]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as ended:
        told = tmp_path / "scheduler.json"
        ended.enter_context(process("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(told)))
        worker = (
            "worker",
            "--scheduler-file",
            str(told),
            "--no-nanny",
            "--nthreads",
            "2",
            "--no-dashboard",
            "--local-directory",
            str(tmp_path),
        )
        workers = [ended.enter_context(process(*worker)) for _ in range(2)]
        deadline = time.monotonic() + START_S
        while not told.is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        client = ended.enter_context(Client(scheduler_file=str(told), timeout=START_S))
        client.wait_for_workers(2, timeout=START_S)
        yield Cluster(client.scheduler.address, workers)


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-m", "dask", *arguments], stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2]) as running:
        try:
            yield running
        finally:
            running.kill()


def score(url: str, bundle: Path, folder: Path, address: str, **options: Any) -> pd.DataFrame:
    settings = Scoring(dask_address=address, chunks_at_once=4)
    with scoring_executor(settings) as executor:
        where = {"challenger": Endpoint(url, open_bundle(bundle).digest, "challenger", request_rows=8)}
        return score_in_chunks(where, ROWS, "d1", folder, executor, 20, settings.chunks_at_once, **options)["challenger"]


def in_process(bundle: Path) -> list[Any]:
    return Runtime.load(bundle).predict(ROWS["text"].tolist()).tolist()


def test_one_setting_moves_the_chunks_to_the_workers_of_a_dask_cluster(cluster: Cluster, bundle: Path, tmp_path: Path) -> None:
    with serving(bundle) as url, Client(cluster.address) as watcher:
        watcher.get_task_stream()
        found = score(url, bundle, tmp_path / "chunks", cluster.address)
        ran_on = [task["worker"] for task in watcher.get_task_stream()]
    assert found["predicted"].tolist() == in_process(bundle)
    assert found["prediction_id"].is_unique
    assert len(ran_on) == 30
    assert len(set(ran_on)) == 2
    assert len(list((tmp_path / "chunks").rglob("*.parquet"))) == 30


def test_chunks_of_a_worker_that_is_killed_are_scored_by_the_other(cluster: Cluster, bundle: Path, tmp_path: Path) -> None:
    def kill_one(tally: Tally) -> None:
        if tally.done == 200:
            os.kill(cluster.workers[0].pid, signal.SIGKILL)

    with serving(bundle) as url:
        found = score(url, bundle, tmp_path / "chunks", cluster.address, progress=kill_one)
    assert cluster.workers[0].wait(10) == -signal.SIGKILL
    assert cluster.workers[1].poll() is None
    assert found["predicted"].tolist() == in_process(bundle)


def test_what_was_scored_before_all_workers_died_is_there_when_the_run_goes_on_in_threads(
    cluster: Cluster, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Tally] = []

    def stop(tally: Tally) -> None:
        if tally.done == 200:
            raise KeyboardInterrupt

    with serving(bundle) as url:
        with pytest.raises(KeyboardInterrupt):
            score(url, bundle, tmp_path / "chunks", cluster.address, progress=stop)
        for worker in cluster.workers:
            worker.kill()
            worker.wait()
        monkeypatch.setattr(scoring_chunks, "CONNECT_S", 1)
        with pytest.raises(
            Unavailable, match=r"^expected a Dask scheduler with workers at tcp://127\.0\.0\.1:\d+, found none within 1 s \("
        ):
            score(url, bundle, tmp_path / "chunks", cluster.address)
        found = score(url, bundle, tmp_path / "chunks", "", progress=told.append)
    assert told[0] == Tally(200, 600, 200)
    assert found["predicted"].tolist() == in_process(bundle)


def test_a_cluster_that_is_not_there_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_chunks, "CONNECT_S", 1)
    with pytest.raises(Unavailable) as told, scoring_executor(Scoring(dask_address="tcp://127.0.0.1:9")):
        pytest.fail("there is no scheduler")
    assert str(told.value).startswith("expected a Dask scheduler with workers at tcp://127.0.0.1:9, found none within 1 s (")
    assert str(told.value).endswith("start one, or empty scoring.dask_address to score in threads")
