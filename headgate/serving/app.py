"""What one worker answers: its routes, from request to predictions, metrics and log."""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from headgate.model.runtime import Message, Runtime
from headgate.serving.answers import Answer
from headgate.serving.board import Board
from headgate.serving.cache import Cache
from headgate.serving.config import COHORTS, ServingConfig
from headgate.serving.connection import JSON, Request
from headgate.serving.feedback import FeedbackLog, read_correction
from headgate.serving.identifiers import PredictionIds
from headgate.serving.logs import Bounded
from headgate.serving.metrics import CONTENT_TYPE, RESIDENT, Metrics
from headgate.serving.prediction_log import Entry, PredictionLog
from headgate.serving.problems import Problem
from headgate.serving.reading import content_type, read_messages
from headgate.serving.resident import resident_bytes
from headgate.serving.scoring import Job, Scorer

LARGE_BYTES = 64 * 2**10
JSON_LINES, TEXT = b"application/jsonlines", b"text/plain"
OPENAPI = Path(__file__).with_name("openapi.json")

logger = logging.getLogger(__name__)
_traceparent = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_mirror = re.compile(rb"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Call:
    """One request to /invocations under way."""

    __slots__ = ("answers", "as_lines", "cached", "cohort", "keys", "messages", "request")

    def __init__(self, request: Request, cohort: str, cached: bool, as_lines: bool) -> None:
        self.request, self.cohort, self.cached, self.as_lines = request, cohort, cached, as_lines
        self.messages: list[Message] = []
        self.keys: list[bytes] = []
        self.answers: list[tuple[Answer, bool] | None] = []


class App:
    """One loaded bundle with its cache, its metrics and its logs, on one event loop."""

    def __init__(self, runtime: Runtime, config: ServingConfig, board: Board | None = None, worker: int = 0) -> None:
        self.config, self.digest = config, runtime.bundle.digest
        self.model = identity(runtime, config)
        self.labels = frozenset(runtime.labels)
        self.ready = True
        self.connections: Callable[[], int] = lambda: 0
        name = self.model["name"] and str(self.model["name"])
        self.metrics = Metrics(name or "", config.release or "", self.digest, board, worker)
        self.log = PredictionLog(config.log_dir, name, config.release, keep_bytes=config.log_keep_bytes)
        self.cache = Cache(self.digest, config.max_cached, config.max_cached_bytes)
        self._feedback = FeedbackLog(config.log_dir, name, config.release, config.log_keep_bytes) if config.log_dir else None
        self._soon = asyncio.get_running_loop().call_soon_threadsafe
        self.scorer = Scorer(runtime, config.max_waiting, config.log_text if self.log.on else "none", self._soon, self.metrics.batched)
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._ids, self._refusals = PredictionIds(self.digest), Bounded()
        self._cohorts = {cohort.encode(): cohort for cohort in COHORTS}
        self._mirror_header = config.mirror_header.lower().encode()
        self._ping = orjson.dumps(
            {"status": "ok", "model": self.model, "serving": told_so(config) | {"cache_namespace": self.cache.namespace}}
        )
        self._tail = b',"model":' + orjson.dumps(self.model) + b"}"
        get, post = b"GET", b"POST"
        self._routes: dict[bytes, tuple[bytes, Callable[[Request], None]]] = {
            b"/invocations": (post, self.invocations),
            b"/ping": (get, self.ping),
            b"/livez": (get, self.live),
            b"/readyz": (get, self.readiness),
            b"/metrics": (get, self.show_metrics),
            b"/openapi.json": (get, self.show_openapi),
            b"/feedback": (post, self.feedback),
        }

    def handle(self, request: Request) -> None:
        """Answer one request, now or later, whatever it is."""
        path = request.target.partition(b"?")[0]
        method, handler = self._routes.get(path, (b"", None))
        try:
            if request.problem and handler != self.invocations:
                raise request.problem
            if handler is None:
                raise Problem(404, f"{_shown(request)} is not known here; {self._known()} are")
            if request.method != method and not (request.method == b"HEAD" and method == b"GET") and not request.problem:
                allowed = "GET, HEAD" if method == b"GET" else "POST"
                raise Problem(405, f"{_shown(request)} is not known here; {self._known()} are", headers={"Allow": allowed})
            handler(request)
        except Problem as problem:
            self._refuse(request, problem)
        except Exception:
            self._fail(request)

    def close(self) -> None:
        """Let the threads end, and write down what is queued."""
        self.scorer.close()
        self._beside.shutdown()
        self.log.close()
        if self._feedback:
            self._feedback.close()
        self.flush()
        self._tell_left_out(time.monotonic() + 1)

    def flush(self) -> None:
        """Show the other workers what was counted here."""
        cache = {"cached_answers": len(self.cache), "cached_bytes": self.cache.bytes}
        levels = {"queue_depth": self.scorer.waiting, "log_dropped": self.log.dropped, "connections": self.connections()}
        if not self.metrics.flush(cache | levels | {RESIDENT: resident_bytes()}):
            logger.error("metrics: there are too many labels to count")
        self._tell_left_out(time.monotonic())

    def ping(self, request: Request) -> None:
        """Say that the bundle is loaded, as SageMaker wants it: with no body; to who accepts JSON also which it is and how it is served."""
        if "application/json" in request.text_header(b"accept").lower():
            request.answer(200, self._ping, headers=b"Vary: Accept\r\n")
        else:
            request.answer(200, b"", TEXT, b"Vary: Accept\r\n")

    def live(self, request: Request) -> None:
        """Say that the process answers."""
        request.answer(200, b'{"status":"ok"}')

    def readiness(self, request: Request) -> None:
        """Say whether new requests are welcome."""
        if not self.ready:
            raise Problem(503, "the server is draining: it answers what is under way and takes nothing new")
        request.answer(200, b'{"status":"ok"}')

    def show_metrics(self, request: Request) -> None:
        """Show the counters of all workers in Prometheus' text format."""
        self.flush()
        request.answer(200, self.metrics.text(), CONTENT_TYPE)

    def show_openapi(self, request: Request) -> None:
        """Show what can be asked here, as OpenAPI 3.1."""
        request.answer(200, OPENAPI.read_bytes())

    def feedback(self, request: Request) -> None:
        """Write down a corrected label."""
        _check_json(request)
        correction = read_correction(request.body, self.labels)
        if self._feedback is None:
            raise Problem(503, "corrections are not kept here; start the server with --log-dir")
        write = partial(self._feedback.append, correction, traceparent(request))
        self._aside(write, lambda _: self._thank(request, correction["label"]), lambda fault: self._lose(request, fault))

    def invocations(self, request: Request) -> None:
        """Classify the messages of one request."""
        headers = request.headers
        cohort = self._cohorts.get(headers.get(b"x-headgate-cohort", b""), self.config.cohort)
        cached = headers.get(b"x-headgate-cache", b"").lower() != b"off"
        plain = headers.get(b"content-type") == JSON and b"accept" not in headers and b"content-encoding" not in headers
        if plain and cached and request.problem is None and (answer := self.cache.of_body(request.body)) is not None:
            self._give(request, cohort, [(answer, True)], cached, False)
            return
        try:
            self._read(request, cohort, cached)
        except Problem as problem:
            self._refuse(request, problem, cohort)

    def _read(self, request: Request, cohort: str, cached: bool) -> None:
        """Understand a request, on a thread beside the loop if it is large, and score it."""
        if request.problem:
            raise request.problem
        kind = content_type(request.text_header(b"content-type"), request.text_header(b"content-encoding"))
        call = Call(request, cohort, cached, _as_lines(request, kind))
        read = partial(read_messages, request.body, self.config, kind)
        if len(request.body) <= LARGE_BYTES:
            self._score(call, read())
        else:
            self._aside(read, partial(self._score, call), lambda fault: self._refuse_or_fail(request, fault, cohort))

    def _score(self, call: Call, messages: list[Message]) -> None:
        call.messages = messages
        if not call.cached:
            call.answers, missing = [None] * len(messages), messages
        else:
            call.keys = [self.cache.key(message) for message in messages]
            call.answers = [(answer, True) if (answer := self.cache.get(key)) is not None else None for key in call.keys]
            missing = [message for message, answer in zip(messages, call.answers, strict=True) if answer is None]
        request = call.request
        try:
            if missing:
                self.scorer.submit(Job(missing, partial(self._scored, call), lambda: request.gone))
            else:
                self._finish(call)
        except Problem as problem:
            self._refuse(request, problem, call.cohort)

    def _scored(self, call: Call, job: Job) -> None:
        """Put the fresh answers between the known ones."""
        if call.request.gone:
            return
        if job.fault is not None:
            self._fail(call.request, job.fault, call.cohort)
            return
        fresh = iter(job.answers)
        for row, known in enumerate(call.answers):
            if known is None:
                answer = next(fresh)
                assert answer is not None
                call.answers[row] = (answer, False)
                if call.cached:
                    self.cache.put(call.keys[row], answer)
        self._finish(call)

    def _finish(self, call: Call) -> None:
        request = call.request
        if call.cached and len(call.keys) == 1 and request.headers.get(b"content-type") == JSON:
            self.cache.put_body(request.body, call.keys[0])
        self._give(request, call.cohort, [answer for answer in call.answers if answer], call.cached, call.as_lines)

    def _give(self, request: Request, cohort: str, answers: list[tuple[Answer, bool]], cached: bool, as_lines: bool) -> None:
        """Send answers under fresh ids, count them and log them."""
        at_ns, latency_s = time.time_ns(), time.perf_counter() - request.started
        parts = []
        trace, mirror = (traceparent(request), mirror_id(request, self._mirror_header)) if self.log.on else ("", "")
        for answer, known in answers:
            identifier = self._ids.fresh(at_ns)
            parts.append(b'%b%b"}' % (answer.sent, identifier))
            self.metrics.predicted(cohort, answer, known if cached else None)
            self.log.put(Entry(at_ns, identifier, cohort, latency_s, known, answer, trace, mirror))
        if as_lines:
            request.answer(200, b"\n".join(parts) + b"\n", JSON_LINES)
        else:
            request.answer(200, b'{"predictions":[%b]%b' % (b",".join(parts), self._tail))
        self.metrics.answered(cohort, 200, latency_s)

    def _aside(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None]) -> None:
        """Do what takes long on a thread of its own, then go on here."""

        def run() -> None:
            try:
                found = work()
            except Exception as fault:
                self._soon(failed, fault)
            else:
                self._soon(done, found)

        self._beside.submit(run)

    def _thank(self, request: Request, label: str) -> None:
        self.metrics.corrected(label)
        request.answer(202, b'{"status":"accepted"}')

    def _lose(self, request: Request, fault: Exception) -> None:
        logger.error("feedback: a correction could not be written: %s", fault)
        self._refuse(request, Problem(503, "the correction could not be written; try again", headers={"Retry-After": "5"}))

    def _refuse_or_fail(self, request: Request, fault: Exception, cohort: str) -> None:
        if isinstance(fault, Problem):
            self._refuse(request, fault, cohort)
        else:
            self._fail(request, fault, cohort)

    def _fail(self, request: Request, fault: Exception | None = None, cohort: str = "") -> None:
        """Answer 500 for a fault of ours."""
        logger.error("a request failed", exc_info=fault or True, extra={"request": _told(request, 500)})
        self._refuse(request, Problem(500, "the server failed; its log says more"), cohort)

    def _refuse(self, request: Request, problem: Problem, cohort: str = "") -> None:
        if cohort:
            self.metrics.answered(cohort, problem.status, time.perf_counter() - request.started)
        if problem.status != 500 and self._refusals.allows(time.monotonic()):
            logger.info("refused", extra={"request": _told(request, problem.status)})
        request.refuse(problem)

    def _tell_left_out(self, now: float) -> None:
        if left_out := self._refusals.left_out(now):
            logger.info("%d more refusals were not told", left_out)

    def _known(self) -> str:
        *others, last = (f"{method.decode()} {path.decode()}" for path, (method, _) in self._routes.items())
        return f"{', '.join(others)} and {last}"


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


