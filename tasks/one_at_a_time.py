"""One rollout or shadow of an endpoint at a time: a concurrency limit of Prefect for each endpoint. A rollback does not wait for it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

LEASE_S = 60  # the shortest that Prefect takes: what a run held that was killed is free after it, and after the server's next look


@contextmanager
def alone_at(endpoint: str) -> Iterator[None]:
    """Wait until no other run has the endpoint, and keep the others waiting until the block ends."""
    name = f"endpoint-{endpoint}"
    if _taken(name) and flow_run.id:
        get_run_logger().info("endpoint %s is held by another run, or was by one that was killed; waiting for it", endpoint)
    with concurrency(name, occupy=1, lease_duration=LEASE_S):
        yield


def _taken(name: str) -> bool:
    """Whether somebody holds the limit now; it is made where it is missing, since Prefect lets everybody pass one that is not there."""
    with get_client(sync_client=True) as api:
        try:
            return api.read_global_concurrency_limit_by_name(name).active_slots > 0
        except ObjectNotFound:
            with suppress(ObjectAlreadyExists):
                api.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
            return False
