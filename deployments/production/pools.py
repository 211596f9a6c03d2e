"""The base job templates of the Kubernetes work pools: `pool.json`, and `gpu-pool.json` for nodes with GPUs.

Made here and committed; `python -m deployments.production.pools` writes them anew. What Prefect publishes for the worker lets a pod run
as root and retries a Job that failed; of these, a pod is as the `restricted` Pod Security Standard wants it, and a Job runs once.
"""

import json
from pathlib import Path
from typing import Any

USER = 10001
NAMESPACE = "headgate"
HOME, SETTINGS = "/var/lib/headgate", "/etc/headgate"
ACCOUNT, CLAIM, SETTINGS_MAP, ENVIRONMENT_MAP, SECRET = (
    "headgate-flows",
    "headgate-home",
    "headgate-settings",
    "headgate-flows",
    "headgate-flows",
)
KEPT_S = 24 * 3600
Json = dict[str, Any]
ADDED = frozenset({"home_claim", "settings_map", "node_selector", "tolerations", "tmp_size"})
ADDED_FOR_GPU = frozenset({"gpus", "shared_memory"})


def pool(gpu: bool = False) -> Json:
    """The base job template for `prefect work-pool create --type kubernetes --base-job-template FILE`."""
    through = ("command", "env", "labels", "name", "annotations", "namespace", "job_watch_timeout_seconds", "pod_watch_timeout_seconds")
    configuration = {name: _given(name) for name in (*through, "stream_output")} | {"job_manifest": _job(gpu)}
    return {
        "job_configuration": configuration,
        "variables": {"type": "object", "required": ["image"], "properties": _variables(gpu)},
    }


def _given(variable: str) -> str:
    return "{{ " + variable + " }}"


def _job(gpu: bool) -> Json:
    """One attempt: what is lost is started again by those who count the starts, not by Kubernetes."""
    metadata = {"namespace": _given("namespace"), "labels": _given("labels"), "annotations": _given("annotations")}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata | {"generateName": _given("name") + "-"},
        "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": _given("finished_job_ttl"), "template": _pod(gpu)},
    }


def _pod(gpu: bool) -> Json:
    return {
        "metadata": {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}},
        "spec": {
            # The worker insists on these two here, where Kubernetes knows no such fields and drops them.
            "parallelism": 1,
            "completions": 1,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 60,
            "serviceAccountName": _given("service_account_name"),
            "enableServiceLinks": False,  # a Service called prefect-server would set PREFECT_SERVER_PORT=tcp://...
            "nodeSelector": _given("node_selector"),
            "tolerations": _given("tolerations"),
            "securityContext": pod_security(),
            "containers": [_container(gpu)],
            "volumes": _volumes(gpu),
        },
    }


def _container(gpu: bool) -> Json:
    mounts = {"home": HOME, "tmp": "/tmp"} | ({"shared-memory": "/dev/shm"} if gpu else {})  # noqa: S108 - a volume of the pod's own
    limits = {"cpu": _given("cpu_limit"), "memory": _given("memory_limit")} | ({"nvidia.com/gpu": _given("gpus")} if gpu else {})
    return {
        "name": "prefect-job",
        "image": _given("image"),
        "imagePullPolicy": _given("image_pull_policy"),
        "args": _given("command"),
        "env": _given("env"),
        "envFrom": environment(),
        "resources": {"limits": limits, "requests": {"cpu": _given("cpu_request"), "memory": _given("memory_request")}},
        "securityContext": container_security(),
        "volumeMounts": [
            *({"name": name, "mountPath": path} for name, path in mounts.items()),
            {"name": "settings", "mountPath": SETTINGS, "readOnly": True},
        ],
    }


