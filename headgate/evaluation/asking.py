"""Rows posted to a served endpoint: several requests at once, patience with one that is busy, and only the expected bundle's answers.

Everything here can be pickled, so that a chunk of rows may be scored in another process or on another machine.
"""

import http.client
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from headgate.errors import BadInput, Stale, Unavailable
from headgate.evaluation.scoring import Prediction, read_predictions

MOST_BYTES = 2**20  # of a request's body, a fifth of what a server takes
ANSWER_S = 90.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where rows are scored, by which cohort, and the bundle whose answers count.

    request_rows: rows of one request. requests_at_once: requests under way of one chunk. patience_s: how long a request is repeated that
    was not answered, or with 429 or 5xx.
    """

    url: str
    bundle_digest: str
    cohort: str | None = None
    request_rows: int = 32
    requests_at_once: int = 4
    patience_s: float = 60.0

    def __str__(self) -> str:
        return f"{self.url} ({self.cohort})" if self.cohort else self.url


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows for one endpoint, as they are posted: {text, headers}."""

    endpoint: Endpoint
    instances: tuple[Mapping[str, Any], ...]


def score_chunk(chunk: Chunk) -> list[Prediction]:
    """What the endpoint predicts for a chunk's rows, in their order, with its cache off.

    Raises Stale if another bundle answers, BadInput if the endpoint refuses a request, Unavailable if it does not answer in time.
    """
    with ThreadPoolExecutor(chunk.endpoint.requests_at_once) as pool:
        asked = [pool.submit(ask, chunk.endpoint, body, rows) for body, rows in bodies(chunk.instances, chunk.endpoint.request_rows)]
        try:
            return [prediction for answer in asked for prediction in answer.result()]
        finally:
            for answer in asked:
                answer.cancel()


def bodies(instances: Sequence[Mapping[str, Any]], most_rows: int) -> Iterator[tuple[bytes, int]]:
    """Request bodies and the rows in each: at most `most_rows` rows and, unless one row has more, MOST_BYTES bytes."""
    parts: list[bytes] = []
    size = 0
    for part in map(orjson.dumps, instances):
        if parts and (len(parts) == most_rows or size + len(part) > MOST_BYTES):
            yield _body(parts), len(parts)
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    if parts:
        yield _body(parts), len(parts)


def _body(parts: Sequence[bytes]) -> bytes:
    return b'{"instances":[' + b",".join(parts) + b"]}"


def ask(endpoint: Endpoint, body: bytes, rows: int) -> list[Prediction]:
    """The predictions for one request body; errors as `score_chunk`."""
    try:
        answer = orjson.loads(_posted(endpoint, body))
    except orjson.JSONDecodeError as fault:
        raise BadInput(f"{endpoint}: expected JSON from the endpoint, found something else ({fault}); is the URL right?") from None
    model = answer.get("model") if isinstance(answer, dict) else None
    found = model.get("bundle_digest") if isinstance(model, dict) else None
    if found != endpoint.bundle_digest:
        told = f"{endpoint}: expected answers of bundle {endpoint.bundle_digest[:12]}, found {str(found)[:12]}"
        raise Stale(f"{told}; another bundle was deployed meanwhile: no answers were mixed, start the test again")
    return read_predictions(answer, rows)


def _posted(endpoint: Endpoint, body: bytes) -> bytes:
    """The content of a good answer."""
    pause_s, deadline = FIRST_PAUSE_S, time.monotonic() + endpoint.patience_s
    while True:
        status, content = _tried(endpoint, body)
        if status == 200:
            return content
        told = f"{endpoint} answered {status}: {content[:500].decode(errors='replace')}" if status else f"{endpoint}: {content.decode()}"
        if status and status != 429 and status < 500:
            raise BadInput(f"{told}; a request of {len(body)} bytes was refused")
        if time.monotonic() + pause_s > deadline:
            hint = "; too many rows at once? lower scoring.requests_at_once or scoring.chunks_at_once" if status in (429, 504) else ""
            raise Unavailable(f"no good answer within {endpoint.patience_s:g} s: {told}{hint}")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _tried(endpoint: Endpoint, body: bytes) -> tuple[int, bytes]:
    """Status and content; 0 and the reason where there was no answer.

    Each request has a connection of its own, since the kernel chooses a server's worker by connection: kept ones may all be one worker's.
    """
    url = urlsplit(endpoint.url)
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connect(url.netloc, timeout=ANSWER_S)
    headers = {"Content-Type": "application/json", "X-Headgate-Cache": "off", "Connection": "close"}
    if endpoint.cohort:
        headers["X-Headgate-Cohort"] = endpoint.cohort
    try:
        connection.request("POST", f"{url.path.rstrip('/')}/invocations", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as fault:
        return 0, f"no answer: {type(fault).__name__}: {fault}".encode()
    finally:
        connection.close()
