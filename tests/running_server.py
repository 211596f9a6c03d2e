"""A real serving process for tests of what talks to one."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

READY_S = 60


@contextmanager
def serving(bundle: Path, workers: int = 1) -> Iterator[str]:
    """The address of a server of the bundle, ready; it drains at the end."""
    command = [sys.executable, "-m", "headgate.serving", str(bundle), "--port", "0", "--workers", str(workers)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            told = process.stderr.readline()
            assert "serving bundle" in told, told + process.stderr.read()
            url = told.split(" on ")[1].split(",")[0]
            until_ready(url)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def until_ready(url: str) -> None:
    """Returns once the server answers its ping."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/ping", trust_env=False).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"{url} was not ready after {READY_S} s")
