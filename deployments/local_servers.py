"""The processes of one endpoint on this machine: a router, and one server for each live revision."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deployments.layout import Layout
from deployments.ports import Ports
from deployments.processes import Processes, Program
from deployments.routes import Backend, Routes
from deployments.supervisord import write_private
from deployments.target import Revision
from headgate.errors import Refused, Unavailable

SERVER = (sys.executable, "-m", "headgate.serving")
ROUTER = (sys.executable, "-m", "deployments.router")
_CHECKOUT = Path(__file__).parents[1]
_DRAINED_S = 90


@dataclass(frozen=True)
class EndpointServers:
    """Makes a layout of one endpoint real. A server is told nothing of its cohort: the router names it with each request."""

    endpoint: str
    folder: Path
    logs: Path
    processes: Processes
    ports: Ports
    first_port: int
    ready_s: float
    server: Sequence[str] = SERVER
    log_text: Mapping[str, str] = field(default_factory=dict)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=_DRAINED_S, trust_env=False))

    @property
    def router(self) -> str:
        """The router's name among the programs and the ports."""
        return f"{self.endpoint}.router"

    @property
    def url(self) -> str | None:
        """The router's address, which clients use."""
        port = self.ports.known().get(self.router)
        return f"http://127.0.0.1:{port}" if port else None

    @property
    def errors(self) -> Path:
        """The router's error log."""
        return self.folder / "errors.jsonl"

    def make_real(self, layout: Layout, known: Layout) -> None:
        """Start, switch, stop, in this order; doing so again does nothing.

        A server that `known` has may restart on the way; a new one may not, and Refused tells how it ended.
        """
        self.processes.ensure_running()
        live = layout.live()
        backends = {cohort: self._start(revision) for cohort, revision in live.items()}
        for cohort, revision in live.items():
            self._wait_ready(revision.release, backends[cohort].url, patient=revision.release in known.releases())
        keep = {self._name(release) for release in layout.releases()}
        if layout.champion:
            self._route(Routes(split=layout.split, **backends))
            keep.add(self.router)
        self._stop_all_but(keep)

    def stop(self) -> None:
        """Stop all of them; doing so again does nothing."""
        self._stop_all_but(set())

    def ready(self, url: str | None) -> bool:
        """Whether what listens there says that it is ready."""
        try:
            return url is not None and self.http.get(f"{url}/ping", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def dropped_copies(self) -> int:
        """Calls that the router did not mirror since it started, by its own count; 0 where it does not answer."""
        try:
            shown = self.http.get(f"{self.url}/metrics", timeout=5).text if self.url else ""
        except httpx.HTTPError:
            return 0
        counted = (line.split()[-1] for line in shown.splitlines() if line.startswith("headgate_router_shadow_dropped_total{"))
        return sum(int(float(number)) for number in counted)

    def states(self) -> str:
        """The endpoint's programs and their states, for a reader."""
        states = self.processes.states()
        return ", ".join(f"{name} {states[name].state}" for name in sorted(states) if self._mine(name)) or "supervisord does not run"

    def _name(self, release: str) -> str:
        return f"{self.endpoint}.{release}"

    def _mine(self, name: str) -> bool:
        return name.startswith(f"{self.endpoint}.")

    def _start(self, revision: Revision) -> Backend:
        name = self._name(revision.release)
        port = self.ports.get(name, self.first_port + 100).port
        where = (str(revision.bundle), "--host", "127.0.0.1", "--port", str(port), "--log-dir", str(self.logs / revision.release))
        what = ("--model", revision.model, "--release", revision.release, *self._options(revision))
        self.processes.start(Program(name=name, command=(*self.server, *where, *what), cwd=_CHECKOUT, stop_wait_s=40))
        return Backend(release=revision.release, url=f"http://127.0.0.1:{port}")

    def _options(self, revision: Revision) -> tuple[str, ...]:
        """The release's configuration; of one without, what the settings say today."""
        if told := revision.configuration:
            return ("--log-text", told.log_text, "--max-cached", str(told.max_cached), "--workers", str(told.workers))
        kept = self.log_text.get(revision.model)
        return ("--log-text", kept) if kept else ()

    def _wait_ready(self, release: str, url: str, patient: bool) -> None:
        name, pids = self._name(release), set()
        deadline = time.monotonic() + self.ready_s
        while time.monotonic() < deadline:
            if (state := self.processes.states().get(name)) is None:
                raise Unavailable(f"supervisord no longer knows {name}; try again")
            pids |= {state.pid} - {None}
            crashed = state.state in ("BACKOFF", "EXITED") or len(pids) > 1
            if state.state == "FATAL" or (crashed and not patient):
                raise Refused(self._not_ready(release, f"it ended with {self.processes.last_exit(name)}"))
            if state.pid and self.ready(url):
                return
            time.sleep(0.1)
        raise Refused(self._not_ready(release, f"no answer to GET /ping within {self.ready_s:g} s"))

    def _not_ready(self, release: str, reason: str) -> str:
        log = self.processes.log(self._name(release))
        lines = "\n".join(f"  {line}" for line in self.processes.log_tail(self._name(release), 10)) or "  (none)"
        told = f"release {release} did not become ready at endpoint {self.endpoint}: {reason}; nothing was changed."
        return f"{told} Last lines of {log}:\n{lines}"

    def _route(self, routes: Routes) -> None:
        """Put the routes in force, and return once nothing is under way to a server that they leave out."""
        file = self.folder / "routes.json"
        write_private(file, routes.model_dump_json(indent=1))
        port = self.ports.get(self.router, self.first_port).port
        options = ("--routes", str(file), "--errors", str(self.errors), "--port", str(port))
        self.processes.start(Program(name=self.router, command=(*ROUTER, self.endpoint, *options), cwd=_CHECKOUT, stop_wait_s=15))
        deadline = time.monotonic() + self.ready_s
        while self._reloaded(port) != routes:
            if time.monotonic() > deadline:
                lines = "\n".join(self.processes.log_tail(self.router, 10))
                raise Unavailable(f"the router of endpoint {self.endpoint} did not take its routes within {self.ready_s:g} s:\n{lines}")
            time.sleep(0.1)

    def _reloaded(self, port: int) -> Routes | None:
        try:
            answer = self.http.post(f"http://127.0.0.1:{port}/-/reload")
            return Routes.model_validate(answer.json()["routes"]) if answer.is_success else None
        except (httpx.HTTPError, ValueError, KeyError):
            return None

    def _stop_all_but(self, keep: set[str]) -> None:
        for name in filter(self._mine, self.processes.names() - keep):
            self.processes.stop(name)
        for name in filter(self._mine, self.ports.known().keys() - keep):
            self.ports.release(name)
