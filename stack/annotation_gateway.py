"""The server that Label Studio, Argilla and tools of one's own post annotations to: it lands them, and announces that.

It needs a secret, writes to the landing area and to nothing else, and answers 2xx only once the file is on disk. Where the announcement
fails, the file is found by the watcher or by the catch-up schedule.
"""

import json
import logging
import os
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from headgate.data.deliveries import Delivery, from_argilla, from_label_studio, from_rows, read_json
from headgate.data.delivery_secrets import Secret, SignedHeaders, Verdict, is_fresh, judge_signature, judge_token
from headgate.data.notifications import by_dataset, read_notification
from headgate.data.sharing import ingest_rules
from headgate.errors import BadInput, HeadgateError, Unavailable
from headgate.lake import FolderLake, Lake
from headgate.settings import Settings

log = logging.getLogger("headgate.gateway")
REASONS = 10
Announce = Callable[[str, Sequence[str]], None]
Endpoint = Callable[[Request], Awaitable[Response]]
TITLES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    503: "Service Unavailable",
}
JSON_TYPES = {"application/json"}
ROW_TYPES = JSON_TYPES | {"application/x-ndjson", "application/jsonl", "application/json-lines", "text/csv", "text/plain"}


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the server needs: where to land, who may post, whom to tell, and what time it is."""

    lake: Lake
    settings: Settings
    secrets: Sequence[Secret]
    announce: Announce
    clock: Callable[[], float] = time.time

    @property
    def datasets(self) -> set[str]:
        """The data sets that a model reads."""
        return {model.dataset for model in self.settings.models.values()}


def create_app(gateway: Gateway) -> Starlette:
    """The routes over one lake."""

    def landing(types: set[str], convert: Callable[[bytes, str], Delivery]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            dataset = request.path_params["dataset"]
            body = await _admitted(gateway, request, dataset, types)
            if dataset not in gateway.datasets:
                raise HTTPException(404, f"data set {dataset!r}: expected one of {', '.join(sorted(gateway.datasets))}")
            return await run_in_threadpool(_land, gateway, dataset, lambda: convert(body, dataset))

        return endpoint

    async def from_store(request: Request) -> Response:
        body = await _admitted(gateway, request, "", JSON_TYPES)
        return await run_in_threadpool(_pass_on, gateway, body)

    def rows(body: bytes, dataset: str) -> Delivery:
        return from_rows(body, ingest_rules(gateway.settings.models, dataset).labels)

    return Starlette(
        routes=[
            Route("/ping", _ping),
            Route("/landing/s3", from_store, methods=["POST"]),
            Route(
                "/landing/{dataset}/label-studio", landing(JSON_TYPES, lambda body, _: from_label_studio(read_json(body))), methods=["POST"]
            ),
            Route("/landing/{dataset}/argilla", landing(JSON_TYPES, lambda body, _: from_argilla(read_json(body))), methods=["POST"]),
            Route("/landing/{dataset}/jsonl", landing(ROW_TYPES, rows), methods=["POST"]),
        ],
        exception_handlers={HTTPException: _problem, Exception: _broken},
    )


async def _admitted(gateway: Gateway, request: Request, dataset: str, types: set[str]) -> bytes:
    """The body of a request that may come in; an HTTPException says why it may not. Headers first, then the body."""
    by_token = _by_token(gateway, request, dataset)
    signed = _signed_headers(gateway, request) if by_token is None else None
    if by_token is not None:
        _require(by_token, dataset)
    body = await _body(request, gateway.settings.gateway.max_body_bytes)
    if signed is not None:
        _require(judge_signature(gateway.secrets, dataset, signed, body), dataset)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in types or request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, f"expected Content-Type {' or '.join(sorted(types))} without Content-Encoding, found {kind or 'none'!r}")
    return body


def _by_token(gateway: Gateway, request: Request, dataset: str) -> Verdict | None:
    """The verdict over the request's token: a bearer token, or the password of basic authentication; None where there is none."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = b64decode(given.strip(), validate=True).decode().partition(":")[2]
        except (NotBase64, ValueError):
            given = ""
    if scheme.lower() not in ("bearer", "basic"):
        return None
    return judge_token(gateway.secrets, dataset, given.strip())


