"""An endpoint on a cluster without Gateway API: one Service before the pods of both releases, which share connections out by their number.

The Service holds what is settled, as an HTTPRoute does elsewhere. A share is made of whole pods and never more than was asked for;
nothing is mirrored, and a request cannot name its cohort, so that questions to one are asked from within one of its pods.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.cluster import OWNED, Cluster
from deployments.cluster_routes import apply_layout
from deployments.cluster_servers import ClusterServers, until
from deployments.layout import Layout
from deployments.manifests.traffic import shared_service
from deployments.manifests.workload import Manifest, Workload, short
from deployments.pod_reasons import ready
from deployments.target import Split
from headgate.errors import BadInput, NotFound, Refused, Unavailable

SERVICE = ("v1", "Service")
LOOK_S = 0.2
ASK = """
import json, sys, urllib.error, urllib.request
method, path, headers, body = sys.argv[1:]
told = json.loads(headers) | {"Accept": "application/json", "Content-Type": "application/json"}
request = urllib.request.Request("http://127.0.0.1:8080" + path, body.encode() or None, told, method=method)
try:
    answer = urllib.request.urlopen(request, timeout=20)
except urllib.error.HTTPError as fault:
    answer = fault
json.dump({"status": answer.status, "body": answer.read().decode()}, sys.stdout)
"""


@dataclass(frozen=True)
class ClusterServices:
    """The Services of endpoints. ready_s: how long a Service has to find the pods that it is told of."""

    cluster: Cluster
    ready_s: float

    def read(self, endpoint: str) -> Manifest | None:
        """The Service; None where there is none."""
        return self.cluster.get(*SERVICE, endpoint)

    def known(self, endpoint: str) -> Manifest:
        """The Service; NotFound names the endpoints that are there."""
        if (found := self.read(endpoint)) is None:
            services = [one for one in self.cluster.named(*SERVICE, OWNED) if "headgate.io/release" not in one["metadata"]["labels"]]
            there = ", ".join(str(one["metadata"]["name"]) for one in services) or "none"
            raise NotFound(f"no endpoint {endpoint} in namespace {self.cluster.namespace}; found: {there}. A release makes one")
        return found

    def make(self, champion: Workload, challenger: Workload | None, split: Split) -> Manifest:
        """The Service of these releases, which selects both where both have a share."""
        return shared_service(champion, challenger, split)

    def prepare(self, servers: ClusterServers, now: Layout, wanted: Layout, seen: Manifest | None) -> Manifest | None:
        """Before anything starts: nobody but who serves is behind the Service; returns it as it is then.

        Refused where the share of one pod is more than was asked for, and where copies are asked for.
        """
        if wanted.split.shadow:
            raise Refused(f"endpoint {servers.endpoint}: a cluster without Gateway API copies no requests to a shadow (docs/kubernetes.md)")
        if both(wanted):
            self._numbers(servers, wanted)
            servers.remove(servers.there() - {short(release) for release in now.releases()})
        starts = wanted == now or wanted.releases() - now.releases()
        if both(now) and starts and now.champion and seen:
            alone = now.model_copy(update={"split": Split()})
            narrow = self.make(servers.workload(now.champion), None, Split())
            seen = apply_layout(self.cluster, narrow, alone, seen)
            until(lambda: self._led_to(servers.endpoint) <= self._pods(servers.endpoint, alone), self.ready_s, LOOK_S)
        return seen

    def settle(self, servers: ClusterServers, now: Layout, wanted: Layout) -> None:
        """Once all have started: pods are as many as the shares want, and no autoscaler changes that."""
        if both(wanted) and wanted.champion and wanted.challenger:
            pods, fewer = self._numbers(servers, wanted)
            servers.pin(wanted.champion, pods)
            servers.pin(wanted.challenger, fewer)
        elif both(now) and wanted.champion and wanted.champion == now.champion:
            servers.unpin(wanted.champion)

    def _numbers(self, servers: ClusterServers, wanted: Layout) -> tuple[int, int]:
        assert wanted.champion is not None
        pods = max(servers.replicas(wanted.champion), servers.workload(wanted.champion).replicas.least)
        return pods, challengers(servers.endpoint, pods, wanted.split)

    def switch(self, service: Manifest, layout: Layout, seen: Manifest | None) -> None:
        """Put a layout in force, and return once the Service has found the pods of these releases and no others."""
        endpoint = str(service["metadata"]["name"])
        apply_layout(self.cluster, service, layout, seen)
        if not until(lambda: self._found(endpoint, layout), self.ready_s, LOOK_S):
            raise Unavailable(f"Service {endpoint} did not find the pods of its releases within {self.ready_s:g} s; repeat it")

    def _found(self, endpoint: str, layout: Layout) -> bool:
        there = self._led_to(endpoint)
        return bool(there) and there <= self._pods(endpoint, layout)

    def _led_to(self, endpoint: str) -> set[str]:
        """The pods that the Service leads to."""
        found = self.cluster.get("v1", "Endpoints", endpoint) or {}
        return {one["targetRef"]["name"] for part in found.get("subsets") or [] for one in part.get("addresses") or []}

    def _pods(self, endpoint: str, layout: Layout) -> set[str]:
        """The pods that shall serve by a layout."""
        serving = layout.live().values() if both(layout) else [one for one in (chosen(layout),) if one]
        labels = [{"app.kubernetes.io/name": endpoint, "headgate.io/release": short(one.release)} for one in serving]
        return {str(pod["metadata"]["name"]) for one in labels for pod in self.cluster.named("v1", "Pod", one)}


def both(layout: Layout) -> bool:
    """Whether champion and challenger share the requests."""
    return layout.challenger is not None and 0 < layout.split.challenger < 100


def chosen(layout: Layout) -> Any:
    """Who has all requests where they are not shared."""
    return layout.challenger if layout.split.challenger == 100 else layout.champion


def challengers(endpoint: str, champions: int, split: Split) -> int:
    """How many pods the challenger's share is, of whole pods, beside so many of the champion; Refused if not even one."""
    found = champions * split.challenger // split.champion
    if found == 0:
        raise Refused(
            f"endpoint {endpoint}: expected a share that whole pods can have, found {split.challenger}%: without Gateway API "
            f"one pod beside {champions} of the champion has {100 / (champions + 1):.0f}%; ask for as much, or for more pods (rate_per_s)"
        )
    return found


def ask_within(
    cluster: Cluster, pods: Sequence[Manifest], method: str, path: str, headers: Mapping[str, str], body: dict[str, Any] | None
) -> dict[str, Any]:
    """What the server of the first pod that is ready answers to a program in it; Unavailable or BadInput tells what it was instead."""
    if not (able := [str(pod["metadata"]["name"]) for pod in pods if ready(pod)]):
        raise Unavailable(f"expected a pod that is ready to be asked, found none of {len(pods)}")
    command = ["python", "-c", ASK, method, path, json.dumps(dict(headers)), "" if body is None else json.dumps(body)]
    try:
        told = json.loads(cluster.run(able[0], command))
        status, said = int(told["status"]), str(told["body"])
        if status < 400:
            return dict(json.loads(said))
    except (ValueError, KeyError, TypeError) as fault:
        raise Unavailable(f"pod {able[0]} did not answer with JSON: {fault}") from fault
    raise (Unavailable if status >= 500 else BadInput)(f"pod {able[0]} answered {status}: {said[:2000]}")
