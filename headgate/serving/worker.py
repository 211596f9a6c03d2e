"""One serving process: load the bundle, answer until SIGTERM, then drain."""

import asyncio
import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time

import uvloop

from headgate.model.bundle import Bundle
from headgate.model.runtime import Runtime
from headgate.serving.app import App
from headgate.serving.board import Board, State
from headgate.serving.config import ServingConfig
from headgate.serving.front import Front

FLUSH_S = 0.5
SWITCH_S = 0.001
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3

logger = logging.getLogger("headgate.serving")


def work(
    bundle: Bundle,
    listener: socket.socket,
    config: ServingConfig,
    threads: int,
    board: Board,
    worker: int,
    began: float,
    supervisor: int | None,
) -> None:
    """Serve a verified bundle on a bound socket until SIGTERM or SIGINT, or until the supervisor process is gone. Raises BadBundle."""
    _give_memory_back()
    _allow_many_connections()
    runtime = Runtime.load(bundle, threads)
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)
    uvloop.run(_serve(runtime, listener, config, board, worker, began, supervisor))


async def _serve(
    runtime: Runtime, listener: socket.socket, config: ServingConfig, board: Board, worker: int, began: float, supervisor: int | None
) -> None:
    app = App(runtime, config, board, worker)
    front = Front(app.handle, config)
    app.connections = lambda: len(front.connections)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await front.listen(listener)
    board.set_state(worker, State.READY)
    told = runtime.bundle.digest[:8], address(listener), time.perf_counter() - began
    logger.info("serving bundle %s on %s, loaded in %.2f s", *told)
    while not ended.is_set() and supervisor in (None, os.getppid()):
        app.flush()
        try:
            await asyncio.wait_for(ended.wait(), FLUSH_S)
        except TimeoutError:
            continue
    app.ready = False
    logger.info("draining")
    given_up = await front.drain()
    app.close()
    logger.info("stopped, %d answered, %d given up", front.answered, given_up)


def address(listener: socket.socket) -> str:
    """The address of a bound socket, as a client writes it."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _give_memory_back() -> None:
    """Let the C library return what is freed; it would keep each batch's buffers otherwise, tens of megabytes."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_TRIM_THRESHOLD, 128 * 2**10)
        mallopt(M_MMAP_THRESHOLD, 256 * 2**10)


def _allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
