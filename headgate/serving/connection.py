"""One HTTP/1.1 connection: each request is read whole and answered in order, whatever a client sends.

Every wait is bounded by `overdue`, which the front asks each connection from time to time; nothing here sets a timer.
"""

import asyncio
import time
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, cast

import httptools

from headgate.serving.problems import PROBLEM_TYPE, Problem

if TYPE_CHECKING:
    from headgate.serving.front import Front

JSON = b"application/json"
MAX_HEADERS = 100
MAX_PIPELINED = 16
LINGER_S = 2.0
UPGRADING = {b"connection", b"upgrade", b"http2-settings"}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Phase = Literal["idle", "head", "body", "lingering"]

_LINES = {int(status): f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Request:
    """One request, read whole; `problem` is what is wrong with one that could not be."""

    __slots__ = ("body", "connection", "gone", "headers", "keep_alive", "method", "problem", "started", "target")

    def __init__(
        self,
        connection: "Connection",
        method: bytes,
        target: bytes,
        headers: dict[bytes, bytes],
        body: bytes = b"",
        keep_alive: bool = False,
        problem: Problem | None = None,
    ) -> None:
        self.connection, self.method, self.target, self.headers, self.body = connection, method, target, headers, body
        self.keep_alive, self.problem, self.gone = keep_alive, problem, False
        self.started = time.perf_counter()

    def text_header(self, name: bytes) -> str:
        """A header's value as text, empty if there is none."""
        return self.headers.get(name, b"").decode("latin-1").strip()

    def answer(self, status: int, body: bytes, kind: bytes = JSON, headers: bytes = b"") -> None:
        """Send the answer; `headers` are whole lines."""
        self.connection.send(self, b"%bContent-Type: %b\r\n%b" % (_LINES[status], kind, headers), body)

    def refuse(self, problem: Problem) -> None:
        """Send a problem as the answer."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in problem.headers.items()).encode("latin-1", "replace")
        self.answer(problem.status, problem.body(), PROBLEM_TYPE, lines)


class Connection(asyncio.Protocol):
    """Feeds httptools' parser and keeps the order of the answers."""

    __slots__ = (
        "_advancing", "_busy", "_deaf", "_front", "_head_bytes", "_headers", "_parser", "_parts", "_size", "_stuffed", "_target",
        "_transport", "_waiting", "phase", "since",
    )  # fmt: skip

    def __init__(self, front: "Front") -> None:
        self._front = front
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._busy: Request | None = None
        self._deaf = self._stuffed = self._advancing = False
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._target, self._size, self._head_bytes = b"", 0, 0
        self.phase: Phase = "idle"
        self.since = front.now()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        self._transport = cast(asyncio.Transport, transport)
        self._front.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Forget the client; what is under way for it need not be finished."""
        self._front.connections.discard(self)
        for request in (self._busy, *self._waiting):
            if request:
                request.gone = True
        self._waiting.clear()
        self._transport = self._parser = None

    def data_received(self, data: bytes) -> None:
        """Read what came; requests that became whole are answered on the way."""
        if self.phase != "body":
            self._head_bytes += len(data)
        while data and self._parser is not None and not self._deaf:
            data = self._feed(data)
        if self.phase == "head" and not self._deaf and self._head_bytes > self._front.config.max_head_bytes:
            self._give_up(self._head_too_large())

    def eof_received(self) -> bool:
        """The client sends no more; it still gets what it asked for."""
        self._deaf = True
        return self._busy is not None or bool(self._waiting)

    def pause_writing(self) -> None:
        """The client does not read its answers: read nothing more from it."""
        self._stuffed, self.since = True, self._front.now()
        if self._transport:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has read its answers."""
        self._stuffed = False
        self._advance()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._target, self._headers, self._parts, self._size = b"", {}, [], 0
        self.phase, self.since = "head", self._front.now()

    def on_url(self, part: bytes) -> None:
        """A part of the request target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, whose first value counts."""
        self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Refuse what is too large before it is read, and ask a client that waits for its body."""
        self.phase, self._head_bytes = "body", 0
        if self._deaf:
            return
        if not self._target.startswith(b"/"):
            self._target = origin_form(self._target)
        limits, headers = self._front.config, self._headers
        if len(headers) > MAX_HEADERS or len(self._target) + sum(map(len, headers.values())) > limits.max_head_bytes:
            self._give_up(self._head_too_large())
        elif (length := int(headers.get(b"content-length") or 0)) > limits.max_body_bytes:
            self._give_up(too_large(limits.max_body_bytes, f"{length} bytes"))
        elif b"host" not in headers and self._parser and self._parser.get_http_version() == "1.1":
            self._give_up(Problem(400, "expected the header Host, as HTTP/1.1 has it, found none"))
        elif expect := headers.get(b"expect"):
            self._expect(expect)

    def on_body(self, part: bytes) -> None:
        """A part of the body, which is bounded whether its length was told or not."""
        if self._deaf:
            return
        self._size += len(part)
        if self._size > self._front.config.max_body_bytes:
            self._give_up(too_large(self._front.config.max_body_bytes, "more"))
        else:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self.phase, self.since, self._head_bytes = "idle", self._front.now(), 0
        if self._deaf or self._parser is None or self._parser.should_upgrade():
            return
        parts, keep_alive = self._parts, self._parser.should_keep_alive()
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts, self._deaf = [], not keep_alive
        self._take(Request(self, self._parser.get_method(), self._target, self._headers, body, keep_alive))

    def send(self, request: Request, head: bytes, body: bytes) -> None:
        """Write an answer, then go on with the next request or close."""
        if self._transport is None or request.gone:
            return
        last = not request.keep_alive or (not self._waiting and (self._deaf or self._front.draining))
        said = b"Connection: close\r\n" if last else b"Connection: keep-alive\r\n" if b"connection" in request.headers else b""
        head = b"%bDate: %b\r\nContent-Length: %d\r\n%b\r\n" % (head, self._front.date, len(body), said)
        self._transport.write(head if request.method == b"HEAD" else head + body)
        self._busy, self.since = None, self._front.now()
        self._front.answered += 1
        if last:
            self._linger()
        elif self._waiting and not self._advancing:
            self._advance()

    def overdue(self, now: float) -> None:
        """Give up on a client that is too slow; called from time to time."""
        if self._transport is None:
            return
        waited, limits = now - self.since, self._front.config
        if self._stuffed:
            if waited > limits.write_timeout_s:
                self._transport.abort()
        elif self.phase == "lingering":
            if waited > LINGER_S:
                self._transport.abort()
        elif self._busy or self._waiting:
            return
        elif self.phase == "head" and waited > limits.head_timeout_s:
            self._give_up(Problem(408, f"expected the whole head within {limits.head_timeout_s:g} s"))
        elif self.phase == "body" and waited > limits.body_timeout_s:
            self._give_up(Problem(408, f"expected the whole body within {limits.body_timeout_s:g} s, found {self._size} bytes"))
        elif self.phase == "idle" and waited > (limits.drain_idle_s if self._front.draining else limits.keep_alive_s):
            self._transport.close()

    @property
    def unanswered(self) -> int:
        """How many requests are under way."""
        return len(self._waiting) + (self._busy is not None)

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self._transport:
            self._transport.abort()

    def _take(self, request: Request) -> None:
        if self._busy is None and not self._waiting and not self._stuffed:
            self._busy = request
            self._front.handle(request)
            return
        self._waiting.append(request)
        if len(self._waiting) >= MAX_PIPELINED and self._transport:
            self._transport.pause_reading()

    def _advance(self) -> None:
        self._advancing = True
        while self._waiting and self._busy is None and not self._stuffed:
            self._busy = self._waiting.popleft()
            self._front.handle(self._busy)
        self._advancing = False
        if len(self._waiting) < MAX_PIPELINED and not self._stuffed and self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    def _expect(self, expected: bytes) -> None:
        if expected.strip().lower() != b"100-continue":
            self._give_up(Problem(417, f"expected Expect: 100-continue or none, found {expected[:80].decode('latin-1')!r}"))
        elif self._busy is None and not self._waiting and self._transport:
            self._transport.write(CONTINUE)

    def _give_up(self, problem: Problem) -> None:
        """Answer with a problem, in its turn, and read no more."""
        self._deaf = True
        method = self._parser.get_method() if self._parser and self.phase == "body" else b""
        self._take(Request(self, method, self._target, self._headers, problem=problem))

    def _head_too_large(self) -> Problem:
        return Problem(431, f"expected a head of at most {self._front.config.max_head_bytes} bytes and {MAX_HEADERS} headers, found more")

    def _feed(self, data: bytes) -> bytes:
        """Give the parser what came; returns what is to be read once more."""
        assert self._parser
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as wish:
            return self._stay(data[wish.args[0] :])
        except httptools.HttpParserError as fault:
            if not self._deaf:
                self._give_up(Problem(400, f"expected HTTP/1.1, found something else: {fault}"))
        return b""

    def _stay(self, rest: bytes) -> bytes:
        """Go on in HTTP/1.1, as a server may: the head once more without the wish to upgrade, which ends the parser's reading."""
        assert self._parser
        method = self._parser.get_method()
        if method == b"CONNECT":
            self._give_up(Problem(400, "expected a request for this server, found CONNECT"))
            return b""
        kept = [b"%b: %b" % header for header in self._headers.items() if header[0] not in UPGRADING]
        self._parser = httptools.HttpRequestParser(self)
        return b"\r\n".join([b"%b %b HTTP/1.1" % (method, self._target), *kept, b"", rest])

    def _linger(self) -> None:
        """Say that nothing more comes, and read on for a while: closing on unread bytes would take the answer back."""
        self._deaf, self.phase, self.since = True, "lingering", self._front.now()
        self._waiting.clear()
        if self._transport and self._transport.can_write_eof():
            self._transport.write_eof()


def origin_form(target: bytes) -> bytes:
    """The path and the query of a target that names this server too; other targets stay."""
    scheme, _, rest = target.partition(b"://")
    return b"/" + rest.partition(b"/")[2] if scheme.lower() in (b"http", b"https") else target


def too_large(limit: int, size: str) -> Problem:
    """The problem of a body that is too large."""
    return Problem(413, f"expected a body of at most {limit} bytes, found {size}; send several requests")
