"""Events of ours to the Prefect server, each confirmed: where none is, the caller hears it and can keep what it was about."""

from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import httpx
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from headgate.errors import Unavailable

MOST_URIS = 100
TIMEOUT_S = 10.0


def announce_arrival(dataset: str, uris: Sequence[str]) -> None:
    """Emit `headgate.landing.arrived`; Unavailable if the server did not take it. Repeating it costs an ingest that finds nothing."""
    payload = {"dataset": dataset, "uris": list(uris[:MOST_URIS]), "count": len(uris)}
    emit_confirmed("headgate.landing.arrived", f"headgate.dataset.{dataset}", payload)


def emit_confirmed(event: str, resource: str, payload: dict[str, Any], key: str | None = None) -> None:
    """Emit an event and wait until the server has it; Unavailable says that it has not, or may not have.

    key: what makes it the same event if it is sent again, which the server then takes once.
    """
    if not PREFECT_API_URL.value():
        raise Unavailable(f"{event}: expected the address of a Prefect server in PREFECT_API_URL, found none")
    told: dict[str, Any] = {"event": event, "resource": {"prefect.resource.id": resource}, "payload": payload}
    made = Event(**told, **({"id": uuid5(NAMESPACE_URL, f"{event}/{key}")} if key else {}))
    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(sync_client=True, httpx_settings={"timeout": TIMEOUT_S}) as api,
        ):
            api.request("POST", "/events", json=[made.model_dump(mode="json")])
    except (httpx.HTTPError, OSError, RuntimeError) as fault:
        raise Unavailable(f"{event} of {resource}: the Prefect server at {PREFECT_API_URL.value()} did not take it: {fault!r}") from fault
