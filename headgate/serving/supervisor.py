"""Keeps the workers of one server alive: restarts a dead one, gives up on a server that cannot start, passes SIGTERM on.

The supervisor holds every worker's listening socket, so that connections which wait there outlive a killed worker and are
answered by the next one. Where the next one cannot start, nobody waits: its socket is given up for one that does not listen yet.
"""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, MutableSequence, Sequence
from contextlib import suppress
from dataclasses import dataclass

from headgate.errors import HeadgateError, Unavailable
from headgate.serving.board import Board, State

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 10.0
FAILED_STARTS = 5
LOOK_S = 0.25
SPARE_S = 3.0
SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}

logger = logging.getLogger("headgate.serving")


@dataclass(slots=True)
class Worker:
    """One slot: its process, and when to start the next one."""

    pid: int | None = None
    start_at: float = 0.0
    failed_starts: int = 0


def supervise(
    work: Callable[[int], None],
    listeners: MutableSequence[socket.socket],
    bound_again: Callable[[socket.socket], socket.socket],
    board: Board,
    drain_s: float,
) -> None:
    """Run `work(worker)` in a process each until SIGTERM or SIGINT; Unavailable if they die at their start."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    workers = [Worker() for _ in listeners]
    ended = False
    try:
        while not ended:
            for number, worker in enumerate(workers):
                if worker.pid is None and time.monotonic() >= worker.start_at:
                    worker.pid = _start(work, number, board)
            told = signal.sigtimedwait(SIGNALS, LOOK_S)
            ended = told is not None and told.si_signo != signal.SIGCHLD
            for number in _bury(workers, board):
                listeners[number] = _turned_away(listeners[number], bound_again)
    finally:
        _stop(workers, listeners, drain_s)


def _start(work: Callable[[int], None], number: int, board: Board) -> int:
    board.set_state(number, State.STARTING)
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        work(number)
        status = 0
    except HeadgateError as fault:
        board.write(number, str(fault).encode())
        board.set_state(number, State.FAILED)
    except SystemExit:
        status = 0
    except BaseException:
        logger.exception("worker %d failed", number)
    finally:
        logging.shutdown()
        sys.stderr.flush()
        os._exit(status)


def _bury(workers: Sequence[Worker], board: Board) -> list[int]:
    """Note who has died, and when to start the next one in its place; returns whose start failed."""
    failed = []
    for number, worker in enumerate(workers):
        if worker.pid is None or os.waitpid(worker.pid, os.WNOHANG)[0] == 0:
            continue
        pid, worker.pid = worker.pid, None
        state = board.state(number)
        if state is State.READY:
            worker.failed_starts = 0
            worker.start_at = time.monotonic()
            logger.error("worker %d (process %d) died and is started again", number, pid)
            continue
        failed.append(number)
        worker.failed_starts += 1
        worker.start_at = time.monotonic() + min(FIRST_WAIT_S * 2**worker.failed_starts, LONGEST_WAIT_S)
        alone = not any(other.pid for other in workers)
        if state is State.FAILED and alone:
            raise Unavailable(board.read(number).decode())
        if state is State.FAILED and State.READY in map(board.state, range(board.workers)):
            logger.error("worker %d (process %d) could not start: %s", number, pid, board.read(number).decode())
        if alone and worker.failed_starts >= FAILED_STARTS:
            raise Unavailable(f"{FAILED_STARTS} workers in a row died at their start and none is left; the log above says why")
    return failed


def _turned_away(listener: socket.socket, bound_again: Callable[[socket.socket], socket.socket]) -> socket.socket:
    """Reset who waits at a socket that no worker answers; returns one in its place that does not listen yet."""
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return listener
    new = bound_again(listener)
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)  # closing alone would not do: the other workers have inherited it
    listener.close()
    return new


def _stop(workers: Sequence[Worker], listeners: Sequence[socket.socket], drain_s: float) -> None:
    """Let the workers drain; what takes much longer than it may is killed."""
    for worker in workers:
        _send(worker, signal.SIGTERM)
    for listener in listeners:
        listener.close()
    deadline = time.monotonic() + drain_s + SPARE_S
    while any(worker.pid for worker in workers) and time.monotonic() < deadline:
        for worker in workers:
            if worker.pid and os.waitpid(worker.pid, os.WNOHANG)[0]:
                worker.pid = None
        time.sleep(0.02)
    for worker in workers:
        _send(worker, signal.SIGKILL)


def _send(worker: Worker, number: signal.Signals) -> None:
    if worker.pid:
        os.kill(worker.pid, number)
