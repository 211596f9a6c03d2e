"""One change of an endpoint at a time, whichever runs want to make one: a concurrency limit of Prefect for each endpoint."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists

LEASE_S = 60  # the shortest that Prefect takes: for so long a run that was killed keeps the others, and its own next start, waiting


@contextmanager
def alone_at(endpoint: str) -> Iterator[None]:
    """Wait until no other run changes the endpoint, and keep the others waiting until the block ends."""
    name = f"endpoint-{endpoint}"
    with get_client(sync_client=True) as api, suppress(ObjectAlreadyExists):
        api.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
    with concurrency(name, occupy=1, lease_duration=LEASE_S):
        yield
