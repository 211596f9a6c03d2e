"""A namespace in memory, for tests of the Kubernetes target without a cluster: objects with versions, and pods that are as one says."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deployments.cluster import Cluster
from deployments.manifests.workload import Apis, Manifest
from headgate.errors import Stale, Unavailable
from headgate.serving.log_reading import read_beyond

READY = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}


class MadeUpCluster(Cluster):
    """`able`: how many pods of a release (its short name) may become ready; `faults`: what its other pods wait for."""

    apis = Apis()  # type: ignore[assignment]  # the real one asks a cluster

    def __init__(self, folder: Any) -> None:
        super().__init__("sales")
        self.objects: dict[tuple[str, str], Manifest] = {}
        self.able, self.faults, self.said = dict[str, int](), dict[str, Manifest](), dict[str, list[str]]()
        self.folder, self.version, self.away = folder, 0, 0
        self.applied: list[Manifest] = []
        self.no_nodes = set[str]()
        self.asked: list[tuple[str, ...]] = []
        self.answer = '{"status": 200, "body": "{\\"ok\\": true}"}'
        self.before_apply: Callable[[Manifest], None] = lambda _: None
        self.after_apply: Callable[[Manifest], None] = lambda _: None
        self.at_look: Callable[[], None] = lambda: None

    def apply(self, manifest: Manifest) -> Manifest:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        self.before_apply(manifest)
        found = self.objects.get((kind, name))
        if found is not None:
            self._require_ours(found)
            wanted = manifest["metadata"].get("resourceVersion")
            if wanted not in (None, found["metadata"]["resourceVersion"]):
                raise Stale(f"apply {kind} {name}: it was changed meanwhile; look again and repeat")
        made = self.put(manifest, [{"manager": "headgate", "operation": "Apply"}])
        self.applied.append(copy.deepcopy(manifest))
        self.after_apply(manifest)
        return made

    def put(self, manifest: Manifest, managers: Sequence[Manifest]) -> Manifest:
        """An object as somebody applied it; what others set of a Deployment's number of pods stays."""
        key, self.version = (manifest["kind"], manifest["metadata"]["name"]), self.version + 1
        old = self.objects.get(key) or {"metadata": {"uid": f"u{self.version}", "generation": 0}, "spec": {}}
        made = copy.deepcopy(manifest)
        if manifest["kind"] == "Deployment":
            made["spec"].setdefault("replicas", old["spec"].get("replicas", 1))
        changed = made.get("spec") != old.get("spec")
        made["metadata"] |= {
            "uid": old["metadata"]["uid"],
            "resourceVersion": str(self.version),
            "generation": old["metadata"]["generation"] + changed,
            "managedFields": list(managers),
        }
        self.objects[key] = made
        return copy.deepcopy(made)

    def scale(self, deployment: Manifest, replicas: int) -> None:
        self.objects["Deployment", deployment["metadata"]["name"]]["spec"]["replicas"] = replicas

    def get(self, api_version: str, kind: str, name: str) -> Manifest | None:
        if self.away:
            self.away -= 1
            raise Unavailable("the cluster does not answer")
        if kind == "Endpoints":
            selector = self.objects["Service", name]["spec"]["selector"]
            able = [pod for pod in self.named("v1", "Pod", selector) if pod["status"] == READY]
            return {"subsets": [{"addresses": [{"targetRef": {"name": pod["metadata"]["name"]}} for pod in able]}]}
        found = copy.deepcopy(self.objects.get((kind, name)))
        if found and kind == "Deployment":
            self.at_look()
            count = self._ready(found)
            found["status"] = {
                "observedGeneration": found["metadata"]["generation"],
                "availableReplicas": count,
                "updatedReplicas": found["spec"]["replicas"],
            }
        if found and kind == "HTTPRoute":
            found["status"] = {"parents": [accepted(found["spec"]["parentRefs"][0], found["metadata"]["generation"])]}
        return found

    def named(self, api_version: str, kind: str, labels: Mapping[str, str]) -> list[Manifest]:
        found = self._pods() if kind == "Pod" else [one for (its, _), one in sorted(self.objects.items()) if its == kind]
        return [copy.deepcopy(one) for one in found if labels.items() <= one["metadata"]["labels"].items()]

    def remove(self, found: Manifest) -> None:
        self._require_ours(found)
        self.objects.pop((found["kind"], found["metadata"]["name"]), None)

    def events(self, names: Sequence[str]) -> list[Manifest]:
        return []

    def log_tail(self, pod: str, lines: int = 10, previous: bool = False) -> list[str]:
        return self.said.get(pod.rpartition("-")[0].rpartition("-")[2], [])

    def run(self, pod: str, command: Sequence[str], timeout_s: float = 30) -> str:
        if command[1] == "-c":
            self.asked.append((pod, *command[3:]))
            return self.answer
        return json.dumps(read_beyond(self.folder / pod, json.loads(command[4])) | {"failed": 0})

    def replicas(self, release: str) -> int:
        """How many pods a release shall have."""
        return next((int(one["spec"]["replicas"]) for one in self._of("Deployment", release)), 0)

    def floor(self, release: str) -> int:
        """How many its autoscaler leaves it."""
        return next((int(one["spec"]["minReplicas"]) for one in self._of("HorizontalPodAutoscaler", release)), 0)

    def releases(self) -> set[str]:
        """The releases that have a Deployment."""
        return {one["metadata"]["labels"]["headgate.io/release"] for (kind, _), one in self.objects.items() if kind == "Deployment"}

    def _of(self, kind: str, release: str) -> list[Manifest]:
        found = [one for (its, _), one in self.objects.items() if its == kind]
        return [one for one in found if one["metadata"]["labels"]["headgate.io/release"] == release]

    def _ready(self, deployment: Manifest) -> int:
        release = deployment["metadata"]["labels"]["headgate.io/release"]
        return min(deployment["spec"]["replicas"], self.able.get(release, 100))

    def _pods(self) -> list[Manifest]:
        found = []
        for deployment in [one for (kind, _), one in self.objects.items() if kind == "Deployment"]:
            labels, name, ready = deployment["metadata"]["labels"], deployment["metadata"]["name"], self._ready(deployment)
            for number in range(deployment["spec"]["replicas"]):
                waiting: Manifest = {"containerStatuses": [{"state": {"waiting": self.faults.get(labels["headgate.io/release"], {})}}]}
                if labels["headgate.io/release"] in self.no_nodes:
                    waiting["conditions"] = [{"type": "PodScheduled", "status": "False"}]
                metadata = {"name": f"{name}-{number}", "uid": f"{name}-{number}", "labels": labels}
                found.append({"kind": "Pod", "metadata": metadata, "status": READY if number < ready else waiting})
        return found


def accepted(parent: Manifest, generation: int, **changed: str) -> Manifest:
    """What a Gateway says of a route that it took; or what it says instead."""
    told = {"Accepted": "True", "ResolvedRefs": "True"} | changed
    conditions = [{"type": name, "status": status, "observedGeneration": generation} for name, status in told.items()]
    return {"parentRef": parent, "conditions": conditions}
