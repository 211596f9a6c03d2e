"""A process that is killed at a call to AWS that changes something."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from target_kills import Killed

from deployments.sagemaker_clients import Clients

LOOKS = ("Describe", "List", "Get", "Head", "Invoke")
Heard = Callable[[str], None]


@contextmanager
def changes_heard(clients: Clients, before: Heard, after: Heard) -> Iterator[None]:
    """Tell before and after each call of these clients that changes something, with the operation's name."""

    def heard(hear: Heard) -> Callable[..., None]:
        def told(model: Any, **_: object) -> None:
            if not model.name.startswith(LOOKS):
                hear(model.name)

        return told

    with ExitStack() as stack:
        for event, told in (("before-call", heard(before)), ("after-call", heard(after))):
            for events in (client.meta.events for client in vars(clients).values()):
                events.register(event, told)
                stack.callback(events.unregister, event, told)
        yield


@contextmanager
def killed_before(clients: Clients, moment: int) -> Iterator[None]:
    """Raises Killed before the call of these clients that is the moment-th to change something, and before all after it."""
    left = [moment]

    def die(_: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    with changes_heard(clients, die, lambda _: None):
        yield
