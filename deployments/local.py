"""Endpoints on this machine: for each a router on a fixed port, and one server process for each live revision.

`<home>/endpoints/<endpoint>/state.json` holds what is settled and, while a change is being made, what is intended. A change
is computed from what is settled, written as intent, and made real in an order that loses no request: start servers and wait,
switch the router and wait until the old servers have nothing under way, stop those. Making real what already is real does
nothing, so that a change that was killed anywhere is repaired by repeating it, or undone by any other change.
"""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx
from filelock import FileLock, Timeout

from deployments import layout as layouts
from deployments.answers import answers_between
from deployments.asking import ask
from deployments.corrections import corrections_since, count_corrections
from deployments.layout import Layout, ran_here
from deployments.local_servers import SERVER, EndpointServers
from deployments.mirrors import Side, read_mirrored
from deployments.observations import observe_files
from deployments.ports import Ports
from deployments.processes import Processes
from deployments.supervisord import write_private
from deployments.target import Cohort, EndpointStatus, Mirrored, Observation, Revision, Running, Split
from headgate.errors import BadBundle, BadInput, NotFound, Refused, Unavailable
from headgate.model.bundle import open_bundle
from headgate.model.signing import verify_digest
from headgate.record import Record
from headgate.release.observation import Answers
from headgate.release.verification import running_of


class State(Record):
    """The content of state.json."""

    settled: Layout = Layout()
    action: str = ""
    intended: Layout | None = None


