"""A server under test as processes: started until its first answer, asked, its CPU time and memory read, stopped.

All processes that inherited the run's mark in their environment count: Ray's daemons and spawned workers too, whoever their parent is.
"""

import http.client
import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
from serving_load import Body

MARK = "HEADGATE_BENCH_RUN"
START_LIMIT_S, STOP_LIMIT_S, PAUSE_S = 300.0, 20.0, 0.005
SETTLE_LIMIT_S, SETTLE_S = 15.0, 0.5
LOG_END = 1500
MEGA = 1e6


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes: the resident set of the largest process, the proportional set of all together, and how many they are."""

    largest_rss_mb: float
    pss_mb: float
    processes: int


class Running:
    """A started server that answers."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str, port: int, log: Path) -> None:
        self.process, self.mark, self.port, self._log = process, mark, port, log
        self.start_s = self.start_cpu_s = 0.0
        self._ended: dict[psutil.Process, float] = {}

    @classmethod
    def start(cls, command: Sequence[str], port: int, variables: dict[str, str], body: Body, log: Path, folder: Path) -> Self:
        """Start it and wait for its first good answer. Raises RuntimeError with the end of its log."""
        mark, begun = uuid.uuid4().hex, time.perf_counter()
        with log.open("wb") as written:
            environment = {**os.environ, **variables, MARK: mark}
            process = subprocess.Popen(
                command, env=environment, stdout=written, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True
            )
        running = cls(process, mark, port, log)
        try:
            running._wait(body, begun)
        except BaseException:
            running.stop()
            raise
        return running

    def _wait(self, body: Body, begun: float) -> None:
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"it ended with {self.process.returncode}:\n{self.log_end()}")
            try:
                self.ask(body, "Where is my card?")
                self.start_s, self.start_cpu_s = time.perf_counter() - begun, self.cpu_s()
                return
            except (OSError, http.client.HTTPException, ValueError) as fault:
                if time.perf_counter() - begun > START_LIMIT_S:
                    raise RuntimeError(f"no good answer after {START_LIMIT_S:.0f} s ({fault}):\n{self.log_end()}") from None
            time.sleep(PAUSE_S)

    def ask(self, body: Body, text: str) -> str:
        """The label of a text. Raises OSError, HTTPException, or ValueError for an answer without one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", body.path, body.of(text), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"status {answer.status}: {content[:200]!r}")
        return find_label(json.loads(content))

    def cpu_s(self) -> float:
        """User and system seconds of all its processes so far; one that ended counts with what was last seen of it."""
        for process in marked(self.mark):
            try:
                used = process.cpu_times()
            except psutil.Error:
                continue
            self._ended[process] = used.user + used.system
        return sum(self._ended.values())

    def settle(self) -> None:
        """Wait until it is idle: a worker may still be loading, or answer what nobody waits for any more."""
        end = time.perf_counter() + SETTLE_LIMIT_S
        while time.perf_counter() < end:
            before = self.cpu_s()
            time.sleep(SETTLE_S)
            if self.cpu_s() - before < SETTLE_S / 5:
                return

    def memory(self) -> Memory:
        """What its processes hold now."""
        found = []
        for process in marked(self.mark):
            try:
                found.append(process.memory_full_info())
            except psutil.Error:
                continue
        return Memory(max(one.rss for one in found) / MEGA, sum(one.pss for one in found) / MEGA, len(found))

    def log_end(self) -> str:
        """The last that it wrote."""
        return self._log.read_text(errors="replace")[-LOG_END:]

    def stop(self) -> None:
        """End it as an operator would, and what is left of it by force."""
        if self.process.poll() is None:
            self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_LIMIT_S)
        _, left = psutil.wait_procs(list(marked(self.mark)), timeout=3)
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=10)
        self.process.wait(10)


@contextmanager
def started(command: Sequence[str], port: int, variables: dict[str, str], body: Body, log: Path, folder: Path) -> Iterator[Running]:
    """A server that answers, stopped at the end."""
    running = Running.start(command, port, variables, body, log, folder)
    try:
        yield running
    finally:
        running.stop()


def marked(mark: str) -> Iterator[psutil.Process]:
    """The processes of one run."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                yield process
        except psutil.Error:
            continue


def find_label(answer: Any) -> str:
    """The label in any server's answer: `{"label"}` itself, in a list, or under `predictions`. Raises ValueError."""
    found = answer
    if isinstance(found, dict) and "predictions" in found:
        found = found["predictions"]
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict) or not isinstance(found.get("label"), str):
        raise ValueError(f"expected an answer with a label, found {str(answer)[:200]}")
    return str(found["label"])


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
