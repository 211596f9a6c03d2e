"""Big frozen sets through endpoints: threads or a Dask cluster, a progress artifact, and chunks that outlive a killed run."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from uuid import UUID

import pandas as pd
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from deployments.target import Cohort, Target
from headgate.data.version import DataVersion
from headgate.errors import Stale, Unavailable
from headgate.evaluation.asking import Endpoint
from headgate.evaluation.chunks import Tally, score_in_chunks
from headgate.settings import Scoring, load_settings

LOG_EVERY_S = 30.0
CONNECT_S = 30


def score_cohorts(
    target: Target, endpoint: str, cohorts: Mapping[Cohort, str | None], rows: pd.DataFrame, data: DataVersion, folder: Path
) -> dict[Cohort, pd.DataFrame]:
    """What each cohort of an endpoint predicts for the rows of a frozen set; finished chunks are kept under `folder`.

    `cohorts` tells for each the digest of the bundle that must answer; None: of what is deployed there now.
    Raises Stale if another bundle answers in the middle, Unavailable if the endpoint or the Dask cluster does not answer.
    """
    settings = load_settings().scoring
    endpoints: dict[str, Endpoint] = {cohort: served(target, endpoint, cohort, digest, settings) for cohort, digest in cohorts.items()}
    show = shown(f"{data.dataset} through {endpoint} ({' and '.join(cohorts)})", f"scoring-{endpoint}")
    with scoring_executor(settings) as executor:
        found = score_in_chunks(endpoints, rows, data.digest, folder, executor, settings.chunk_rows, settings.chunks_at_once, progress=show)
    return {cohort: found[cohort] for cohort in cohorts}


def served(target: Target, endpoint: str, cohort: Cohort, digest: str | None, settings: Scoring) -> Endpoint:
    """Where a cohort is asked and which bundle must answer; Stale if nothing is deployed there."""
    status = target.status(endpoint)
    revision = status.champion if cohort == "champion" else status.challenger
    if status.url is None or revision is None:
        raise Stale(f"endpoint {endpoint}: expected a {cohort} to score rows, found none ({status.detail}); deploy it and start again")
    return Endpoint(
        url=status.url,
        bundle_digest=digest or revision.bundle_digest,
        cohort=cohort,
        request_rows=settings.request_rows,
        requests_at_once=settings.requests_at_once,
    )


@contextmanager
def scoring_executor(settings: Scoring) -> Iterator[Executor]:
    """What chunks are scored on: threads of this process, or the workers of the Dask cluster that the settings name.

    The cluster's workers need this package installed and reach the endpoint by its URL; a chunk whose worker dies is scored by another.
    Raises Unavailable if the cluster cannot be reached, has no worker, or is lost.
    """
    if settings.dask_address:
        with _dask_executor(settings.dask_address) as executor:
            yield executor
    else:
        with ThreadPoolExecutor(settings.chunks_at_once) as pool:
            yield pool


@contextmanager
def _dask_executor(address: str) -> Iterator[Executor]:
    from distributed import KilledWorker  # takes a second, and few installations need it
    from prefect_dask.task_runners import DaskTaskRunner

    with DaskTaskRunner(address=address, client_kwargs={"timeout": CONNECT_S}) as runner:
        try:
            client = runner.client
            client.wait_for_workers(1, timeout=CONNECT_S)
        except OSError as fault:
            told = f"expected a Dask scheduler with workers at {address}, found none within {CONNECT_S} s ({fault})"
            raise Unavailable(f"{told}; start one, or empty scoring.dask_address to score in threads") from fault
        try:
            yield client.get_executor(pure=False)
        except (KilledWorker, CancelledError) as fault:
            told = f"the Dask cluster at {address} lost chunks or itself: {type(fault).__name__}: {fault}"
            raise Unavailable(f"{told}; finished chunks are kept, so that trying again goes on there") from fault


def shown(what: str, key: str) -> Callable[[Tally], None]:
    """Shows progress in the Prefect UI after each chunk, and in the log from time to time."""
    artifact = cast(UUID, create_progress_artifact(0.0, key=key, description=what))
    logger, began, logged = get_run_logger(), time.monotonic(), [float("-inf")]

    def show(tally: Tally) -> None:
        now = time.monotonic()
        told = describe(what, tally, now - began)
        update_progress_artifact(artifact, 100.0 * tally.done / max(1, tally.total), description=told)
        if tally.done == tally.total or now - logged[0] >= LOG_EVERY_S:
            logged[0] = now
            logger.info(told)

    return show


def describe(what: str, tally: Tally, elapsed_s: float) -> str:
    """Rows done, rate and time left, for a reader; the rate is of the rows scored since this run began."""
    told = f"{what}: {tally.done:,} of {tally.total:,} rows"
    if tally.kept:
        told += f", {tally.kept:,} of them before this run"
    new = tally.done - tally.kept
    if not new or elapsed_s <= 0:
        return told
    rate = new / elapsed_s
    told += f"; {rate:,.0f} rows/s"
    left_s = (tally.total - tally.done) / rate
    return told if not left_s else f"{told}, about {_duration(left_s)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
