"""The local splitter: one process an endpoint, on the endpoint's port, between clients and the cohorts' servers.

It reads its routes from one file, again at each POST to /-/reload, so that a new weight never needs a restart. A reload
answers once no request is under way to a server that the new routes leave out: that server can then be stopped without loss.
A call that reaches no server is repeated until PATIENCE_S is over (scoring changes nothing, so that is safe).
A failed call (5xx, no answer) is one line of the error log: {ts, cohort, release, status, detail}.
"""

import argparse
import asyncio
import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

import aiohttp
import orjson
import uvloop
from aiohttp import web
from multidict import CIMultiDict
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from yarl import URL

from deployments.router_metrics import RouterMetrics
from deployments.routes import Backend, Routes, choose, mirrored
from headgate.serving.config import ServingConfig

PATIENCE_S = 10.0
ANSWER_S = 30.0
DRAIN_S = 60.0
_RETRY_S = 0.1
_LARGEST_BODY = ServingConfig().max_body_bytes
_MIRRORS = 32
_HOP_BY_HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}
_NOT_FORWARDED = _HOP_BY_HOP | {"host", "content-length", "x-headgate-cohort", "x-headgate-mirror", "expect"}
_NOT_RETURNED = _HOP_BY_HOP | {"content-length", "date", "server"}


@dataclass(frozen=True, slots=True)
class Call:
    """A client's request, read whole, with the key that decides its cohort: the body's group_id, else X-Request-Id."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes
    key: str
    forced: str | None

    @property
    def scores(self) -> bool:
        """Whether it only asks for answers, so that asking a second model changes nothing: a correction must be kept once."""
        return self.method == "POST" and self.target.partition("?")[0] == "/invocations"

    @classmethod
    async def read(cls, request: web.Request) -> "Call":
        """Take the request in, and name it if the client did not."""
        headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in _NOT_FORWARDED)
        identity = headers.setdefault("X-Request-Id", uuid.uuid4().hex)
        body = await request.read()
        key = group_of(body) or identity
        return cls(request.method, request.rel_url.raw_path_qs, headers, body, key, request.headers.get("X-Headgate-Cohort"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets, and from which cohort."""

    status: int
    headers: CIMultiDict[str]
    body: bytes
    cohort: str


class Unreachable(Exception):
    """A server could not be reached, or went away before it answered."""


def group_of(body: bytes) -> str | None:
    """The group_id of a request body or of its first instance, so that a thread or a sender keeps its cohort."""
    if b'"group_id"' not in body:
        return None
    try:
        content = orjson.loads(body)
        found = content.get("group_id") or content["instances"][0].get("group_id")
    except (ValueError, LookupError, AttributeError, TypeError):
        return None
    return found if isinstance(found, str) else None


