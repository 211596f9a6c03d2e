"""All connections of one process: who is connected, what time it is, and how they end."""

import asyncio
import ctypes
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from headgate.serving.config import ServingConfig
from headgate.serving.connection import Connection, Request

LOOK_S = 1.0
LOOK_WHILE_DRAINING_S = 0.02
HANDSHAKE_S = 0.05
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
# Classic BPF on a listening socket: drop what asks for a new connection (SYN without ACK), let everything else through.
NO_NEW_CONNECTIONS = b"".join(
    struct.pack("HBBI", *step)
    for step in ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
)


class Front:
    """Makes connections, hands their requests to one handler, and drains them without losing a request."""

    def __init__(self, handle: Callable[[Request], None], config: ServingConfig) -> None:
        self.handle, self.config = handle, config
        self.connections: set[Connection] = set()
        self.draining = False
        self.answered = 0
        self.date = b""
        self.now = time.monotonic
        self._server: asyncio.Server | None = None
        self._listener: socket.socket | None = None
        self._look: asyncio.TimerHandle | None = None

    async def listen(self, listener: socket.socket) -> None:
        """Accept connections from now on."""
        self._listener = listener
        with suppress(OSError):  # there is none, unless a worker drained on this socket before
            listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        self._look_around()
        self._server = await asyncio.get_running_loop().create_server(lambda: Connection(self), sock=listener, backlog=2048)

    async def drain(self) -> int:
        """Take no new connection, answer all that was asked, then close; returns how many requests took longer than drain_s."""
        self.draining = True
        if self._listener is not None:
            refuse_new_connections(self._listener)
        await asyncio.sleep(HANDSHAKE_S)
        if self._server is not None:
            self._server.close()
        deadline = self.now() + self.config.drain_s
        while self.connections and self.now() < deadline:
            await asyncio.sleep(LOOK_WHILE_DRAINING_S)
            self._overdue()
        given_up = sum(connection.unanswered for connection in self.connections)
        for connection in list(self.connections):
            connection.abort()
        if self._look is not None:
            self._look.cancel()
        return given_up

    def _look_around(self) -> None:
        self.date = http_date(time.time())
        self._overdue()
        self._look = asyncio.get_running_loop().call_later(LOOK_S, self._look_around)

    def _overdue(self) -> None:
        now = self.now()
        for connection in list(self.connections):
            connection.overdue(now)


def http_date(at: float) -> bytes:
    """A time as HTTP headers have it, in English whatever the locale."""
    found = time.gmtime(at)
    return time.strftime(f"{DAYS[found.tm_wday]}, %d {MONTHS[found.tm_mon - 1]} %Y %H:%M:%S GMT", found).encode()


def refuse_new_connections(listener: socket.socket) -> None:
    """Let nobody in any more, so that what waits to be accepted can be emptied and the socket closed without cutting anyone off."""
    steps = ctypes.create_string_buffer(NO_NEW_CONNECTIONS)
    program = struct.pack("HL", len(NO_NEW_CONNECTIONS) // 8, ctypes.addressof(steps))
    try:
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    except OSError:
        os.sched_yield()  # not Linux, or not allowed: a client that connects in this very moment may be refused
