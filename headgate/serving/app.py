"""The HTTP face of one bundle: GET /ping, POST /invocations, GET /metrics."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from headgate.model.filters import normalise
from headgate.model.runtime import Message, Runtime, Scored
from headgate.serving.cache import Cache
from headgate.serving.config import COHORTS, ServingConfig
from headgate.serving.identifiers import prediction_id
from headgate.serving.metrics import Metrics
from headgate.serving.prediction_log import PredictionLog, now, text_field
from headgate.serving.problems import Problem, problem_response
from headgate.serving.reading import check_content_type, read_messages
from headgate.serving.scoring import Scorer

JSON = "application/json"


class Endpoint:
    """One loaded bundle with its cache, its metrics and its log."""

    def __init__(self, runtime: Runtime, config: ServingConfig) -> None:
        self.config, self.digest = config, runtime.bundle.digest
        self.model = identity(runtime, config)
        self.scorer = Scorer(runtime, config.max_waiting)
        self.cache = Cache(self.digest, config.max_cached)
        self.metrics = Metrics(str(self.model["name"] or ""), config.release or "", self.digest)
        self.log = PredictionLog(config.log_dir)

    async def ping(self, _: Request) -> Response:
        """Say that the bundle is loaded and which one it is."""
        return _json({"status": "ok", "model": self.model})

    async def show_metrics(self, _: Request) -> Response:
        """Show the counters in Prometheus' text format."""
        return Response(self.metrics.text(self.log.dropped), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def invocations(self, request: Request) -> Response:
        """Classify the messages of one request."""
        started, cohort = time.perf_counter(), self._cohort(request)
        status = 500
        try:
            response = await self._answer(request, cohort, started)
            status = response.status_code
        except Problem as problem:
            response, status = problem_response(problem), problem.status
        finally:
            self.metrics.answered(cohort, status, time.perf_counter() - started)
        return response

    async def _answer(self, request: Request, cohort: str, started: float) -> Response:
        check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
        messages = read_messages(await _body(request, self.config), self.config)
        cache = self.cache if request.headers.get("x-headgate-cache", "").strip().lower() != "off" else None
        answers = await self._score(messages, cache)
        predictions = [self._predicted(*pair, cohort, cache, started) for pair in zip(messages, answers, strict=True)]
        return _json({"predictions": predictions, "model": self.model})

    async def _score(self, messages: list[Message], cache: Cache | None) -> list[tuple[Scored, bool]]:
        keys = [cache.key(message) for message in messages] if cache is not None else []
        found: dict[int, Scored] = {}
        if cache is not None:
            found = {row: answer for row, key in enumerate(keys) if (answer := cache.get(key))}
        missing = [row for row in range(len(messages)) if row not in found]
        fresh = dict(zip(missing, await self.scorer.score([messages[row] for row in missing]), strict=True)) if missing else {}
        if cache is not None:
            for row, answer in fresh.items():
                cache.put(keys[row], answer)
        return [(fresh[row], False) if row in fresh else (found[row], True) for row in range(len(messages))]

    def _predicted(self, message: Message, answer: tuple[Scored, bool], cohort: str, cache: Cache | None, started: float) -> dict[str, Any]:
        scored, cached = answer
        identifier = prediction_id(self.digest)
        self.metrics.predicted(cohort, scored, cached if cache is not None else None)
        self.log.put(
            {
                "ts": now(),
                "prediction_id": identifier,
                "model": self.model["name"],
                "release": self.config.release,
                "cohort": cohort,
                "label": scored.label,
                "score": scored.score,
                "outcome": scored.outcome,
                "reason": scored.reason,
                "latency_ms": round((time.perf_counter() - started) * 1000, 3),
                "cached": cached,
                **text_field(self.config.log_text, normalise(message.text)),
            }
        )
        return {**asdict(scored), "prediction_id": identifier}

    def _cohort(self, request: Request) -> str:
        told = request.headers.get("x-headgate-cohort", "")
        return told if told in COHORTS else self.config.cohort


def create_app(runtime: Runtime, config: ServingConfig) -> Starlette:
    """The ASGI application that serves one loaded bundle."""
    endpoint = Endpoint(runtime, config)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        endpoint.scorer.close()
        await asyncio.to_thread(endpoint.log.close)

    routes = [
        Route("/ping", endpoint.ping, methods=["GET"]),
        Route("/invocations", endpoint.invocations, methods=["POST"]),
        Route("/metrics", endpoint.show_metrics, methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _http_problem, Exception: _unexpected})


def identity(runtime: Runtime, config: ServingConfig) -> dict[str, Any]:
    """Which model answers: the `model` part of every answer."""
    provenance = runtime.bundle.provenance
    return {
        "name": config.model or provenance.get("model"),
        "bundle_digest": runtime.bundle.digest,
        "data_version": provenance.get("data_version"),
        "commit": provenance.get("commit"),
        "release": config.release,
    }


async def _body(request: Request, config: ServingConfig) -> bytes:
    if (length := request.headers.get("content-length", "")).isdigit() and int(length) > config.max_body_bytes:
        raise _too_large(config, f"{length} bytes")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(config.body_timeout_s):
            async for part in request.stream():
                size += len(part)
                if size > config.max_body_bytes:
                    raise _too_large(config, "more")
                parts.append(part)
    except TimeoutError:
        raise Problem(408, f"expected the whole body within {config.body_timeout_s:g} s, found {size} bytes") from None
    except ClientDisconnect:
        raise Problem(400, "the client went away before the body was complete") from None
    return b"".join(parts)


def _too_large(config: ServingConfig, size: str) -> Problem:
    return Problem(413, f"expected a body of at most {config.max_body_bytes} bytes, found {size}; send several requests")


async def _http_problem(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    known = "GET /ping, POST /invocations and GET /metrics"
    return problem_response(
        Problem(fault.status_code, f"{request.method[:20]} {request.url.path[:80]} is not known here; {known} are", headers=fault.headers)
    )


async def _unexpected(_: Request, __: Exception) -> Response:
    return problem_response(Problem(500, "the server failed; its log says more"))


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type=JSON)
