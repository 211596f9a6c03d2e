"""One serving process: verify and load the bundle, bind the port, answer until SIGTERM, then drain."""

import logging
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType

import uvicorn

from headgate.errors import BadInput, Unavailable
from headgate.model.runtime import Runtime
from headgate.serving.app import create_app
from headgate.serving.config import LogText, ServingConfig

DRAIN_S = 30
KEEP_ALIVE_S = 75

logger = logging.getLogger("headgate.serving")


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
) -> None:
    """Serve a bundle until SIGTERM or SIGINT; port 0 takes a free one. Raises BadBundle, BadInput, Unavailable."""
    started = time.perf_counter()
    signal.signal(signal.SIGTERM, _end)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    listener = bind(host, port)
    runtime = Runtime.load(bundle, threads)
    app = create_app(runtime, ServingConfig(model=model, release=release, cohort=cohort, log_dir=log_dir, log_text=log_text))
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    logger.info("serving bundle %s on %s, loaded in %.2f s", runtime.bundle.digest[:8], address, time.perf_counter() - started)
    uvicorn.Server(config).run(sockets=[listener])


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, not yet listening, so that nobody waits for a bundle that is still loading."""
    if not 0 <= port <= 65_535:
        raise BadInput(f"expected a port from 0 (any free one) to 65535, found {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as fault:
        raise BadInput(f"expected a host name or an address of this machine, found {host!r}: {fault}") from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as fault:
        listener.close()
        raise Unavailable(f"port {port} on {host} cannot be taken ({fault}); stop what holds it or choose another with --port") from None
    return listener


def _end(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)