class Router:
    """Forwards calls by the routes of the moment."""

    def __init__(self, endpoint: str, routes_file: Path, errors: logging.Logger, patience_s: float = PATIENCE_S) -> None:
        self.endpoint, self.patience_s = endpoint, patience_s
        self.metrics = RouterMetrics(endpoint)
        self._file, self._errors = routes_file, errors
        self._under_way: Counter[str] = Counter()
        self._mirrors: dict[asyncio.Task[None], str] = {}
        self.routes = self._read_routes()

    def app(self) -> web.Application:
        """The web application."""
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_get("/ping", self.ping)
        app.router.add_get("/metrics", self.show_metrics)
        app.router.add_post("/-/reload", self.reload)
        app.router.add_route("*", "/{path:.*}", self.answer)
        app.cleanup_ctx.append(self._session_open)
        return app

    async def answer(self, request: web.Request) -> web.Response:
        """Forward one request and return the answer with the cohort that gave it."""
        try:
            call = await Call.read(request)
        except web.HTTPRequestEntityTooLarge:
            return problem(413, "Body too large", f"expected at most {_LARGEST_BODY} bytes")
        if call.forced not in (None, "champion", "challenger"):
            return problem(400, "Unknown cohort", f"expected X-Headgate-Cohort champion or challenger, found {call.forced!r}")
        cohort = call.forced or choose(self.routes, call.key)
        if cohort == "champion" and not call.forced and call.scores and mirrored(self.routes, call.key):
            self._mirror(call)
        return await self._answered_by(cohort, call)

    async def ping(self, request: web.Request) -> web.Response:
        """Whether the champion is ready, asked once; with X-Headgate-Cohort what that cohort's server says."""
        if "X-Headgate-Cohort" in request.headers:
            return await self.answer(request)
        call = await Call.read(request)
        backend = self.routes.champion
        try:
            return response(await self._send(call, backend, "champion")) if backend else self._nobody("champion")
        except (Unreachable, TimeoutError) as fault:
            return problem(503, "Champion not ready", str(fault))

    async def show_metrics(self, request: web.Request) -> web.Response:
        """The router's own metrics; with X-Headgate-Cohort those of that cohort's server."""
        if "X-Headgate-Cohort" in request.headers:
            return await self.answer(request)
        return web.Response(body=generate_latest(self.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def reload(self, _: web.Request) -> web.Response:
        """Read the routes file again, then wait until nothing is under way to a server that was left out; copies are called off."""
        self.routes = self._read_routes()
        for task in [task for task, url in self._mirrors.items() if url not in self.routes.urls()]:
            task.cancel()
        deadline = time.monotonic() + DRAIN_S
        while self._leaving() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return web.json_response({"routes": self.routes.model_dump(mode="json"), "drained": not self._leaving()})

    def _leaving(self) -> bool:
        return any(count and url not in self.routes.urls() for url, count in self._under_way.items())

    def _read_routes(self) -> Routes:
        routes = Routes.model_validate_json(self._file.read_bytes())
        self.metrics.weights(routes.split)
        return routes

    async def _answered_by(self, cohort: str, call: Call) -> web.Response:
        deadline, tries = time.monotonic() + self.patience_s, 0
        while backend := self.routes.backend(cohort):
            try:
                return response(await self._send(call, backend, cohort))
            except TimeoutError:
                self._failed(cohort, backend, 504, f"no answer in {ANSWER_S:g} s")
                return problem(504, "No answer in time", f"the {cohort} of {self.endpoint} took longer than {ANSWER_S:g} s")
            except Unreachable as fault:
                tries += 1
                if cohort == "challenger" and not call.forced and tries > 1:
                    self._failed(cohort, backend, 503, str(fault))
                    self.metrics.fell_back()
                    return await self._answered_by("champion", call)
                if time.monotonic() > deadline:
                    self._failed(cohort, backend, 503, str(fault))
                    return problem(503, "No server", f"the {cohort} of {self.endpoint} does not answer; try again", retry_after_s=1)
            await asyncio.sleep(_RETRY_S)
        if cohort == "challenger" and not call.forced:
            return await self._answered_by("champion", call)
        return self._nobody(cohort)

    async def _send(self, call: Call, backend: Backend, cohort: str) -> Answer:
        headers = call.headers.copy()
        headers["X-Headgate-Cohort"] = cohort
        start = time.perf_counter()
        status = 0
        self._under_way[backend.url] += 1
        try:
            url = URL(backend.url + call.target, encoded=True)
            async with self._session.request(call.method, url, headers=headers, data=call.body, allow_redirects=False) as found:
                body, status = await found.read(), found.status
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as fault:
            raise Unreachable(f"{backend.url}: {type(fault).__name__}: {fault}") from fault
        finally:
            self._under_way[backend.url] -= 1
            self.metrics.answered(cohort, backend.release, status, time.perf_counter() - start)
        if status >= 500:
            self._failed(cohort, backend, status, body[:200].decode(errors="replace"))
        return Answer(status, CIMultiDict((k, v) for k, v in found.headers.items() if k.lower() not in _NOT_RETURNED), body, cohort)

    def _mirror(self, call: Call) -> None:
        """Send a copy to the challenger without waiting for it; both answers are logged with the same fresh id."""
        backend = self.routes.challenger
        if backend is None:
            return
        if len(self._mirrors) >= _MIRRORS:
            self.metrics.dropped()
            return
        call.headers["X-Headgate-Mirror"] = uuid.uuid4().hex
        task = asyncio.create_task(self._mirrored(call, backend))
        self._mirrors[task] = backend.url
        task.add_done_callback(lambda done: self._mirrors.pop(done))

    async def _mirrored(self, call: Call, backend: Backend) -> None:
        try:
            await self._send(call, backend, "shadow")
        except TimeoutError:
            self._failed("shadow", backend, 504, f"no answer in {ANSWER_S:g} s")
        except Unreachable as fault:
            self._failed("shadow", backend, 503, str(fault))

    def _failed(self, cohort: str, backend: Backend, status: int, detail: str) -> None:
        line = {"ts": datetime.now(UTC).isoformat(), "cohort": cohort, "release": backend.release, "status": status, "detail": detail}
        self._errors.error(json.dumps(line))

    def _nobody(self, cohort: str) -> web.Response:
        return problem(404 if cohort == "challenger" else 503, f"No {cohort}", f"endpoint {self.endpoint} has no {cohort} now")

    async def _session_open(self, _: web.Application) -> AsyncIterator[None]:
        # Servers close idle connections after 5 s: letting go earlier avoids sending into a closing one.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        skipped = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, skip_auto_headers=skipped
        ) as self._session:
            yield


def response(answer: Answer) -> web.Response:
    """The client's response."""
    answer.headers["X-Headgate-Cohort"] = answer.cohort
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def problem(status: int, title: str, detail: str, retry_after_s: int | None = None) -> web.Response:
    """An RFC 9457 problem."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    headers = {"Content-Type": "application/problem+json"} | ({"Retry-After": str(retry_after_s)} if retry_after_s else {})
    return web.Response(body=orjson.dumps(body), status=status, headers=headers)


def error_log(file: Path) -> logging.Logger:
    """A logger that writes each message as one line of the file, which is rotated at 5 MB."""
    file.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.Logger(f"errors of {file}")
    logger.addHandler(RotatingFileHandler(file, maxBytes=5 * 2**20, backupCount=2))
    return logger


def main() -> None:
    """Serve one endpoint until SIGTERM; requests under way are finished first."""
    parser = argparse.ArgumentParser(prog="python -m deployments.router", description=main.__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("--routes", type=Path, required=True, help="the routes file")
    parser.add_argument("--errors", type=Path, required=True, help="the error log")
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    router = Router(args.endpoint, args.routes, error_log(args.errors))
    loop = uvloop.new_event_loop()
    web.run_app(
        router.app(),
        host="127.0.0.1",
        port=args.port,
        loop=loop,
        print=None,
        access_log=None,
        shutdown_timeout=10,
        backlog=1024,
        auto_decompress=False,
    )


if __name__ == "__main__":
    main()
