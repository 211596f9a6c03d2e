"""Kubernetes clusters as headgate.toml names them: where they are, and what a release's pods get there by its load test."""

import json
from collections.abc import Callable

from deployments.kubernetes import KubernetesTarget, Place, Size
from deployments.manifests.traffic import Gateway
from deployments.manifests.workload import measured, replicas_for
from deployments.target import Revision
from headgate.evaluation.load_report import LoadReport
from headgate.lake import Lake
from headgate.release.configuration import Configuration
from headgate.release.record import folder
from headgate.settings import KubernetesNamespace, load_settings
from tasks.places import the_lake


def cluster_target(table: KubernetesNamespace) -> KubernetesTarget:
    """The endpoints in one namespace of a cluster."""
    settings = load_settings()
    return KubernetesTarget(
        place_of(table),
        settings.home.absolute(),
        size=sized(the_lake(), table),
        public_key=settings.signing.public_key,
        ready_s=table.ready_s,
    )


def place_of(table: KubernetesNamespace) -> Place:
    """A table of headgate.toml in the target's words."""
    namespace, _, name = (table.gateway or "").partition("/")
    return Place(
        namespace=table.namespace,
        gateway=Gateway(name=name, namespace=namespace, hostnames=table.hostnames) if table.gateway else None,
        url=table.url,
        repository=table.repository,
        context=table.context,
        callers=table.callers,
    )


def sized(lake: Lake, table: KubernetesNamespace) -> Callable[[Revision], Size]:
    """What a release's pods may use, by its load test, and how many bear the rate; a candidate's, not yet recorded, are the fewest."""

    def size(revision: Revision) -> Size:
        load = load_report(lake, revision.release)
        workers = (revision.configuration or Configuration()).workers
        resources = measured(load).model_copy(update={"cpu_m": table.worker_cpu_m * workers})
        return resources, replicas_for(table.rate_per_s, load, table.min_pods)

    return size


def load_report(lake: Lake, release: str) -> LoadReport | None:
    """What the load test of a release measured; None where its evidence is gone, or is still being made."""
    entry = lake.get(f"{folder(release)}/evidence/evidence.json")
    told = json.loads(entry.data)["load"] if entry else None
    return LoadReport.model_validate(told) if told else None
