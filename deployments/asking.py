"""One question to an endpoint over HTTP."""

from collections.abc import Mapping
from typing import Any, cast

import httpx

from headgate.errors import BadInput, Unavailable


def ask(
    http: httpx.Client, endpoint: str, url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: Any = None
) -> dict[str, Any]:
    """The endpoint's answer as JSON; Unavailable or BadInput tells what it was instead."""
    try:
        answer = http.request(method, url, json=body, headers=headers)
        if answer.is_success:
            return cast(dict[str, Any], answer.json())
    except (httpx.HTTPError, ValueError) as fault:
        raise Unavailable(f"endpoint {endpoint} did not answer: {fault}") from fault
    told = f"endpoint {endpoint} answered {answer.status_code}: {answer.text[:2000]}"
    raise Unavailable(told) if answer.is_server_error else BadInput(told)
