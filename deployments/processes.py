"""Long-lived local processes under one supervisord: the stack's services and the endpoints' servers.

Every program is a file under `<home>/supervisor/programs`, so that a restarted supervisord starts all of them again.
supervisord and everything below it carry HEADGATE_SUPERVISED=<home>, by which leftovers of a killed stack are found.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field
from supervisor.xmlrpc import Faults, SupervisorTransport

from deployments.supervisord import Program, program_file, socket_path, supervisord_file, write_private
from headgate.errors import Unavailable

__all__ = ["MARKER", "ProcessState", "Processes", "Program"]

MARKER = "HEADGATE_SUPERVISED"


class ProcessState(BaseModel):
    """One program as supervisord sees it."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: str = Field(description="STARTING, RUNNING, BACKOFF, STOPPING, STOPPED, EXITED or FATAL")
    pid: int | None
    exit: str | None = Field(description="how it last ended, such as 'exit status 1'; None while it runs")
    log: Path


class Processes:
    """The programs of one home folder; safe to use from several processes at once."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.folder = self.home / "supervisor"
        self.logs = self.home / "logs"
        self.socket = socket_path(self.folder)
        self._lock = FileLock(self.folder / ".lock", timeout=120)

    def ensure_running(self) -> list[str]:
        """Start supervisord and every known program unless they run; says what was found and repaired."""
        with self._locked():
            if self._answers():
                return self._start_what_stopped()
            if os.environ.get(MARKER) == str(self.home):
                raise Unavailable(f"supervisord of {self.home} was killed while this process ran under it; start the stack again")
            found = self._stop_leftovers()
            self._spawn()
            return found

    def start(self, program: Program) -> None:
        """Run the program from now on; harmless if it runs, and a changed command replaces the running one."""
        with self._locked(), self._rpc() as supervisor:
            write_private(self._file(program.name), program_file(program, self.home, self.log(program.name)))
            _, changed, _ = supervisor.reloadConfig()[0]
            if program.name in changed:
                self._drop(supervisor, program.name)
            with _ignored(Faults.ALREADY_ADDED):
                supervisor.addProcessGroup(program.name)
            with _ignored(Faults.ALREADY_STARTED):
                supervisor.startProcess(program.name, False)

    def stop(self, name: str) -> None:
        """Stop the program and forget it; harmless if it is unknown."""
        with self._locked():
            self._file(name).unlink(missing_ok=True)
            if self._answers():
                with self._rpc() as supervisor:
                    self._drop(supervisor, name)

    def restart(self, name: str) -> None:
        """Stop the program and start it again; Unavailable if supervisord does not know it."""
        with self._locked(), self._rpc() as supervisor:
            with _ignored(Faults.NOT_RUNNING):
                supervisor.stopProcess(name)
            supervisor.startProcess(name, False)

    def states(self) -> dict[str, ProcessState]:
        """Every program by name; empty if supervisord does not run."""
        if not self._answers():
            return {}
        with self._rpc() as supervisor:
            return {info["name"]: self._state(info) for info in supervisor.getAllProcessInfo()}

    def names(self) -> set[str]:
        """Every program that is kept running, or shall be with the next ensure_running."""
        return {file.stem for file in (self.folder / "programs").glob("[!.]*.conf")} | self.states().keys()

    def log_tail(self, name: str, lines: int = 20) -> list[str]:
        """The last lines that the program printed."""
        log = self.log(name)
        return log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else []

    def log(self, name: str) -> Path:
        """Where the program's output goes."""
        return self.logs / f"{name}.log"

    def last_exit(self, name: str) -> str | None:
        """How the program last ended by itself, such as 'exit status 1' or 'terminated by SIGKILL'."""
        log = self.folder / "supervisord.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        found = re.findall(rf"exited: {re.escape(name)} \(([^;)]*)", text)
        return found[-1] if found else None

    def shutdown(self) -> list[str]:
        """Stop every program and supervisord; the programs start again with the next ensure_running. Says what had to be killed."""
        with self._locked():
            if self._answers():
                with self._rpc() as supervisor:
                    pid = supervisor.getPID()
                    supervisor.shutdown()
                _wait_until(lambda: not _alive(pid), 60)
            return self._stop_leftovers()

    def owns(self, pid: int) -> bool:
        """Whether the process belongs to this home: supervisord, a program, or what a program started."""
        try:
            return psutil.Process(pid).environ().get(MARKER) == str(self.home)
        except psutil.Error:
            return False

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock:
            yield

    @contextmanager
    def _rpc(self) -> Iterator[Any]:
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        try:
            yield ServerProxy("http://localhost", transport=transport).supervisor
        except (OSError, HTTPException) as fault:
            raise Unavailable(f"supervisord of {self.home} does not answer ({fault}); start the stack") from fault
        except Fault as fault:
            raise Unavailable(f"supervisord of {self.home} refused: {fault.faultString}; see {self.folder}/supervisord.log") from fault
        finally:
            transport.close()

    def _answers(self) -> bool:
        try:
            with self._rpc() as supervisor:
                answer: str = supervisor.getState()["statename"]
            return answer == "RUNNING"
        except Unavailable:
            return False

    def _spawn(self) -> None:
        for folder in (self.folder / "programs", self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "supervisord.conf"
        write_private(file, supervisord_file(self.socket, self.home, self.folder))
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(file)]
        done = subprocess.run(command, env=os.environ | {MARKER: str(self.home)}, capture_output=True, text=True)
        if done.returncode or not _wait_until(self._answers, 20):
            raise Unavailable(f"supervisord did not start: {done.stdout}{done.stderr}; see {self.folder}/supervisord.log")

    def _start_what_stopped(self) -> list[str]:
        found = []
        with self._rpc() as supervisor:
            for info in supervisor.getAllProcessInfo():
                if info["statename"] in ("FATAL", "EXITED", "STOPPED"):
                    with _ignored(Faults.ALREADY_STARTED):
                        supervisor.startProcess(info["name"], False)
                    found.append(f"{info['name']} was {info['statename'].lower()}; started it again")
        return found

    def _stop_leftovers(self) -> list[str]:
        kept = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        left = [process for process in psutil.process_iter() if process.pid not in kept and self.owns(process.pid)]
        if not left:
            return []
        told = ", ".join(f"{_name(process)} (pid {process.pid})" for process in left)
        _signal(left, "terminate")
        if not _wait_until(lambda: not any(_alive(process.pid) for process in left), 10):
            _signal(left, "kill")
            _wait_until(lambda: not any(_alive(process.pid) for process in left), 10)
        return [f"stopped {len(left)} process(es) left over from a stack that was killed: {told}"]

    def _drop(self, supervisor: Any, name: str) -> None:
        with _ignored(Faults.NOT_RUNNING, Faults.BAD_NAME):
            supervisor.stopProcess(name)
        with _ignored(Faults.BAD_NAME):
            supervisor.removeProcessGroup(name)

    def _state(self, info: Mapping[str, Any]) -> ProcessState:
        runs = info["statename"] in ("STARTING", "RUNNING", "STOPPING")
        name = info["name"]
        ended = None if runs else self.last_exit(name)
        return ProcessState(name=name, state=info["statename"], pid=info["pid"] or None, exit=ended, log=self.log(name))

    def _file(self, name: str) -> Path:
        return self.folder / "programs" / f"{name}.conf"


@contextmanager
def _ignored(*codes: int) -> Iterator[None]:
    try:
        yield
    except Fault as fault:
        if fault.faultCode not in codes:
            raise


def _signal(processes: Sequence[psutil.Process], name: str) -> None:
    for process in processes:
        try:
            getattr(process, name)()
        except psutil.NoSuchProcess:
            continue


def _alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not, however long nobody reaps it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return "process"


def _wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
