"""Answers to bad requests: RFC 9457 problem bodies that say what was expected and what was found."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import orjson
from starlette.responses import Response

MAX_ERRORS = 20
MAX_FOUND = 60


class Problem(Exception):
    """A request that cannot be answered; errors are (JSON pointer, what is wrong there)."""

    def __init__(self, status: int, detail: str, errors: Sequence[tuple[str, str]] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors, headers


def problem_response(problem: Problem) -> Response:
    """The problem as application/problem+json."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.errors:
        body["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in problem.errors[:MAX_ERRORS]]
    return Response(orjson.dumps(body), problem.status, problem.headers, media_type="application/problem+json")


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
