"""Endpoints on a Kubernetes cluster: for each an HTTPRoute, and for each live release its own Deployment and Service.

The HTTPRoute holds what is settled: its weights are what the Gateway does, and an annotation names the revisions behind them, so that
one apply changes both at once. A change starts servers and waits, switches the route and waits until the Gateway took it, then removes
what the route no longer names. Doing so again does nothing; a change that was killed anywhere is repaired by repeating it, and
its leftovers are removed by any other change.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx

from deployments import layout as layouts
from deployments.answers import answers_between
from deployments.asking import ask
from deployments.cluster import Cluster
from deployments.cluster_routes import ClusterRoutes, layout_of
from deployments.cluster_servers import ClusterServers
from deployments.cluster_services import ClusterServices, ask_within
from deployments.corrections import corrections_since, count_corrections
from deployments.layout import Layout, ran_here
from deployments.manifests.traffic import COHORT, Gateway, host_of
from deployments.manifests.workload import Manifest, Replicas, Resources, Workload, short
from deployments.mirrors import Side, read_mirrored
from deployments.observations import observe_files
from deployments.pod_logs import copy_logs, note_failed
from deployments.pod_reasons import image_digest, reasons
from deployments.target import Answers, Cohort, EndpointStatus, Mirrored, Observation, Revision, Running, Split
from headgate.errors import BadInput, NotFound, Refused, Stale, Unavailable
from headgate.model.signing import verify_digest
from headgate.release.verification import running_of

ASKED = 3  # times that a look asks each cohort itself, past the cache
PING_S = 5.0  # who answers a ping later than that does not answer
Size = tuple[Resources, Replicas]


@dataclass(frozen=True)
class Place:
    """Where endpoints are, and how they are reached: `url` is the Gateway's address for clients, `repository` that of the images.

    Without a gateway one Service shares requests out, by the number of pods.
    """

    namespace: str
    gateway: Gateway | None
    url: str
    repository: str
    context: str | None = None
    callers: tuple[str, ...] = ()


@dataclass(frozen=True)
class KubernetesTarget:
    """The endpoints in one namespace. `home` keeps copies of prediction logs, `size` says what a release's pods may use, and how many.

    ready_s: how long a release's pods have to become ready, and the Gateway to take a route.
    """

    place: Place
    home: Path
    size: Callable[[Revision], Size] = lambda _: (Resources(), Replicas())
    public_key: Path | None = None
    ready_s: float = 120
    routing: Literal["stepwise", "native"] = "stepwise"
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=90, trust_env=False), compare=False)
    _clusters: dict[str, Cluster] = field(default_factory=dict, compare=False)

    @property
    def cluster(self) -> Cluster:
        """The namespace, found when it is first needed."""
        return self._clusters.setdefault("", Cluster(self.place.namespace, self.place.context))

    def deploy(self, endpoint: str, revision: Revision) -> EndpointStatus:
        """Start the revision beside the champion with no traffic; an endpoint's first revision becomes its champion. Idempotent."""
        if self.public_key:
            verify_digest("bundle", revision.bundle_digest, revision.signature, self.public_key)
        return self._change(endpoint, layouts.deploy(revision), new=True)

    def status(self, endpoint: str) -> EndpointStatus:
        """What the endpoint serves now; changes nothing, and an unknown endpoint is one that is not ready."""
        if (route := self._routes.read(endpoint)) is None:
            return EndpointStatus(endpoint=endpoint, detail="nothing is deployed here")
        layout, servers = layout_of(route), self._servers(endpoint)
        able = {cohort: servers.available(revision) for cohort, revision in layout.live().items()}
        told = [line for revision in layout.live().values() for line in reasons(servers.pods(revision))]
        return EndpointStatus(
            endpoint=endpoint, url=self.place.url, ready=able.get("champion", 0) > 0, detail="; ".join(told), **dict(layout)
        )

    def set_split(self, endpoint: str, split: Split) -> EndpointStatus:
        """Share the requests out between champion and challenger. Idempotent."""
        return self._change(endpoint, layouts.share(endpoint, split))

    def promote(self, endpoint: str, release: str) -> EndpointStatus:
        """Make the challenger with this release the champion, with all traffic, and keep the old one as previous. Idempotent."""
        return self._change(endpoint, layouts.promote(endpoint, release))

    def rollback(self, endpoint: str, to: Revision | None = None) -> EndpointStatus:
        """Drop the challenger and give the champion all traffic; a revision becomes champion again instead. Idempotent."""

        def back(now: Layout) -> Layout:
            if self.public_key and to and not ran_here(now, to.bundle_digest):
                verify_digest("bundle", to.bundle_digest, to.signature, self.public_key)
            return layouts.roll_back(to)(now)

        return self._change(endpoint, back, patient=True)

    def observe(self, endpoint: str, window_s: float, correction_wait_s: float | None = None) -> tuple[Observation, ...]:
        """What champion and challenger answered in the last window_s seconds; changes nothing.

        With correction_wait_s also what users said of the answers that are so old, within that time.
        """
        now, heard = datetime.now(UTC), None
        live = self._looked_at(endpoint, now - timedelta(seconds=window_s)).live()
        logs = {cohort: self._log(endpoint, revision.release) for cohort, revision in live.items()}
        if correction_wait_s is not None:
            told = corrections_since(logs.values(), now - timedelta(seconds=window_s))
            heard = partial(count_corrections, told=told, wait_s=correction_wait_s, now=now)
        return tuple(
            observe_files(cohort, window_s, logs[cohort], self._errors(endpoint), revision.release, now, heard, by_release=True)
            for cohort, revision in live.items()
        )

    def answers(self, endpoint: str, since: datetime, until: datetime) -> Answers:
        """All that champion and challenger logged from since to until, with the corrections that came by then; changes nothing."""
        live = self._looked_at(endpoint, since).live()
        releases = {str(cohort): revision.release for cohort, revision in live.items()}
        logs = {str(cohort): self._log(endpoint, revision.release) for cohort, revision in live.items()}
        return answers_between(releases, logs, self._errors(endpoint), since, until, by_release=True)

    def mirrored(self, endpoint: str, window_s: float) -> Mirrored:
        """What champion and challenger answered to the same mirrored requests in the last window_s seconds; changes nothing."""
        since = datetime.now(UTC) - timedelta(seconds=window_s)
        layout = self._looked_at(endpoint, since)
        if layout.champion is None or layout.challenger is None:
            return Mirrored()
        champion, challenger = (Side(self._log(endpoint, one.release), one.release) for one in (layout.champion, layout.challenger))
        return read_mirrored(champion, challenger, self._errors(endpoint), since, by_release=True, percent=layout.split.shadow)

    def collect(self, endpoint: str, since: datetime) -> None:
        """Copy what champion and challenger logged in files that were written since then, for who ships it; changes nothing."""
        self._copied(endpoint, since)

    def invoke(self, endpoint: str, body: dict[str, Any], cohort: Cohort | None = None) -> dict[str, Any]:
        """Score a request past the cache, by the named cohort if one is given; changes nothing."""
        live = layout_of(self._routes.known(endpoint)).live()
        if cohort and cohort not in live:  # the standard lets a request for nobody fall to the weighted rule
            raise NotFound(f"endpoint {endpoint} has no {cohort}; deploy one first")
        return self._ask(endpoint, "POST", "/invocations", {"X-Headgate-Cache": "off"}, cohort, body)

    def running(self, endpoint: str, cohort: Cohort) -> Running:
        """What the cohort's server says about itself, read from it now; NotFound if there is none, changes nothing."""
        if (revision := layout_of(self._routes.known(endpoint)).live().get(cohort)) is None:
            raise NotFound(f"endpoint {endpoint} has no {cohort}; deploy one first")
        return running_of(self._ask(endpoint, "GET", "/ping", {}, cohort), image_digest(self._servers(endpoint).pods(revision)))

    def delete(self, endpoint: str) -> None:
        """Stop everything of the endpoint and forget it; the copies of its prediction log stay. Idempotent."""
        if (route := self._routes.read(endpoint)) is not None:
            self.cluster.remove(route)
        servers = self._servers(endpoint)
        servers.remove(servers.there())

    def _change(self, endpoint: str, decide: layouts.Change, new: bool = False, patient: bool = False) -> EndpointStatus:
        """Make a change real, or leave everything as it was; with `new` the endpoint need not be there.

        Servers that serve already are left alone, so that taking a challenger away never waits for a champion that limps; the same again
        is a repair, which brings back what is missing of them. patient: what looks hopeless is waited for, too.
        """
        route = self._routes.read(endpoint) if new else self._routes.known(endpoint)
        now = layout_of(route) if route else Layout()
        wanted, servers = decide(now), self._servers(endpoint)
        try:
            route = self._routes.prepare(servers, now, wanted, route)
            self._start(servers, now, wanted, patient)
            self._routes.settle(servers, now, wanted)
            self._routes.switch(self._route_of(endpoint, wanted), wanted, route)
        except (Refused, Stale):
            servers.remove({short(one) for one in wanted.releases() - now.releases() - self._live(endpoint)})
            raise
        if (found := self._live(endpoint)) != wanted.releases():
            raise Stale(
                f"endpoint {endpoint}: it was changed meanwhile: expected {sorted(wanted.releases())}, found {sorted(found)}; look again"
            )
        servers.remove(servers.there() - {short(release) for release in found})
        return self.status(endpoint)

    def _start(self, servers: ClusterServers, now: Layout, wanted: Layout, patient: bool) -> None:
        """All that shall serve is ready, with as many pods as its requests had until now."""
        heir = now.champion and wanted.champion and now.champion.release != wanted.champion.release
        pods = servers.replicas(now.champion) if heir and now.champion else 0
        for cohort, revision in wanted.live().items():
            stays = revision.release in now.releases()
            if wanted == now or not stays:
                servers.start(revision, pods if cohort == "champion" else 0, patient=patient or stays, stays=stays)
            elif cohort == "champion" and heir:
                servers.grow(revision, pods)
        if now.champion and not heir and wanted.split.challenger > now.split.challenger == 0:
            servers.hold(now.champion)
        elif now.champion and not heir and now.challenger is None and wanted.challenger:
            servers.let_go(now.champion)

    def _live(self, endpoint: str) -> set[str]:
        """The releases that the route names now."""
        route = self._routes.read(endpoint)
        return layout_of(route).releases() if route else set()

    def _route_of(self, endpoint: str, layout: Layout) -> Manifest:
        champion, challenger = (self._workload(endpoint, one) if one else None for one in (layout.champion, layout.challenger))
        assert champion is not None
        return self._routes.make(champion, challenger, layout.split)

    @property
    def _routes(self) -> ClusterRoutes | ClusterServices:
        if self.place.gateway is None:
            return ClusterServices(self.cluster, self.ready_s)
        return ClusterRoutes(self.cluster, self.place.gateway, self.ready_s)

    def _servers(self, endpoint: str) -> ClusterServers:
        def copy(release: str, pods: Sequence[Manifest]) -> None:
            copy_logs(pods, self._log(endpoint, release), self.cluster.run, lambda _: None, datetime.now(UTC))

        return ClusterServers(self.cluster, endpoint, partial(self._workload, endpoint), copy, self.ready_s)

    def _looked_at(self, endpoint: str, since: datetime) -> Layout:
        """What serves, once what it logged since then is copied here; a cohort that does not answer us has failed calls."""
        layout = self._copied(endpoint, since)
        for cohort, revision in layout.live().items():
            silent = sum(not self._answers(endpoint, cohort) for _ in range(ASKED))
            told = "no answer to GET /ping"
            note_failed(self._errors(endpoint), _failing(layout, cohort), revision.release, silent, told)
        return layout

    def _copied(self, endpoint: str, since: datetime) -> Layout:
        layout, servers = layout_of(self._routes.known(endpoint)), self._servers(endpoint)
        for cohort, revision in layout.live().items():
            told = partial(note_failed, self._errors(endpoint), _failing(layout, cohort), revision.release)
            failed = partial(told, detail="the server answered with a status of 500 or more")
            copy_logs(servers.pods(revision), self._log(endpoint, revision.release), self.cluster.run, failed, since)
        return layout

    def _answers(self, endpoint: str, cohort: Cohort) -> bool:
        try:
            return bool(self._ask(endpoint, "GET", "/ping", {}, cohort, timeout_s=PING_S))
        except (BadInput, Refused, Unavailable):
            return False

    def _ask(
        self,
        endpoint: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        cohort: Cohort | None,
        body: dict[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        if self.place.gateway is None:
            live = layout_of(self._routes.known(endpoint)).live()
            if (asked := live.get(cohort or "champion")) is None:
                raise NotFound(f"endpoint {endpoint} has no {cohort}; deploy one first")
            return ask_within(self.cluster, self._servers(endpoint).pods(asked), method, path, headers, body)
        host = host_of(self.place.gateway.hostnames)
        told = {**headers, **({COHORT: cohort} if cohort else {}), **({"Host": host} if host else {})}
        url = f"{self.place.url.rstrip('/')}{path}"
        return ask(self._http, endpoint, url, method, told, body, timeout_s)

    def _workload(self, endpoint: str, revision: Revision) -> Workload:
        if not endpoint.startswith(f"{revision.model}-"):
            raise BadInput(f"expected an endpoint named {revision.model}-ENVIRONMENT for model {revision.model}, found {endpoint}")
        if revision.image_digest is None:
            told = f"release {revision.release[:12]}: expected the digest of its serving image, found none"
            raise Refused(f"{told}; build it, push it and name it (docs/kubernetes.md)")
        resources, replicas = self.size(revision)
        return Workload(
            model=revision.model,
            environment=endpoint.removeprefix(f"{revision.model}-"),
            namespace=self.place.namespace,
            release=revision.release,
            bundle_digest=revision.bundle_digest,
            image=f"{self.place.repository}@{revision.image_digest}",
            **({"configuration": revision.configuration} if revision.configuration else {}),
            replicas=replicas,
            resources=resources,
            callers=self.place.callers,
        )

    def _log(self, endpoint: str, release: str) -> Path:
        return self.home / "cluster_logs" / endpoint / release

    def _errors(self, endpoint: str) -> Path:
        return self.home / "cluster_logs" / endpoint / "errors.jsonl"


def _failing(layout: Layout, cohort: Cohort) -> str:
    """Whose failed calls those of a cohort are: a challenger that gets copies alone fails copies, as the shadow."""
    return "shadow" if cohort == "challenger" and layout.split.shadow > 0 and layout.split.challenger == 0 else cohort