def told_so(config: ServingConfig) -> dict[str, Any]:
    """What the server was told besides the bundle, as far as a release decides it."""
    return {"log_text": config.log_text, "max_cached": config.max_cached, "workers": config.workers}


def traceparent(request: Request) -> str:
    """The request's W3C trace context, empty if there is none."""
    told = request.headers.get(b"traceparent", b"").strip()
    return told.decode() if told and _traceparent.fullmatch(told) else ""


def mirror_id(request: Request, header: bytes) -> str:
    """The id that a router gave to this request and to its copy for the challenger, empty if there is none."""
    told = request.headers.get(header, b"")
    return told.decode() if told and _mirror.fullmatch(told) else ""


def _as_lines(request: Request, kind: str) -> bool:
    """JSON Lines are answered with JSON Lines, unless JSON is asked for; so is whoever asks for them."""
    accepted = request.text_header(b"accept").lower()
    return "jsonlines" in accepted or (kind == "application/jsonlines" and "application/json" not in accepted)


def _check_json(request: Request) -> None:
    kind = content_type(request.text_header(b"content-type"), request.text_header(b"content-encoding"))
    if kind != "application/json":
        raise Problem(415, f"expected Content-Type: application/json, found {kind!r}", headers={"Accept-Post": "application/json"})


def _shown(request: Request) -> str:
    path = request.target.partition(b"?")[0][:80].decode("ascii", "replace")
    return f"{request.method[:20].decode('ascii', 'replace')} {path}"


def _told(request: Request, status: int) -> dict[str, Any]:
    path = request.target.partition(b"?")[0][:80].decode("ascii", "replace")
    latency_ms = round((time.perf_counter() - request.started) * 1000, 3)
    told = {"method": request.method.decode("ascii", "replace"), "path": path, "status": status, "latency_ms": latency_ms}
    return told | ({"traceparent": trace} if (trace := traceparent(request)) else {})
