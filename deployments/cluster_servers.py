"""The servers of one endpoint on a cluster: for each live release its own Deployment and what belongs to it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.cluster import OWNED, Cluster, applied_here
from deployments.manifests.pods import autoscaler, objects
from deployments.manifests.workload import Manifest, Workload, short
from deployments.pod_reasons import hopeless, not_made, reasons, too_old, unscheduled
from deployments.target import Revision
from headgate.errors import Refused, Unavailable

LOOK_S = 0.5
LAST_COPY_S = 1.0  # between copies of a log whose server is leaving
LASTS_S = 60.0  # a container that its node cannot make for so long will not be made; it tries every ten seconds or so
RELEASE = "headgate.io/release"
Copy = Callable[[str, list[Manifest]], Any]


@dataclass(frozen=True)
class ClusterServers:
    """`workload` says what a revision's objects are made of, `copy` keeps the prediction logs of a release's pods.

    ready_s: how long pods have to become ready, or to leave.
    """

    cluster: Cluster
    endpoint: str
    workload: Callable[[Revision], Workload]
    copy: Copy
    ready_s: float

    def start(self, revision: Revision, pods: int = 0, patient: bool = False, stays: bool = False) -> None:
        """Make the objects of a release and wait until so many pods are ready, and no fewer than it shall have.

        patient: too few are not hopeless before the deadline, and the fewest will do where no more are to come.
        stays: it serves already, and is brought back.
        """
        workload = self.workload(revision)
        kept = self._floor(revision) if stays else 0
        for manifest in objects(_sized(workload, max(pods, kept)), self.cluster.apis):
            self.cluster.apply(manifest)
        self._wait(revision, pods, patient, stays)

    def grow(self, revision: Revision, pods: int) -> None:
        """As many pods as another release has, before it gets that one's requests; its autoscaler takes none of them away."""
        if self._floor(revision) < pods:
            self.cluster.apply(autoscaler(_sized(self.workload(revision), pods), self.cluster.apis))
        self._wait(revision, pods, patient=False, stays=True)

    def hold(self, revision: Revision) -> None:
        """Its autoscaler takes no pods away that it has now: requests that leave it may come back all at once."""
        if self._floor(revision) < (there := self.replicas(revision)):
            self.cluster.apply(autoscaler(_sized(self.workload(revision), there), self.cluster.apis))

    def let_go(self, revision: Revision) -> None:
        """Its autoscaler may take pods away again, down to the fewest."""
        if self._floor(revision) > self.workload(revision).replicas.least:
            self.cluster.apply(autoscaler(self.workload(revision), self.cluster.apis))

    def pin(self, revision: Revision, pods: int) -> None:
        """So many pods, no more and no fewer, which its autoscaler leaves alone."""
        workload = _sized(self.workload(revision), pods)
        exactly = workload.replicas.model_copy(update={"least": pods, "most": pods})
        self.cluster.apply(autoscaler(workload.model_copy(update={"replicas": exactly}), self.cluster.apis))
        if (there := self._deployment(revision)) and self.replicas(revision) > pods:
            self.cluster.scale(there, pods)
        self._wait(revision, pods, patient=False, stays=True, least=pods)

    def unpin(self, revision: Revision) -> None:
        """Its autoscaler may make more pods again, and no fewer."""
        self.cluster.apply(autoscaler(_sized(self.workload(revision), self.replicas(revision)), self.cluster.apis))

    def replicas(self, revision: Revision) -> int:
        """How many pods it shall have now; 0 where it has no Deployment."""
        return int((self._deployment(revision).get("spec") or {}).get("replicas") or 0)

    def available(self, revision: Revision) -> int:
        """How many of its newest pods are ready."""
        found = self._deployment(revision)
        status = found.get("status") or {}
        seen = status.get("observedGeneration", 0) >= (found.get("metadata") or {}).get("generation", 1)
        return min(int(status.get("availableReplicas") or 0), int(status.get("updatedReplicas") or 0)) if seen else 0

    def pods(self, revision: Revision) -> list[Manifest]:
        """Its pods, by name."""
        return self._pods(short(revision.release))

    def there(self) -> set[str]:
        """The releases that have objects, as their labels name them."""
        return set(self._by_release())

    def remove(self, releases: set[str]) -> None:
        """Servers first, their logs copied until they are gone, then what leads to them. Releases are named as labels name them."""
        gone = {name: found for name, found in self._by_release().items() if name in releases}
        self._leaving(gone)
        for one in (one for found in gone.values() for one in found if one["kind"] in ("Deployment", "HorizontalPodAutoscaler")):
            self.cluster.remove(one)
        until(lambda: not self._leaving(gone), self.ready_s, LAST_COPY_S)
        for one in (one for found in gone.values() for one in found):
            self.cluster.remove(one)

    def _leaving(self, gone: Mapping[str, list[Manifest]]) -> bool:
        """Whether pods are left, whose logs are copied here as far as they go."""
        pods = {name: self._pods(name) for name in gone}
        for name, found in pods.items():
            release = next((one["metadata"]["annotations"][RELEASE] for one in gone[name] if _annotated(one)), None)
            if release and found:
                try:
                    self.copy(release, found)
                except (Refused, Unavailable):
                    continue  # it is not worth a change that fails
        return any(pods.values())

    def _wait(self, revision: Revision, pods: int, patient: bool, stays: bool, least: int | None = None) -> None:
        """Until so many pods are ready; a Deployment begins with one, and has its number under a manager that an autoscaler takes over."""
        least = self.workload(revision).replicas.least if least is None else least
        wanted = max(pods, least)
        not_made_since: float | None = None  # as far as one looked: what no API server told of does not count

        def enough() -> bool:
            nonlocal not_made_since
            before, not_made_since = not_made_since, None
            if (able := self.available(revision)) >= wanted:
                return True
            if (there := self._deployment(revision)) and self.replicas(revision) < wanted:
                self.cluster.scale(there, wanted)
            found = self.pods(revision)
            if failing := not_made(found):
                not_made_since = time.monotonic() if before is None else before
            lasting = not_made_since is not None and time.monotonic() - not_made_since >= LASTS_S
            if (hopeless(found) or lasting) and not patient:
                raise Refused(self._not_ready(revision, found, "no waiting helps", wanted, stays))
            return patient and able >= least and (hopeless(found) or failing or unscheduled(found))

        if until(enough, self.ready_s, LOOK_S) or (patient and self.available(revision) >= least):
            return
        raise Refused(self._not_ready(revision, self.pods(revision), f"not ready within {self.ready_s:g} s", wanted, stays))

    def _not_ready(self, revision: Revision, pods: list[Manifest], why: str, wanted: int, stays: bool) -> str:
        """All that the cluster knows about it."""
        names = [self.workload(revision).name, *(str(pod["metadata"]["name"]) for pod in pods)]
        told = [one for one in self.cluster.events(names) if one["involvedObject"].get("kind") != "HorizontalPodAutoscaler"]
        warnings = [f"{one['reason']}: {one['message']}" for one in told if one.get("type") == "Warning"]
        said = [line for name in names[1:] for line in (self.cluster.log_tail(name) or self.cluster.log_tail(name, previous=True))]
        parts = [("pods", reasons(pods)), ("events", list(dict.fromkeys(warnings))[-5:]), ("last lines", said[-10:])]
        all_of_it = "".join(f"\n{name}:" + "".join(f"\n  {line}" for line in lines) for name, lines in parts if lines)
        left = "it serves as before, and stays" if stays else "it is removed, nothing else was changed"
        old = f"; {found}" if (found := too_old(said)) else ""
        begun = f"release {revision.release} did not become ready at endpoint {self.endpoint}: {why}{old}"
        return f"{begun} ({self.available(revision)} of {wanted} pods are ready); {left}.{all_of_it}"

    def _floor(self, revision: Revision) -> int:
        """How many pods its autoscaler leaves it; 0 where it has none."""
        found = self.cluster.get(self.cluster.apis.autoscaling, "HorizontalPodAutoscaler", self.workload(revision).name) or {}
        return int((found.get("spec") or {}).get("minReplicas") or 0)

    def _deployment(self, revision: Revision) -> Manifest:
        return self.cluster.get("apps/v1", "Deployment", self.workload(revision).name) or {}

    def _pods(self, release: str) -> list[Manifest]:
        return self.cluster.named("v1", "Pod", {"app.kubernetes.io/name": self.endpoint, RELEASE: release})

    def _by_release(self) -> Mapping[str, list[Manifest]]:
        """All that this target made, by the release that it belongs to."""
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
            for one in self.cluster.named(*kind, OWNED | {"app.kubernetes.io/name": self.endpoint}):
                if (release := one["metadata"]["labels"].get(RELEASE)) and applied_here(one):
                    found.setdefault(release, []).append(one | {"apiVersion": kind[0], "kind": kind[1]})
        return found


def until(look: Callable[[], bool], timeout_s: float, pause_s: float) -> bool:
    """Whether it came true in time; a cluster that does not answer for a while is asked again."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if look():
                return True
        except Unavailable:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)


def _sized(workload: Workload, pods: int) -> Workload:
    """With an autoscaler that leaves it so many pods."""
    least, most = max(workload.replicas.least, pods), max(workload.replicas.most, pods)
    return workload.model_copy(update={"replicas": workload.replicas.model_copy(update={"least": least, "most": most})})


def _annotated(one: Manifest) -> bool:
    return RELEASE in (one["metadata"].get("annotations") or {})
