"""Ports of local servers, which stay the same across restarts."""

import json
import socket
from pathlib import Path

import psutil
from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from deployments.processes import Processes
from deployments.supervisord import write_private
from headgate.errors import Unavailable

_HOST = "127.0.0.1"
_TRIES = 1000


class Assigned(BaseModel):
    """A port, and a note for the reader if it is not the one that was asked for."""

    model_config = ConfigDict(frozen=True)

    port: int
    note: str | None = None


class Ports:
    """The ports of one home folder, kept in `<home>/ports.json`; safe to use from several processes at once."""

    def __init__(self, home: Path) -> None:
        self.file = home.resolve() / "ports.json"
        self._processes = Processes(home)

    def get(self, name: str, preferred: int) -> Assigned:
        """The port that name had before for this preference, else the preferred one, else the next free one."""
        with self._lock():
            book = self._read()
            before = book.pop(name, None)
            wanted = before["port"] if before and before["preferred"] == preferred else preferred
            others = {entry["port"] for entry in book.values()}
            port = self._first_free(wanted, others)
            self._write(book | {name: {"port": port, "preferred": preferred}})
        told = port != wanted and wanted not in others
        return Assigned(port=port, note=f"port {wanted} is taken by {_holder(wanted)}; {name} uses {port}" if told else None)

    def release(self, name: str) -> None:
        """Forget the name's port; harmless if it has none."""
        with self._lock():
            book = self._read()
            if book.pop(name, None):
                self._write(book)

    def known(self) -> dict[str, int]:
        """Every assigned port by name."""
        return {name: entry["port"] for name, entry in self._read().items()}

    def _read(self) -> dict[str, dict[str, int]]:
        return dict(json.loads(self.file.read_text())) if self.file.exists() else {}

    def _write(self, book: dict[str, dict[str, int]]) -> None:
        write_private(self.file, json.dumps(book, indent=1, sort_keys=True))

    def _lock(self) -> FileLock:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.file.with_name(".ports.lock"), timeout=60)

    def _first_free(self, wanted: int, taken: set[int]) -> int:
        listening: dict[int, int] | None = None  # asked for once, and only where a port is taken: it takes a while
        for port in range(wanted, min(wanted + _TRIES, 65536)):
            if port in taken:
                continue
            if is_free(port):
                return port
            listening = _listeners() if listening is None else listening
            if port in listening and self._processes.owns(listening[port]):
                return port
        raise Unavailable(f"expected a free port from {wanted} on, found none in {_TRIES}; set another one in headgate.toml")


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _listeners() -> dict[int, int]:
    """Process id of whoever listens on a port, by port, as far as this user may know."""
    try:
        found = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return {}
    return {c.laddr.port: c.pid for c in found if c.status == psutil.CONN_LISTEN and c.laddr and c.pid is not None}


def _holder(port: int) -> str:
    if (pid := _listeners().get(port)) is None:
        return "another user's process"
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"process {pid}"
