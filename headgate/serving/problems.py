"""Answers to bad requests: RFC 9457 problem bodies that say what was expected and what was found."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import orjson

MAX_ERRORS = 20
MAX_FOUND = 60
PROBLEM_TYPE = b"application/problem+json"

Faults = list[tuple[str, str]]


class Problem(Exception):
    """A request that cannot be answered; errors are (JSON pointer, what is wrong there)."""

    def __init__(self, status: int, detail: str, errors: Sequence[tuple[str, str]] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors, headers or {}

    def body(self) -> bytes:
        """The problem as application/problem+json."""
        told: dict[str, object] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            told["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in self.errors[:MAX_ERRORS]]
        return orjson.dumps(told)


def raise_faults(faults: Faults) -> None:
    """Problem 422 that names every fault, if there is any."""
    if faults:
        raise Problem(422, f"{len(faults)} fault(s) in the request, the first at {faults[0][0]}: {faults[0][1]}", faults)


def found(value: object) -> str:
    """A short description of a JSON value that was not expected."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the string {value[:MAX_FOUND]!r}"
    if isinstance(value, int | float):
        return f"the number {str(value)[:MAX_FOUND]}"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    return "an object"


def pointer(at: str, name: str) -> str:
    """The JSON pointer of a field below another pointer."""
    return f"{at}/{name[:80].replace('~', '~0').replace('/', '~1')}"