def _volumes(gpu: bool) -> list[Json]:
    shared = {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": _given("shared_memory")}}
    return [
        {"name": "home", "persistentVolumeClaim": {"claimName": _given("home_claim")}},
        {"name": "settings", "configMap": {"name": _given("settings_map")}},
        {"name": "tmp", "emptyDir": {"sizeLimit": _given("tmp_size")}},
        *([shared] if gpu else []),
    ]


def environment() -> list[Json]:
    """Variables of this installation: a ConfigMap, and a Secret where there is one."""
    return [{"configMapRef": {"name": ENVIRONMENT_MAP}}, {"secretRef": {"name": SECRET, "optional": True}}]


def pod_security() -> Json:
    """No root; files on a claim belong to the group of the flows."""
    ids = {"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"}
    return {"runAsNonRoot": True, **ids, "seccompProfile": {"type": "RuntimeDefault"}}


def container_security() -> Json:
    """Nothing can be written but volumes, and no right of root is left."""
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def _variables(gpu: bool) -> Json:
    """What a deployment may say, with what holds where it says nothing; of the same names as in Prefect's own template."""
    memory = "16Gi" if gpu else "4Gi"
    common = {
        "name": _maybe("string", "Name of the Job."),
        "env": _mapping(
            "Environment variables beside those of the ConfigMap and the Secret headgate-flows. No credentials: a Job is read by many."
        ),
        "labels": _mapping("Labels of the Job and its pod."),
        "annotations": _mapping("Annotations of the Job and its pod."),
        "command": _maybe("string", "What the container runs; left out, the flow run."),
        "namespace": _one("string", NAMESPACE, "Namespace of the Jobs."),
        "image": {"type": "string", "description": "The flows' image, best by digest."},
        "image_pull_policy": _one("string", "IfNotPresent", "When the image is pulled.") | {"enum": ["IfNotPresent", "Always", "Never"]},
        "service_account_name": _one("string", ACCOUNT, "The identity of the flows: rights on the cluster, and at the cloud."),
        "finished_job_ttl": _one("integer", KEPT_S, "Seconds until a finished Job is removed."),
        "job_watch_timeout_seconds": _maybe("integer", "Seconds to wait for an event of a Job; left out, for ever."),
        "pod_watch_timeout_seconds": _one(
            "integer", 1800, "Seconds until a pod must run: a node may have to be made, the image be pulled."
        ),
        "stream_output": _one("boolean", True, "Whether the output of a Job goes to the worker's own."),
        "cpu_request": _one("string", "4" if gpu else "1", "CPU asked for."),
        "cpu_limit": _maybe("string", "CPU limit; left out, none."),
        "memory_request": _one("string", memory, "Memory asked for."),
        "memory_limit": _one("string", memory, "Memory limit."),
        "home_claim": _one(
            "string", CLAIM, "PersistentVolumeClaim of HEADGATE_HOME: checkpoints, candidates and copied logs outlive the pod."
        ),
        "settings_map": _one("string", SETTINGS_MAP, "ConfigMap that holds headgate.toml."),
        "tmp_size": _one("string", "10Gi", "How much a pod may write to /tmp."),
        "node_selector": _mapping("Labels of the nodes to run on.", {"nvidia.com/gpu.present": "true"} if gpu else {}),
        "tolerations": {
            "type": "array",
            "items": {"type": "object"},
            "default": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}] if gpu else [],
            "description": "Taints of nodes that do not matter.",
        },
    }
    return common | (_gpu_variables() if gpu else {})


def _gpu_variables() -> Json:
    return {
        "gpus": _one("integer", 1, "How many GPUs (nvidia.com/gpu) the pod has."),
        "shared_memory": _one("string", "2Gi", "Size of /dev/shm, through which processes of one training pass batches; counts as memory."),
    }


def _one(kind: str, default: object, told: str) -> Json:
    return {"type": kind, "default": default, "description": told}


def _maybe(kind: str, told: str) -> Json:
    return {"anyOf": [{"type": kind}, {"type": "null"}], "default": None, "description": told}


def _mapping(told: str, default: Json | None = None) -> Json:
    return {"type": "object", "additionalProperties": {"type": "string"}, "default": default or {}, "description": told}


def text(gpu: bool) -> str:
    """A file's content."""
    return json.dumps(pool(gpu), indent=2) + "\n"


def file(gpu: bool) -> Path:
    """Where a template is committed."""
    return Path(__file__).with_name("gpu-pool.json" if gpu else "pool.json")


if __name__ == "__main__":
    for gpu in (False, True):
        file(gpu).write_text(text(gpu), encoding="utf-8")
