"""The HTTPRoute of an endpoint: it holds what is settled, and its Gateway says when it does so."""

from collections.abc import Iterator
from dataclasses import dataclass

from deployments.cluster import OWNED, Cluster
from deployments.cluster_servers import ClusterServers, until
from deployments.layout import Layout
from deployments.manifests.traffic import Gateway, http_route
from deployments.manifests.workload import Manifest, Workload
from deployments.target import Split
from headgate.errors import NotFound, Refused, Stale, Unavailable

ROUTE = ("gateway.networking.k8s.io/v1", "HTTPRoute")
LAYOUT = "headgate.io/layout"
LOOK_S = 0.1


@dataclass(frozen=True)
class ClusterRoutes:
    """The routes that hang on one Gateway. ready_s: how long it has to take one."""

    cluster: Cluster
    gateway: Gateway
    ready_s: float

    def read(self, endpoint: str) -> Manifest | None:
        """The route; None where there is none."""
        return self.cluster.get(*ROUTE, endpoint)

    def known(self, endpoint: str) -> Manifest:
        """The route; NotFound names those that are there."""
        if (route := self.read(endpoint)) is None:
            there = ", ".join(str(one["metadata"]["name"]) for one in self.cluster.named(*ROUTE, OWNED)) or "none"
            raise NotFound(f"no endpoint {endpoint} in namespace {self.cluster.namespace}; found: {there}. A release makes one")
        return route

    def make(self, champion: Workload, challenger: Workload | None, split: Split) -> Manifest:
        """The route of these releases."""
        return http_route(self.gateway, champion, challenger, split)

    def prepare(self, _: ClusterServers, __: Layout, ___: Layout, seen: Manifest | None) -> Manifest | None:
        """A Gateway shares requests out between whatever pods there are: the route stays as it is."""
        return seen

    def settle(self, _: ClusterServers, __: Layout, ___: Layout) -> None:
        """Nor does it matter how many pods there are."""

    def switch(self, route: Manifest, layout: Layout, seen: Manifest | None) -> None:
        """Put a layout in force, and return once the Gateway took it; Stale if the route is not what was seen any more."""
        endpoint, gateway = str(route["metadata"]["name"]), self.gateway
        generation = int(apply_layout(self.cluster, route, layout, seen)["metadata"]["generation"])
        if not until(lambda: taken(self.read(endpoint) or {}, generation, gateway), self.ready_s, LOOK_S):
            told = conditions(self.read(endpoint) or {}, gateway) or "no controller says anything about it"
            raise Unavailable(
                f"the Gateway {gateway.namespace}/{gateway.name} did not take generation {generation} of the route of endpoint {endpoint} "
                f"within {self.ready_s:g} s: {told}; repeat it once it does"
            )


def apply_layout(cluster: Cluster, holder: Manifest, layout: Layout, seen: Manifest | None) -> Manifest:
    """Write a layout into the object that holds it, and return that as it is now; Stale if it is not what was seen any more.

    A call whose answer was lost and that was sent again finds its own work.
    """
    told = {LAYOUT: layout.model_dump_json()}
    metadata = {**holder["metadata"], "annotations": told}
    if seen is not None:
        metadata["resourceVersion"] = seen["metadata"]["resourceVersion"]
    try:
        return cluster.apply({**holder, "metadata": metadata})
    except Stale:
        found = cluster.get(holder["apiVersion"], holder["kind"], holder["metadata"]["name"])
        if found is None or (found["metadata"].get("annotations") or {}).get(LAYOUT) != told[LAYOUT]:
            raise
        return found


def layout_of(route: Manifest) -> Layout:
    """What a route, or the Service in its place, says that is settled; Refused where it was not made by this target."""
    told = (route["metadata"].get("annotations") or {}).get(LAYOUT)
    if told is None:
        raise Refused(
            f"{route['kind']} {route['metadata']['name']}: expected Headgate's annotation {LAYOUT}, found none; "
            "somebody else made it, such as what `headgate render` prints: rename or remove it"
        )
    return Layout.model_validate_json(told)


def taken(route: Manifest, generation: int, gateway: Gateway) -> bool:
    """Whether the Gateway accepted this generation, and found all that it names."""
    return any(_holds(told, generation) for told in _told_by(route, gateway))


def conditions(route: Manifest, gateway: Gateway) -> str:
    """What the Gateway says of the route."""
    return "; ".join(
        f"{one['type']}={one['status']} of generation {one.get('observedGeneration')} ({one.get('message') or one.get('reason')})"
        for told in _told_by(route, gateway)
        for one in told
    )


def _holds(told: list[Manifest], generation: int) -> bool:
    held: dict[str, bool] = {one["type"]: one["status"] == "True" and one.get("observedGeneration", 0) >= generation for one in told}
    return held.get("Accepted", False) and held.get("ResolvedRefs", True)


def _told_by(route: Manifest, gateway: Gateway) -> Iterator[list[Manifest]]:
    """What the controllers of this Gateway say of the route; others may have it too, also a namesake in another namespace."""
    for parent in (route.get("status") or {}).get("parents") or []:
        ref = parent.get("parentRef") or {}
        if (ref.get("name"), ref.get("namespace") or route["metadata"].get("namespace")) == (gateway.name, gateway.namespace):
            yield parent.get("conditions") or []