def _signed_headers(gateway: Gateway, request: Request) -> SignedHeaders:
    """The headers of a signed delivery that is fresh; 401 if they are not there or out of time."""
    found = [request.headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")]
    if not all(found):
        raise HTTPException(401, "expected Authorization: Bearer <token>, or the three headers of a signed webhook, found neither")
    window = gateway.settings.gateway.replay_window_s
    if not is_fresh(found[1], gateway.clock(), window):
        raise HTTPException(401, f"expected a webhook-timestamp within {window} s of now, found {found[1][:20]!r}; check both clocks")
    return SignedHeaders(*found)


def _require(verdict: Verdict, dataset: str) -> None:
    if verdict == "unknown":
        raise HTTPException(401, "the token or signature is not one of those that this server knows")
    if verdict == "elsewhere":
        raise HTTPException(
            403, f"the secret belongs to another data set than {dataset!r}" if dataset else "the secret is of one data set only"
        )


async def _body(request: Request, most: int) -> bytes:
    """The whole body, never more than so many bytes in memory."""
    told = request.headers.get("content-length", "")
    read = bytearray()
    if not (told.isdigit() and int(told) > most):
        async for chunk in request.stream():
            read += chunk
            if len(read) > most:
                break
        else:
            return bytes(read)
    raise HTTPException(413, f"expected at most {most} bytes, found more; post fewer rows at once, or land a file")


def _land(gateway: Gateway, dataset: str, convert: Callable[[], Delivery]) -> Response:
    """Write what the delivery brings, then answer; the announcement follows the answer."""
    try:
        delivery = convert()
    except BadInput as fault:
        raise HTTPException(422, str(fault)) from None
    if delivery.ignored:
        return JSONResponse({"landed": None, "rows": 0, "ignored": delivery.ignored})
    key = delivery.landing_key(dataset)
    try:
        new = gateway.lake.put_if_absent(key, delivery.data)
        _make_durable(gateway.lake, key)
    except (HeadgateError, OSError) as fault:
        log.error("%s: could not be written: %s", key, fault)
        raise HTTPException(503, "the delivery could not be written; send it again") from None
    told = BackgroundTask(_tell, gateway, dataset, gateway.lake.join(key))
    return JSONResponse({"landed": key, "rows": delivery.rows, "new": new}, background=told)


def _make_durable(lake: Lake, key: str) -> None:
    """The file itself is flushed when it is written; its name in the folder is flushed here. S3 needs neither."""
    if isinstance(lake, FolderLake):
        for folder in (lake.root / key).parents[:2]:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _tell(gateway: Gateway, dataset: str, uri: str) -> None:
    """Announce a landed file; where that fails, the watcher or the catch-up finds it."""
    try:
        gateway.announce(dataset, [uri])
    except HeadgateError as fault:
        log.warning("%s landed, but is left to the catch-up: %s", uri, fault)


def _pass_on(gateway: Gateway, body: bytes) -> Response:
    """Announce what an object store's notification says; nothing lands. The store sends it again where that fails."""
    try:
        notification = read_notification(body)
        found, others = by_dataset(notification.objects, gateway.lake.uri)
    except BadInput as fault:
        raise HTTPException(422, str(fault)) from None
    known = {dataset: uris for dataset, uris in found.items() if dataset in gateway.datasets}
    if unknown := sorted(found.keys() - known.keys()):
        log.warning("%s: expected data sets that a model of headgate.toml reads, found none that does", ", ".join(unknown))
    try:
        for dataset, uris in known.items():
            gateway.announce(dataset, uris)
    except Unavailable as fault:
        log.warning("a notification could not be announced: %s", fault)
        raise HTTPException(503, "the arrival could not be announced; send the notification again") from None
    counted = {dataset: len(uris) for dataset, uris in sorted(known.items())}
    reasons = [
        *(f"{event}: expected an object that was created" for event in notification.ignored),
        *(f"{uri[:300]}: expected an object under {gateway.lake.join('landing')}/<data set>/" for uri in others),
        *(f"{uri[:300]}: expected a data set of {', '.join(sorted(gateway.datasets))}" for name in unknown for uri in found[name]),
    ]
    return JSONResponse({"announced": counted, "ignored": len(reasons), "reasons": _some(reasons)})


def _some(reasons: list[str]) -> list[str]:
    """Each reason once, the first ones of many."""
    told = list(dict.fromkeys(reasons))
    return [*told[:REASONS], *([f"and {len(told) - REASONS} more"] if len(told) > REASONS else [])]


async def _ping(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _problem(_: Request, fault: Exception) -> Response:
    """Every refusal as RFC 9457 has it."""
    assert isinstance(fault, HTTPException)
    detail = fault.detail if fault.detail != TITLES.get(fault.status_code) else ""
    return _as_problem(fault.status_code, TITLES.get(fault.status_code, "Error"), detail, dict(fault.headers or {}))


async def _broken(_: Request, __: Exception) -> Response:
    return _as_problem(500, "Internal Server Error", "", {})


def _as_problem(status: int, title: str, detail: str, headers: dict[str, str]) -> Response:
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status} | ({"detail": detail} if detail else {})
    more = {"WWW-Authenticate": 'Bearer realm="headgate"'} if status == 401 else {}
    return Response(json.dumps(body, ensure_ascii=False), status, headers | more, "application/problem+json")
