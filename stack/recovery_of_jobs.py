"""Starts flow runs again whose Kubernetes Job is gone: what stack/recovery.py does for processes, for the work pools of a cluster.

The worker's observer marks a run Crashed when its Job failed, and misses a Job that is removed while the worker itself is away; that run
stays Running. It starts none again, and Kubernetes is told not to (backoffLimit 0): it does not know how often a run was started.
"""

import argparse
import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import kubernetes
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import AwaitingRetry

from headgate.release.training_ledger import MOST_STARTS
from stack.recovery import lost, open_or_crashed

PAUSE_S = 10.0
NEVER_BEGAN = timedelta(minutes=5)  # a Job that the cluster refuses does not count as a start: it is not asked for again at once
LABEL = "prefect.io/flow-run-id"
TIMEOUT_S = (5, 30)
log = logging.getLogger("headgate.recovery")
Alive = Callable[[], frozenset[str]]


def unfinished(jobs: Iterable[Any]) -> frozenset[str]:
    """Ids of the flow runs that have a Job which is neither complete nor failed."""
    return frozenset(job.metadata.labels[LABEL] for job in jobs if not _ended(job))


def _ended(job: Any) -> bool:
    conditions = job.status.conditions or () if job.status else ()
    return any(one.type in ("Complete", "Failed") and one.status == "True" for one in conditions)


def due(run: FlowRun, alive: bool, now: datetime) -> bool:
    """Whether a run is lost and may be started again now."""
    if not lost(run, alive, now) or run.run_count >= MOST_STARTS or run.state is None:
        return False
    return run.run_count > 0 or now - run.state.timestamp > NEVER_BEGAN


def recover(client: SyncPrefectClient, alive: Alive) -> list[str]:
    """Start every lost run again once; says what it did. Runs are read before Jobs: a run that is there had its Job before."""
    runs = open_or_crashed(client)
    living = alive()
    found = [run for run in runs if due(run, str(run.id) in living, datetime.now(UTC))]
    return [_start_again(client, run) for run in found if _is_still(client, run)]


def _start_again(client: SyncPrefectClient, run: FlowRun) -> str:
    client.set_flow_run_state(run.id, AwaitingRetry(message="its Job was lost"), force=True)
    return f"flow run {run.name} ({run.id}) lost its Job in start {run.run_count}; it starts again"


def _is_still(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether the run did not end while its Job was looked for."""
    now = client.read_flow_run(run.id)
    return now.state is not None and run.state is not None and now.state.id == run.state.id


def jobs_of(namespace: str) -> Alive:
    """Asks the cluster, by the pod's own account or the kubeconfig."""
    try:
        kubernetes.config.load_incluster_config()
    except kubernetes.config.ConfigException:
        kubernetes.config.load_kube_config()
    api = kubernetes.client.BatchV1Api()
    return lambda: unfinished(api.list_namespaced_job(namespace, label_selector=LABEL, _request_timeout=TIMEOUT_S).items)


def main() -> None:
    """Look every few seconds until stopped."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--namespace", required=True, help="where the Jobs are")
    namespace = arguments.parse_args().namespace
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    alive = jobs_of(namespace)
    with get_client(sync_client=True) as client:
        while True:
            try:
                for line in recover(client, alive):
                    log.info(line)
            except Exception as fault:
                log.warning("could not look: %s", fault)
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
