"""A process that is killed before a call to AWS that changes something."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from target_kills import Killed

from deployments.sagemaker_clients import Clients

LOOKS = ("Describe", "List", "Get", "Head", "Invoke")


@contextmanager
def killed_before(clients: Clients, moment: int) -> Iterator[None]:
    """Raises Killed before the call of these clients that is the moment-th to change something, and before all after it."""
    left = [moment]

    def die(model: Any, **_: object) -> None:
        if not model.name.startswith(LOOKS):
            left[0] -= 1
            if left[0] < 0:
                raise Killed

    with ExitStack() as stack:
        for events in (client.meta.events for client in vars(clients).values()):
            events.register("before-call", die)
            stack.callback(events.unregister, "before-call", die)
        yield
