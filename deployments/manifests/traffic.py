"""How an endpoint shares requests out: a Gateway API HTTPRoute with weights, a mirror for the shadow, and one header for one cohort."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from deployments.manifests.workload import MANAGER, DnsLabel, Manifest, Workload
from deployments.target import Split
from headgate.record import Record

COHORT = "X-Headgate-Cohort"


class Gateway(Record):
    """The Gateway that the route hangs on, and the host names that it answers for (none: all of the Gateway)."""

    name: DnsLabel
    namespace: DnsLabel
    hostnames: tuple[Annotated[str, Field(pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)], ...] = ()


def host_of(hostnames: Sequence[str]) -> str | None:
    """A name that a request to the route may have: one that is written out, else one that a wildcard stands for; None: any."""
    found = sorted(hostnames, key=lambda name: name.startswith("*."))
    return found[0].replace("*.", "headgate.", 1) if found else None


def http_route(gateway: Gateway, champion: Workload, challenger: Workload | None = None, split: Split | None = None) -> Manifest:
    """The route of an endpoint. A request that names a cohort gets it; all others are shared out by weight, each on its own.

    The standard has no stickiness: unlike the local router, a Gateway may send two requests of one thread to different cohorts.
    """
    split = split or Split()
    named = [_to_cohort("champion", champion), *([_to_cohort("challenger", challenger)] if challenger else [])]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": _metadata(champion),
        "spec": {
            "parentRefs": [{"name": gateway.name, "namespace": gateway.namespace}],
            **({"hostnames": list(gateway.hostnames)} if gateway.hostnames else {}),
            "rules": [*named, _shared(champion, challenger, split)],
        },
    }


def shared_service(champion: Workload, challenger: Workload | None = None, split: Split | None = None) -> Manifest:
    """In place of a route on a cluster without Gateway API: a Service before the pods of both releases, or of the one that has it all."""
    split = split or Split()
    alone = challenger if challenger and split.challenger == 100 else champion
    shared = challenger is not None and 0 < split.challenger < 100
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(champion),
        "spec": {
            "type": "ClusterIP",
            "selector": {"app.kubernetes.io/name": champion.endpoint} if shared else alone.selector,
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http"}],
        },
    }


def _metadata(champion: Workload) -> Manifest:
    labels = {"app.kubernetes.io/name": champion.endpoint, "app.kubernetes.io/managed-by": MANAGER}
    return {"name": champion.endpoint, "namespace": champion.namespace, "labels": labels}


def _to_cohort(cohort: str, workload: Workload) -> Manifest:
    header = {"type": "Exact", "name": COHORT, "value": cohort}
    return {"matches": [{"headers": [header]}], "backendRefs": [_backend(workload)]}


def _shared(champion: Workload, challenger: Workload | None, split: Split) -> Manifest:
    backends = [_backend(champion, split.champion)]
    if challenger:
        backends.append(_backend(challenger, split.challenger))
    mirror = [_mirror(challenger, split.shadow)] if challenger and split.shadow else []
    return {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], **({"filters": mirror} if mirror else {}), "backendRefs": backends}


def _mirror(challenger: Workload, percent: int) -> Manifest:
    return {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": challenger.name, "port": 80}, "percent": percent}}


def _backend(workload: Workload, weight: int | None = None) -> Manifest:
    return {"name": workload.name, "port": 80} | ({} if weight is None else {"weight": weight})
