"""Kills between any two changes of the world: what stands for kill -9, when it comes, and the target and the lake that it comes to."""

from collections.abc import Callable
from typing import Any

CHANGES = ("deploy", "set_split", "promote", "rollback", "delete", "put_if_absent", "compare_and_swap")


class Killed(BaseException):
    """Stands for kill -9."""


class Kills:
    """When the next kill comes, counted in moments: one lies before each change, and one after it. At first none comes."""

    def __init__(self) -> None:
        self._left: int | None = None

    def after(self, moments: int) -> None:
        """Kill at the moment that follows so many others, and at each one from then on."""
        self._left = moments

    def never(self) -> None:
        """No kill comes any more."""
        self._left = None

    def moment(self) -> None:
        """Killed, if the time has come."""
        if self._left == 0:
            raise Killed
        if self._left is not None:
            self._left -= 1


class Interrupted:
    """The target or the lake, with a moment for a kill before and after each change; `refuse` is asked before one, and may raise."""

    def __init__(self, inner: Any, kills: Kills, refuse: Callable[[str], None] = lambda change: None) -> None:
        self._inner, self._kills, self._refuse = inner, kills, refuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in CHANGES:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._kills.moment()
            self._refuse(name)
            done = found(*args, **kwargs)
            self._kills.moment()
            return done

        return call
