"""One question to an endpoint over HTTP."""

from collections.abc import Mapping
from typing import Any, cast

import httpx

from headgate.errors import BadInput, Unavailable


def ask(
    http: httpx.Client,
    endpoint: str,
    url: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """The endpoint's answer as JSON, in timeout_s or the client's own time; Unavailable or BadInput tells what it was instead."""
    patience = httpx.USE_CLIENT_DEFAULT if timeout_s is None else timeout_s
    try:
        answer = http.request(method, url, json=body, headers={"Accept": "application/json", **(headers or {})}, timeout=patience)
        if answer.is_success:
            return cast(dict[str, Any], answer.json())
    except (httpx.HTTPError, ValueError) as fault:
        raise Unavailable(f"endpoint {endpoint} did not answer: {fault}") from fault
    told = f"endpoint {endpoint} answered {answer.status_code}: {answer.text[:2000]}"
    raise Unavailable(told) if answer.is_server_error else BadInput(told)
