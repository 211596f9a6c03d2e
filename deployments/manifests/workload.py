"""What the objects of one release on Kubernetes are made of."""

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from headgate.evaluation.load_report import LoadReport
from headgate.record import Record
from headgate.release.configuration import Configuration
from headgate.settings.places import LONGEST_ENDPOINT

Manifest = dict[str, Any]
DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
ImageByDigest = Annotated[str, Field(pattern=r"^[a-z0-9][a-zA-Z0-9._:/-]*@sha256:[0-9a-f]{64}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PORT = 8080
MANAGER = "headgate"
SHORT = 63 - LONGEST_ENDPOINT - 1
MEBIBYTE = 2**20 / 1e6
ROOM = 1.5  # memory limit over the most that the load test saw
STEP_MI = 64
BUSY = 0.7  # of what one pod reaches, so much is asked of it


def short(release: str) -> str:
    """What names and labels call a release: the beginning of its id, or of the sha256 of a name that is no digest (a candidate's)."""
    digest = release if re.fullmatch(r"[0-9a-f]{64}", release) else hashlib.sha256(release.encode()).hexdigest()
    return digest[:SHORT]


class Resources(Record):
    """What one pod may use: CPU in thousandths of a core, memory in MiB. CPU has no limit: throttling makes the slowest answers slower."""

    cpu_m: int = Field(1000, ge=50)
    memory_mi: int = Field(1024, ge=64)


class Replicas(Record):
    """Between how many pods a release has, and the CPU use in percent of the request that the autoscaler aims at."""

    least: int = Field(2, ge=1)
    most: int = Field(6, ge=1)
    cpu_percent: int = Field(70, ge=1, le=100)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.most < self.least:
            raise ValueError(f"expected most to be at least least, found {self.most} below {self.least}")
        return self


class Workload(Record):
    """One release of a model at one endpoint, and what its pods may use."""

    model: DnsLabel
    environment: DnsLabel
    namespace: DnsLabel
    release: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="its id; a candidate's is no digest yet")
    bundle_digest: Digest
    commit: str = ""
    image: ImageByDigest = Field(description="repository@sha256:..., as the registry has it")
    configuration: Configuration = Configuration()
    replicas: Replicas = Replicas()
    resources: Resources = Resources()
    drain_s: int = Field(30, ge=1, le=600, description="the server answers what is under way for so long after SIGTERM")
    arrive_s: int = Field(3, ge=0, le=60, description="after a pod is ready, until every proxy has heard that it is there")
    leave_s: int = Field(5, ge=0, le=60, description="before SIGTERM, until every proxy has heard that the pod is going")
    callers: tuple[DnsLabel, ...] = Field((), description="namespaces that may reach the port; empty: all of the cluster")

    @model_validator(mode="after")
    def _short_enough(self) -> Self:
        if len(self.endpoint) > LONGEST_ENDPOINT:
            raise ValueError(
                f"expected model and environment of at most {LONGEST_ENDPOINT - 1} characters together, found {self.endpoint!r}; "
                "objects are named after both and the release"
            )
        return self

    @property
    def endpoint(self) -> str:
        """Name of the endpoint: what its HTTPRoute is called, and what all its releases have in common."""
        return f"{self.model}-{self.environment}"

    @property
    def name(self) -> str:
        """Name of the release's own objects; another release has other ones."""
        return f"{self.endpoint}-{short(self.release)}"

    @property
    def selector(self) -> dict[str, str]:
        """Labels that the pods of this release alone have; a Deployment's can never be changed."""
        return {"app.kubernetes.io/name": self.endpoint, "headgate.io/release": short(self.release)}

    @property
    def labels(self) -> dict[str, str]:
        """Labels of all objects of the release."""
        return self.selector | {
            "app.kubernetes.io/managed-by": MANAGER,
            "app.kubernetes.io/part-of": self.model,
            "headgate.io/environment": self.environment,
        }

    @property
    def annotations(self) -> dict[str, str]:
        """Where the release came from, in full."""
        found = {
            "headgate.io/release": self.release,
            "headgate.io/bundle-digest": f"sha256:{self.bundle_digest}",
            "headgate.io/commit": self.commit,
        }
        return {name: value for name, value in found.items() if value}

    def metadata(self, **more: Mapping[str, str]) -> Manifest:
        """Metadata of an object of the release."""
        return {"name": self.name, "namespace": self.namespace, "labels": self.labels, "annotations": self.annotations, **more}


def measured(load: LoadReport | None, workers: int = 1) -> Resources:
    """One core a worker, and memory by the most that the candidate's server used in its load test with half as much again."""
    found = next((use for use in load.memory if use.role == "candidate"), None) if load else None
    cpu_m = 1000 * max(1, workers)
    if found is None or not found.samples_mb:
        return Resources(cpu_m=cpu_m)
    wanted = ROOM * max(found.samples_mb) / MEBIBYTE
    return Resources(cpu_m=cpu_m, memory_mi=STEP_MI * math.ceil(wanted / STEP_MI))


def replicas_for(rate_per_s: float, load: LoadReport | None, least: int = 2) -> Replicas:
    """Pods for a rate of requests: each is asked 70% of what the load test reached on one; at least two, so that one may go."""
    reached = load.saturation_per_s.get("candidate", 0.0) if load else 0.0
    needed = max(least, math.ceil(rate_per_s / (BUSY * reached))) if reached > 0 else least
    return Replicas(least=needed, most=3 * needed)


Autoscaling = Literal["autoscaling/v2", "autoscaling/v2beta2"]
Disruption = Literal["policy/v1", "policy/v1beta1"]


class Apis(Record):
    """Versions of what changed its version: the cluster's own word (its discovery API) is asked where one is at hand."""

    autoscaling: Autoscaling = "autoscaling/v2"
    disruption: Disruption = "policy/v1"
    pod_monitor: bool = Field(
        False, description="whether the Prometheus operator's PodMonitor is there; else annotations tell where to scrape"
    )
