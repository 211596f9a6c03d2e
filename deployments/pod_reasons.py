"""Why the pods of a release do not become ready, in the cluster's own words; pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from deployments.manifests.pods import CONTAINER
from deployments.manifests.workload import Manifest

HOPELESS = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CrashLoopBackOff"}
# Its node tries these again every ten seconds or so: they pass where it had lost the API server, and stay where a Secret is missing.
TRIED_AGAIN = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


def reasons(pods: Iterable[Manifest]) -> list[str]:
    """One line a pod that is not ready: waiting for what, ended with what, scheduled where not."""
    return [f"pod {pod['metadata']['name']}: {told}" for pod in pods if not ready(pod) and (told := "; ".join(_reasons(pod)))]


def hopeless(pods: Iterable[Manifest]) -> bool:
    """Whether waiting longer will not help one of them: no image, a crash loop, memory that ran out."""
    found = [container for pod in pods for container in _containers(pod)]
    return any(_waiting(one).get("reason") in HOPELESS or _ended(one).get("reason") == "OOMKilled" for one in found)


def not_made(pods: Iterable[Manifest]) -> bool:
    """Whether a container could not be made just now, which its node tries again: hopeless only where it lasts."""
    return any(_waiting(container).get("reason") in TRIED_AGAIN for pod in pods for container in _containers(pod))


def unscheduled(pods: Iterable[Manifest]) -> bool:
    """Whether there is no node for one of them."""
    conditions = [one for pod in pods for one in (pod.get("status") or {}).get("conditions") or []]
    return any(one["type"] == "PodScheduled" and one["status"] == "False" for one in conditions)


def too_old(lines: Iterable[str]) -> str:
    """What a server said that does not know what it is told, or nothing: its image is older than this target."""
    told = next((line.strip() for line in lines if "unrecognized arguments:" in line), "")
    unknown = told.partition("arguments: ")[2]
    return (
        f"its image holds a Headgate that does not know {unknown}: wrap its classifier again, build the image, release it" if told else ""
    )


def ready(pod: Manifest) -> bool:
    """Whether requests reach it."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return not pod["metadata"].get("deletionTimestamp") and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def crashed(pods: Iterable[Manifest]) -> list[str]:
    """Names of pods whose server was started more than once."""
    return [str(pod["metadata"]["name"]) for pod in pods if restarts(pod)]


def restarts(pod: Manifest) -> int:
    """How often its containers were started again."""
    return sum(int(container.get("restartCount") or 0) for container in _containers(pod))


def image_digest(pods: Iterable[Manifest]) -> str | None:
    """The digest of the image that runs, as the node pulled it; None where the node does not tell one."""
    for container in (container for pod in pods for container in _containers(pod)):
        name, found, digest = str(container.get("imageID") or "").rpartition("@")
        if found and name:
            return digest
    return None


def _reasons(pod: Manifest) -> Iterator[str]:
    for container in _containers(pod):
        ended, waiting = _ended(container), _waiting(container)
        if ended:
            killed = f" by signal {ended['signal']}" if ended.get("signal") else ""
            yield f"its server ended with exit code {ended.get('exitCode')} ({ended.get('reason', 'no reason told')}{killed})"
        if waiting and waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            yield f"{waiting['reason']}: {waiting['message']}" if waiting.get("message") else str(waiting["reason"])
    conditions: Sequence[Any] = (pod.get("status") or {}).get("conditions") or []
    for one in conditions:
        if one["type"] == "PodScheduled" and one["status"] == "False":
            yield f"not scheduled: {one.get('message', one.get('reason', 'no reason told'))}"
    if _running(pod):
        yield "its server runs, but is not ready"


def _running(pod: Manifest) -> bool:
    return any("running" in (container.get("state") or {}) for container in _containers(pod))


def _containers(pod: Manifest) -> list[Manifest]:
    """The server's; what others inject beside it is not ours to judge."""
    found = (pod.get("status") or {}).get("containerStatuses") or []
    return [one for one in found if one.get("name", CONTAINER) == CONTAINER]


def _waiting(container: Manifest) -> Manifest:
    return (container.get("state") or {}).get("waiting") or {}


def _ended(container: Manifest) -> Manifest:
    """How it ended last, now or before it was started again."""
    return (container.get("state") or {}).get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
