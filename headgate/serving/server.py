"""Start a server: bind the port, then one worker in this process or several under a supervisor.

Nothing heavy is imported before the port is taken; a supervisor never imports what a worker needs.
"""

import errno
import os
import signal
import socket
import time
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from types import FrameType

from headgate.errors import BadInput, Unavailable
from headgate.model.bundle import Bundle, open_bundle
from headgate.serving.board import Board
from headgate.serving.config import LEAST_LOG_BYTES, MAX_CACHED, MIRROR_HEADER, LogText, ServingConfig
from headgate.serving.log_files import check_folder
from headgate.serving.logs import log_to_stderr


def run(
    bundle: Path,
    host: str = "127.0.0.1",
    port: int = 8080,
    log_dir: Path | None = None,
    model: str | None = None,
    release: str | None = None,
    cohort: str = "champion",
    log_text: LogText = "hash",
    threads: int = 1,
    workers: int = 1,
    max_cached: int = MAX_CACHED,
    mirror_header: str = MIRROR_HEADER,
    log_keep_bytes: int | None = None,
) -> None:
    """Serve a bundle until SIGTERM or SIGINT; port 0 takes a free one, workers 0 is one a core.

    Raises BadBundle, BadInput, Unavailable.
    """
    began = time.perf_counter()
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log_to_stderr()
    if threads < 1:
        raise BadInput(f"expected at least one thread, found {threads}")
    if log_dir is not None:
        check_folder(log_dir)
    if max_cached < 0:
        raise BadInput(f"expected 0 or more answers to cache, found {max_cached}")
    if log_keep_bytes is not None and log_keep_bytes < LEAST_LOG_BYTES:
        raise BadInput(f"expected to keep at least {LEAST_LOG_BYTES} bytes of log, found {log_keep_bytes}")
    workers = workers or len(os.sched_getaffinity(0))
    config = ServingConfig(model, release, cohort, mirror_header, log_dir, log_text, log_keep_bytes, workers=workers, max_cached=max_cached)
    listeners = bind(host, port, workers)
    board = Board(workers)
    supervisor = os.getpid() if workers > 1 else None

    def serve(worker: int, since: float = began) -> None:
        verified = Future[Bundle]()
        Thread(target=_verify, args=(bundle, verified), daemon=True).start()
        from headgate.serving.worker import work  # takes as long as verifying, which another core does meanwhile

        work(verified.result(), listeners[worker], config, threads, board, worker, since, supervisor)

    if workers == 1:
        serve(0)
        return
    from headgate.serving.supervisor import supervise

    supervise(lambda worker: serve(worker, time.perf_counter()), listeners, bound_again, board, config.drain_s)


def bind(host: str, port: int, workers: int = 1) -> list[socket.socket]:
    """A bound socket for each worker, not yet listening, so that nobody waits for a bundle that is still loading."""
    if not 0 <= port <= 65_535:
        raise BadInput(f"expected a port from 0 (any free one) to 65535, found {port}")
    if workers < 1:
        raise BadInput(f"expected at least one worker, or 0 for one a core, found {workers}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as fault:
        raise BadInput(f"expected a host name or an address of this machine, found {host!r}: {fault}") from None
    try:
        alone = _bound(family, address, shared=False)
        if workers == 1:
            return [alone]
        taken = alone.getsockname()
        alone.close()
        return [_bound(family, taken, shared=True) for _ in range(workers)]
    except OSError as fault:
        if fault.errno == errno.EADDRNOTAVAIL:
            raise BadInput(f"expected --host to be an address of this machine, found {host!r}; 0.0.0.0 is all that it has") from None
        raise Unavailable(f"port {port} on {host} cannot be taken ({fault}); stop what holds it or choose another with --port") from None


def bound_again(listener: socket.socket) -> socket.socket:
    """A socket of the same shared address that does not listen yet."""
    return _bound(listener.family, listener.getsockname(), shared=True)


def _bound(family: int, address: tuple[object, ...], shared: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _verify(folder: Path, verified: Future[Bundle]) -> None:
    try:
        verified.set_result(open_bundle(folder))
    except BaseException as fault:
        verified.set_exception(fault)


def _end(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)
