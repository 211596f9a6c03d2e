"""Endpoints on a Kubernetes cluster: for each an HTTPRoute, and for each live release its own Deployment and Service.

The HTTPRoute holds what is settled: its weights are what the Gateway does, and an annotation names the revisions behind them, so that
one apply changes both at once. A change starts servers and waits, switches the route and waits until the Gateway took it, then removes
what the route no longer names. Doing so again does nothing; a change that was killed anywhere is repaired by repeating it, and
its leftovers are removed by any other change.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx

from deployments import layout as layouts
from deployments.answers import answers_between
from deployments.asking import ask
from deployments.cluster import OWNED, Cluster
from deployments.corrections import corrections_since, count_corrections
from deployments.layout import Layout, ran_here
from deployments.manifests.pods import objects
from deployments.manifests.traffic import COHORT, Gateway, http_route
from deployments.manifests.workload import Manifest, Replicas, Resources, Workload, short
from deployments.mirrors import Side, read_mirrored
from deployments.observations import observe_files
from deployments.pod_logs import copy_logs, note_failed
from deployments.pod_reasons import hopeless, image_digest, reasons
from deployments.target import Answers, Cohort, EndpointStatus, Mirrored, Observation, Revision, Running, Split
from headgate.errors import BadInput, NotFound, Refused, Stale, Unavailable
from headgate.model.signing import verify_digest
from headgate.release.verification import running_of

ROUTE = ("gateway.networking.k8s.io/v1", "HTTPRoute")
LAYOUT = "headgate.io/layout"
ASKED = 3  # times that a look asks each cohort itself, past the cache
LOOK_S = 0.5
Size = tuple[Resources, Replicas]


@dataclass(frozen=True)
class Place:
    """Where endpoints are, and how they are reached: `url` is the Gateway's address for clients, `repository` that of the images."""

    namespace: str
    gateway: Gateway
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
        if (route := self._route(endpoint)) is None:
            return EndpointStatus(endpoint=endpoint, detail="nothing is deployed here")
        layout = _layout(route)
        able = {cohort: self._available(endpoint, revision) for cohort, revision in layout.live().items()}
        told = [line for revision in layout.live().values() for line in reasons(self._pods(endpoint, revision))]
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

        return self._change(endpoint, back)

    def observe(self, endpoint: str, window_s: float, correction_wait_s: float | None = None) -> tuple[Observation, ...]:
        """What champion and challenger answered in the last window_s seconds; changes nothing.

        With correction_wait_s also what users said of the answers that are so old, within that time.
        """
        live = self._looked_at(endpoint)
        now, heard = datetime.now(UTC), None
        logs = {cohort: self._log(endpoint, revision) for cohort, revision in live.items()}
        if correction_wait_s is not None:
            told = corrections_since(logs.values(), now - timedelta(seconds=window_s))
            heard = partial(count_corrections, told=told, wait_s=correction_wait_s, now=now)
        return tuple(
            observe_files(cohort, window_s, logs[cohort], self._errors(endpoint), revision.release, now, heard, by_release=True)
            for cohort, revision in live.items()
        )

    def answers(self, endpoint: str, since: datetime, until: datetime) -> Answers:
        """All that champion and challenger logged from since to until, with the corrections that came by then; changes nothing."""
        live = self._looked_at(endpoint)
        releases = {str(cohort): revision.release for cohort, revision in live.items()}
        logs = {str(cohort): self._log(endpoint, revision) for cohort, revision in live.items()}
        return answers_between(releases, logs, self._errors(endpoint), since, until, by_release=True)

    def mirrored(self, endpoint: str, window_s: float) -> Mirrored:
        """What champion and challenger answered to the same mirrored requests in the last window_s seconds; changes nothing."""
        live = self._looked_at(endpoint)
        if set(live) != {"champion", "challenger"}:
            return Mirrored()
        champion, challenger = (Side(self._log(endpoint, one), one.release) for one in (live["champion"], live["challenger"]))
        since = datetime.now(UTC) - timedelta(seconds=window_s)
        return read_mirrored(champion, challenger, self._errors(endpoint), since, by_release=True)

    def invoke(self, endpoint: str, body: dict[str, Any], cohort: Cohort | None = None) -> dict[str, Any]:
        """Score a request past the cache, by the named cohort if one is given; changes nothing."""
        self._known(endpoint)
        return self._ask(endpoint, "POST", "/invocations", {"X-Headgate-Cache": "off"}, cohort, body)

    def running(self, endpoint: str, cohort: Cohort) -> Running:
        """What the cohort's server says about itself, read from it now; NotFound if there is none, changes nothing."""
        if (revision := _layout(self._known(endpoint)).live().get(cohort)) is None:
            raise NotFound(f"endpoint {endpoint} has no {cohort}; deploy one first")
        return running_of(self._ask(endpoint, "GET", "/ping", {}, cohort), image_digest(self._pods(endpoint, revision)))

    def delete(self, endpoint: str) -> None:
        """Stop everything of the endpoint and forget it; the copies of its prediction log stay. Idempotent."""
        if (route := self._route(endpoint)) is not None:
            self.cluster.remove(route)
        self._remove(endpoint, self._there(endpoint))

    def _change(self, endpoint: str, decide: layouts.Change, new: bool = False) -> EndpointStatus:
        """Make a change real, or leave everything as it was; with `new` the endpoint need not be there.

        Servers that serve already are left alone, so that taking a challenger away never waits for a champion that limps; the same again
        is a repair, which brings back what is missing of them.
        """
        route = self._route(endpoint) if new else self._known(endpoint)
        now = _layout(route) if route else Layout()
        wanted = decide(now)
        try:
            for revision in wanted.live().values():
                if wanted == now or revision.release not in now.releases():
                    self._start(endpoint, revision, patient=revision.release in now.releases())
        except (Refused, Stale):
            self._remove(endpoint, {short(one) for one in wanted.releases() - now.releases() - self._live(endpoint)})
            raise
        self._switch(endpoint, wanted, route)
        if (found := self._live(endpoint)) != wanted.releases():
            raise Stale(
                f"endpoint {endpoint}: it was changed meanwhile: expected {sorted(wanted.releases())}, found {sorted(found)}; look again"
            )
        self._remove(endpoint, self._there(endpoint) - {short(release) for release in found})
        return self.status(endpoint)

    def _live(self, endpoint: str) -> set[str]:
        """The releases that the route names now."""
        route = self._route(endpoint)
        return _layout(route).releases() if route else set()

    def _start(self, endpoint: str, revision: Revision, patient: bool) -> None:
        workload = self._workload(endpoint, revision)
        for manifest in objects(workload, self.cluster.apis):
            self.cluster.apply(manifest)
        deadline = time.monotonic() + self.ready_s
        while self._available(endpoint, revision) < workload.replicas.least:
            pods = self._pods(endpoint, revision)
            if (lost := hopeless(pods) and not patient) or time.monotonic() > deadline:
                why = "no waiting helps" if lost else f"not ready within {self.ready_s:g} s"
                raise Refused(self._not_ready(endpoint, revision, pods, why))
            time.sleep(LOOK_S)

    def _not_ready(self, endpoint: str, revision: Revision, pods: list[Manifest], why: str) -> str:
        """All that the cluster knows about it."""
        workload = self._workload(endpoint, revision)
        names = [workload.name, *(str(pod["metadata"]["name"]) for pod in pods)]
        warnings = [f"{one['reason']}: {one['message']}" for one in self.cluster.events(names) if one.get("type") == "Warning"]
        said = [line for name in names[1:] for line in (self.cluster.log_tail(name) or self.cluster.log_tail(name, previous=True))]
        parts = [("pods", reasons(pods)), ("events", list(dict.fromkeys(warnings))[-5:]), ("last lines", said[-10:])]
        told = "".join(f"\n{name}:" + "".join(f"\n  {line}" for line in lines) for name, lines in parts if lines)
        return (
            f"release {revision.release} did not become ready at endpoint {endpoint}: {why}; it is removed, nothing else was changed.{told}"
        )

    def _switch(self, endpoint: str, layout: Layout, route: Manifest | None) -> None:
        """Put the layout in force, and return once the Gateway took it."""
        wanted = self._route_of(endpoint, layout)
        if route is not None:
            wanted["metadata"]["resourceVersion"] = route["metadata"]["resourceVersion"]
        applied, gateway = self.cluster.apply(wanted), self.place.gateway
        deadline = time.monotonic() + self.ready_s
        while not _taken(found := self.cluster.get(*ROUTE, endpoint) or {}, applied["metadata"]["generation"], gateway.name):
            if time.monotonic() > deadline:
                told = _conditions(found, gateway.name) or "no controller says anything about it"
                raise Unavailable(
                    f"the Gateway {gateway.namespace}/{gateway.name} did not take the route of endpoint {endpoint} "
                    f"within {self.ready_s:g} s: {told}; repeat it once it does"
                )
            time.sleep(0.1)

    def _route_of(self, endpoint: str, layout: Layout) -> Manifest:
        champion, challenger = (self._workload(endpoint, one) if one else None for one in (layout.champion, layout.challenger))
        assert champion is not None
        route = http_route(self.place.gateway, champion, challenger, layout.split)
        route["metadata"]["annotations"] = {LAYOUT: layout.model_dump_json()}
        return route

    def _there(self, endpoint: str) -> set[str]:
        """The releases that have objects, as their labels name them."""
        return set(self._by_release(endpoint))

    def _remove(self, endpoint: str, releases: set[str]) -> None:
        """Servers first, then what leads to them, once they have answered what was under way. Releases are named as labels name them."""
        gone = {name: found for name, found in self._by_release(endpoint).items() if name in releases}
        for found in gone.values():
            for one in found:
                if one["kind"] in ("Deployment", "HorizontalPodAutoscaler"):
                    self.cluster.remove(one)
        deadline = time.monotonic() + self.ready_s
        while any(self._pods_of(endpoint, name) for name in gone) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        for one in (one for found in gone.values() for one in found):
            self.cluster.remove(one)

    def _by_release(self, endpoint: str) -> Mapping[str, list[Manifest]]:
        apis, found = self.cluster.apis, dict[str, list[Manifest]]()
        kinds = [
            ("apps/v1", "Deployment"),
            (apis.autoscaling, "HorizontalPodAutoscaler"),
            (apis.disruption, "PodDisruptionBudget"),
            ("networking.k8s.io/v1", "NetworkPolicy"),
            ("v1", "Service"),
            ("v1", "ConfigMap"),
            ("v1", "ServiceAccount"),
            *([("monitoring.coreos.com/v1", "PodMonitor")] if apis.pod_monitor else []),
        ]
        for kind in kinds:
            for one in self.cluster.named(*kind, OWNED | {"app.kubernetes.io/name": endpoint}):
                if release := one["metadata"]["labels"].get("headgate.io/release"):
                    found.setdefault(release, []).append(one | {"apiVersion": kind[0], "kind": kind[1]})
        return found

    def _looked_at(self, endpoint: str) -> dict[Cohort, Revision]:
        """The live revisions, once what they logged is copied here; a cohort that does not answer us has failed calls."""
        live = _layout(self._known(endpoint)).live()
        for cohort, revision in live.items():
            told = partial(note_failed, self._errors(endpoint), cohort, revision.release)
            failed = partial(told, detail="the server answered with a status of 500 or more")
            copy_logs(self._pods(endpoint, revision), self._log(endpoint, revision), self.cluster.run, failed)
            silent = sum(not self._answers(endpoint, cohort) for _ in range(ASKED))
            told(silent, detail="no answer to GET /ping through the Gateway")
        return live

    def _answers(self, endpoint: str, cohort: Cohort) -> bool:
        try:
            return bool(self._ask(endpoint, "GET", "/ping", {}, cohort))
        except (BadInput, Unavailable):
            return False

    def _ask(
        self, endpoint: str, method: str, path: str, headers: Mapping[str, str], cohort: Cohort | None, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        hosts = self.place.gateway.hostnames
        told = {**headers, **({COHORT: cohort} if cohort else {}), **({"Host": hosts[0]} if hosts else {})}
        return ask(self._http, endpoint, f"{self.place.url.rstrip('/')}{path}", method, told, body)

    def _available(self, endpoint: str, revision: Revision) -> int:
        found = self.cluster.get("apps/v1", "Deployment", self._workload(endpoint, revision).name) or {}
        status = found.get("status") or {}
        seen = status.get("observedGeneration", 0) >= (found.get("metadata") or {}).get("generation", 1)
        return min(int(status.get("availableReplicas") or 0), int(status.get("updatedReplicas") or 0)) if seen else 0

    def _pods(self, endpoint: str, revision: Revision) -> list[Manifest]:
        return self._pods_of(endpoint, short(revision.release))

    def _pods_of(self, endpoint: str, release: str) -> list[Manifest]:
        return self.cluster.named("v1", "Pod", {"app.kubernetes.io/name": endpoint, "headgate.io/release": release})

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

    def _known(self, endpoint: str) -> Manifest:
        if (route := self._route(endpoint)) is None:
            there = ", ".join(str(one["metadata"]["name"]) for one in self.cluster.named(*ROUTE, OWNED)) or "none"
            raise NotFound(f"no endpoint {endpoint} in namespace {self.place.namespace}; found: {there}. A release makes one")
        return route

    def _route(self, endpoint: str) -> Manifest | None:
        return self.cluster.get(*ROUTE, endpoint)

    def _log(self, endpoint: str, revision: Revision) -> Path:
        return self.home / "cluster_logs" / endpoint / revision.release

    def _errors(self, endpoint: str) -> Path:
        return self.home / "cluster_logs" / endpoint / "errors.jsonl"


def _layout(route: Manifest) -> Layout:
    told = (route["metadata"].get("annotations") or {}).get(LAYOUT)
    if told is None:
        raise Refused(
            f"HTTPRoute {route['metadata']['name']}: expected Headgate's annotation {LAYOUT}, found none; "
            "somebody else made this route: rename or remove it"
        )
    return Layout.model_validate_json(told)


def _told_by(route: Manifest, gateway: str) -> Iterator[Manifest]:
    """What the controller of this Gateway says of the route; others may have it too."""
    for parent in (route.get("status") or {}).get("parents") or []:
        if (parent.get("parentRef") or {}).get("name") == gateway:
            yield from parent.get("conditions") or []


def _taken(route: Manifest, generation: int, gateway: str) -> bool:
    """Whether the Gateway accepted this generation, and found all that it names."""
    told = [one for one in _told_by(route, gateway) if one.get("observedGeneration", 0) >= generation]
    accepted = any(one["type"] == "Accepted" and one["status"] == "True" for one in told)
    return accepted and not any(one["type"] == "ResolvedRefs" and one["status"] != "True" for one in told)


def _conditions(route: Manifest, gateway: str) -> str:
    return "; ".join(f"{one['type']}={one['status']} ({one.get('message') or one.get('reason')})" for one in _told_by(route, gateway))
