"""A server in this process: the real app on a real socket, over a runtime that answers as it is told."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import httpx
import uvloop

from headgate.model.runtime import Message, Scored
from headgate.serving.app import App
from headgate.serving.config import ServingConfig
from headgate.serving.front import Front
from headgate.serving.server import bind

ANSWER = Scored("positive", 0.9, {"positive": 0.9, "other": 0.1}, "scored", None)


class FakeBundle:
    digest = "abcdef0123456789"
    provenance: ClassVar = {"model": "replies", "commit": "c0ffee", "data_version": {"dataset": "replies", "version": 3, "digest": "d1"}}


class FakeRuntime:
    """Answers at once; remembers what it was asked and can be held or broken."""

    def __init__(self) -> None:
        self.bundle, self.labels = FakeBundle(), ("positive", "other")
        self.asked: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()
        self.fault: Exception | None = None

    def score(self, items: list[Message]) -> list[Scored]:
        self.asked.append([item.text for item in items])
        self.go.wait(10)
        if self.fault:
            raise self.fault
        return [ANSWER] * len(items)


@contextmanager
def served(runtime: Any, **settings: Any) -> Iterator[httpx.Client]:
    """A client of a server that runs until the block ends, and drains then."""
    with listening(runtime, **settings) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
        yield client


@contextmanager
def listening(runtime: Any, **settings: Any) -> Iterator[int]:
    """The port of a server that runs until the block ends, and drains then."""
    (listener,) = bind("127.0.0.1", 0)
    port, ready, config = listener.getsockname()[1], threading.Event(), ServingConfig(**{"drain_idle_s": 0.0, **settings})
    ended: list[Any] = []

    async def serve() -> None:
        app = App(runtime, config)
        front, end = Front(app.handle, config), asyncio.Event()
        app.connections = lambda: len(front.connections)
        ended.extend((asyncio.get_running_loop(), end))
        await front.listen(listener)
        ready.set()
        await end.wait()
        app.ready = False
        await front.drain()
        app.close()

    thread = threading.Thread(target=lambda: uvloop.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield port
    finally:
        ended[0].call_soon_threadsafe(ended[1].set)
        thread.join(60)
        assert not thread.is_alive()