class LocalTarget:
    """The endpoints under one home folder; safe to use from several processes at once."""

    routing: Literal["stepwise", "native"] = "stepwise"

    def __init__(
        self,
        home: Path,
        processes: Processes | None = None,
        *,
        first_port: int = 8400,
        ready_s: float = 120,
        server: Sequence[str] = SERVER,
        public_key: Path | None = None,
        log_text: Mapping[str, str] | None = None,
    ) -> None:
        """log_text: what the servers' log keeps of a text, by model, for revisions without configuration; else the servers' default."""
        self.home = home.resolve()
        self.processes = processes or Processes(home)
        self.ports = Ports(home)
        self.first_port, self.ready_s, self.server = first_port, ready_s, tuple(server)
        self.public_key = public_key
        self.log_text = dict(log_text or {})
        self._http = httpx.Client(timeout=90, trust_env=False)

    def deploy(self, endpoint: str, revision: Revision) -> EndpointStatus:
        """Start the revision beside the champion with no traffic; an endpoint's first revision becomes its champion. Idempotent."""
        if self.public_key:
            verify_digest("bundle", revision.bundle_digest, revision.signature, self.public_key)
        stored = self._stored(revision)
        return self._change(endpoint, f"deploy {stored.release}", layouts.deploy(stored), new=True)

    def status(self, endpoint: str) -> EndpointStatus:
        """What the endpoint serves now; changes nothing, and an unknown endpoint is one that is not ready."""
        state = self._read(endpoint)
        if state is None:
            return EndpointStatus(endpoint=endpoint, detail="nothing is deployed here")
        servers = self._servers(endpoint)
        ready = servers.ready(servers.url)
        detail = "" if ready else servers.states()
        if state.intended:
            detail = f"'{state.action}' is under way, or was interrupted: then repeat it"
        return EndpointStatus(endpoint=endpoint, url=servers.url, ready=ready, detail=detail, **dict(state.settled))

    def set_split(self, endpoint: str, split: Split) -> EndpointStatus:
        """Share the requests out between champion and challenger. Idempotent."""
        action = f"set_split {split.champion}/{split.challenger}, shadow {split.shadow}"
        return self._change(endpoint, action, layouts.share(endpoint, split))

    def promote(self, endpoint: str, release: str) -> EndpointStatus:
        """Make the challenger with this release the champion, with all traffic, and keep the old one as previous. Idempotent."""
        return self._change(endpoint, f"promote {release}", layouts.promote(endpoint, release))

    def rollback(self, endpoint: str, to: Revision | None = None) -> EndpointStatus:
        """Drop the challenger and give the champion all traffic; a revision becomes champion again instead. Idempotent."""
        stored = self._stored(to) if to else None

        def back(now: Layout) -> Layout:
            if self.public_key and stored and not ran_here(now, stored.bundle_digest):
                verify_digest("bundle", stored.bundle_digest, stored.signature, self.public_key)
            return layouts.roll_back(stored)(now)

        return self._change(endpoint, f"rollback to {stored.release}" if stored else "rollback", back)

    def observe(self, endpoint: str, window_s: float, correction_wait_s: float | None = None) -> tuple[Observation, ...]:
        """What champion and challenger answered in the last window_s seconds, and its corrections where asked; changes nothing."""
        errors, live, now = self._servers(endpoint).errors, self._known(endpoint).settled.live(), datetime.now(UTC)
        logs = {cohort: self.prediction_log(endpoint, revision.release) for cohort, revision in live.items()}
        heard = None
        if correction_wait_s is not None:
            told = corrections_since(logs.values(), now - timedelta(seconds=window_s))
            heard = partial(count_corrections, told=told, wait_s=correction_wait_s, now=now)
        return tuple(
            observe_files(cohort, window_s, logs[cohort], errors, revision.release, now, heard) for cohort, revision in live.items()
        )

    def answers(self, endpoint: str, since: datetime, until: datetime) -> Answers:
        """All that champion and challenger logged from since to until, with the corrections that came by then; changes nothing."""
        live = self._known(endpoint).settled.live()
        releases = {str(cohort): revision.release for cohort, revision in live.items()}
        logs = {cohort: self.prediction_log(endpoint, release) for cohort, release in releases.items()}
        return answers_between(releases, logs, self._servers(endpoint).errors, since, until)

    def mirrored(self, endpoint: str, window_s: float) -> Mirrored:
        """What champion and challenger answered to the same mirrored requests in the last window_s seconds; changes nothing."""
        servers, live = self._servers(endpoint), self._known(endpoint).settled
        if live.champion is None or live.challenger is None:
            return Mirrored()
        champion, challenger = (Side(self.prediction_log(endpoint, one.release), one.release) for one in (live.champion, live.challenger))
        since = datetime.now(UTC) - timedelta(seconds=window_s)
        return read_mirrored(champion, challenger, servers.errors, since)._replace(dropped=servers.dropped_copies())

    def invoke(self, endpoint: str, body: dict[str, Any], cohort: Cohort | None = None) -> dict[str, Any]:
        """Score a request past the cache, by the named cohort if one is given; changes nothing."""
        self._require_live(endpoint, cohort)
        headers = {"X-Headgate-Cache": "off"} | ({"X-Headgate-Cohort": cohort} if cohort else {})
        return self._asked(endpoint, "POST", "/invocations", headers, body)

    def running(self, endpoint: str, cohort: Cohort) -> Running:
        """What the cohort's server says about itself, read from it now; NotFound if there is none, changes nothing."""
        self._require_live(endpoint, cohort)
        return running_of(self._asked(endpoint, "GET", "/ping", {"X-Headgate-Cohort": cohort}))

    def delete(self, endpoint: str) -> None:
        """Stop everything of the endpoint and forget it; its prediction log stays. Idempotent."""
        with self._locked(endpoint):
            self._servers(endpoint).stop()
            self._forget(endpoint, "state.json")
            self._forget(endpoint, "routes.json")

    def recover(self) -> list[str]:
        """Undo changes that were killed half-way and bring back servers that are down; says what was found."""
        found = []
        for endpoint in self.endpoints():
            with self._locked(endpoint):
                state = self._read(endpoint) or State()
                if state.intended:
                    found.append(f"endpoint {endpoint}: '{state.action}' was interrupted and is undone; repeat it")
                try:
                    self._settle(endpoint, state.settled)
                except (Refused, Unavailable) as fault:
                    found.append(str(fault))
        return found

    def endpoints(self) -> list[str]:
        """Names of the endpoints that serve something."""
        return sorted(file.parent.name for file in (self.home / "endpoints").glob("*/state.json"))

    def prediction_log(self, endpoint: str, release: str) -> Path:
        """The folder of the prediction log that the release's server writes at this endpoint."""
        return self.home / "predictions" / endpoint / release

    def _change(self, endpoint: str, action: str, decide: Callable[[Layout], Layout], new: bool = False) -> EndpointStatus:
        """Make a change real, or leave everything as it was; with `new` the endpoint need not be there."""
        with self._locked(endpoint):
            state = (self._read(endpoint) or State()) if new else self._known(endpoint)
            intended = decide(state.settled)
            self._write(endpoint, State(settled=state.settled, action=action, intended=intended))
            try:
                self._servers(endpoint).make_real(intended, known=state.settled)
            except (Refused, Unavailable):
                self._settle(endpoint, state.settled)
                raise
            self._write(endpoint, State(settled=intended))
        return self.status(endpoint)

    def _settle(self, endpoint: str, layout: Layout) -> None:
        """Make real what was settled before, and drop the intent."""
        self._servers(endpoint).make_real(layout, known=layout)
        if layout.champion:
            self._write(endpoint, State(settled=layout))
        else:
            self._state_file(endpoint).unlink(missing_ok=True)

    def _servers(self, endpoint: str) -> EndpointServers:
        return EndpointServers(
            endpoint=endpoint,
            folder=self._folder(endpoint),
            logs=self.home / "predictions" / endpoint,
            processes=self.processes,
            ports=self.ports,
            first_port=self.first_port,
            ready_s=self.ready_s,
            server=self.server,
            log_text=self.log_text,
            http=self._http,
        )

    def _asked(self, endpoint: str, method: str, path: str, headers: dict[str, str], body: dict[str, Any] | None = None) -> dict[str, Any]:
        return ask(self._http, endpoint, f"{self._servers(endpoint).url}{path}", method, headers, body)

    def _stored(self, revision: Revision) -> Revision:
        """The revision with a copy of its bundle that belongs to this home; BadBundle if it is another bundle."""
        folder = self.home / "bundles" / revision.bundle_digest
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.exists():
                found = open_bundle(revision.bundle).digest
                if found != revision.bundle_digest:
                    told = f"release {revision.release}: expected bundle {revision.bundle_digest}, found {found} in {revision.bundle}"
                    raise BadBundle(told)
                partial = folder.with_name(f".{folder.name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(revision.bundle, partial)
                partial.rename(folder)
        return revision.model_copy(update={"bundle": folder})

    def _require_live(self, endpoint: str, cohort: Cohort | None) -> None:
        if cohort not in (None, *self._known(endpoint).settled.live()):
            raise NotFound(f"endpoint {endpoint} has no {cohort}; deploy one first")

    def _known(self, endpoint: str) -> State:
        if (state := self._read(endpoint)) and state.settled.champion:
            return state
        there = ", ".join(self.endpoints()) or "none"
        raise NotFound(f"no endpoint {endpoint} in {self.home}; found: {there}. `headgate deploy` makes one")

    def _read(self, endpoint: str) -> State | None:
        file = self._state_file(endpoint)
        return State.model_validate_json(file.read_bytes()) if file.exists() else None

    def _write(self, endpoint: str, state: State) -> None:
        write_private(self._state_file(endpoint), state.model_dump_json(indent=1))

    def _forget(self, endpoint: str, file: str) -> None:
        (self._folder(endpoint) / file).unlink(missing_ok=True)

    def _state_file(self, endpoint: str) -> Path:
        return self._folder(endpoint) / "state.json"

    def _folder(self, endpoint: str) -> Path:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", endpoint):
            raise BadInput(f"expected an endpoint name of lower-case letters, digits and hyphens, found {endpoint!r}")
        return self.home / "endpoints" / endpoint

    @contextmanager
    def _locked(self, endpoint: str) -> Iterator[None]:
        """One change at a time for an endpoint, among all processes."""
        folder = self._folder(endpoint)
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=2 * self.ready_s)
        except Timeout:
            raise Unavailable(f"endpoint {endpoint} is being changed by another process; try again") from None
        try:
            yield
        finally:
            lock.release()
