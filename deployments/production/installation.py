"""What has to be on the cluster before flows run there: accounts, rights, the home claim, Prefect's server, workers, and what runs beside.

PostgreSQL, MLflow and the Gateway of the endpoints are others' work; their addresses come from a Secret and a ConfigMap that a person makes
(docs/production.md), so that nothing secret is ever printed here.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from deployments.manifests.workload import DnsLabel, Manifest
from deployments.prefect_server import LEASES_LOCK, LEASES_ON_DISK
from deployments.production.pools import (
    ACCOUNT,
    CLAIM,
    HOME,
    NAMESPACE,
    SETTINGS,
    SETTINGS_MAP,
    container_security,
    environment,
    pod_security,
)
from headgate.record import Record

PREFECT, WORKER, RECOVERY = "headgate-prefect", "headgate-worker", "headgate-recovery"
SHIPPING, PAGES = "headgate-shipping", "headgate-pages"
SERVER_SECRET = "headgate-prefect"  # noqa: S105 - the name of a Secret
PORT, HEALTH_PORT, PAGES_PORT = 4200, 8080, 4300
POOLS = ("headgate-cluster", "headgate-gpu")
AUTH = "PREFECT_API_AUTH_STRING"


class Installation(Record):
    """Where the flows run, from which image, and on which storage."""

    image: str = Field(pattern=r"^[a-z0-9][a-zA-Z0-9._:/@-]*$")
    namespace: DnsLabel = NAMESPACE
    pools: tuple[DnsLabel, ...] = POOLS
    storage_class: DnsLabel | None = None
    home_size: str = Field("100Gi", pattern=r"^[1-9][0-9]*[MGT]i$")
    account_annotations: dict[str, str] = Field(default_factory=dict)


def objects(wanted: Installation) -> list[Manifest]:
    """All of it, in the order in which it is applied."""
    return [
        namespace(wanted),
        *accounts(wanted),
        *worker_rights(wanted),
        home(wanted),
        server(wanted),
        address(wanted, PREFECT, PORT),
        *(worker(wanted, pool) for pool in wanted.pools),
        recovery(wanted),
        shipping(wanted),
        pages(wanted),
        address(wanted, PAGES, PAGES_PORT),
        jobs_listen_to_nobody(wanted),
    ]


def namespace(wanted: Installation) -> Manifest:
    """A pod that asks for more than the `restricted` Pod Security Standard is refused in it (from Kubernetes 1.23)."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": wanted.namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }


def accounts(wanted: Installation) -> list[Manifest]:
    """The worker's account, and the flows' own: to the latter belong cloud identities and the rights on endpoints' namespaces."""
    flows = _metadata(wanted, ACCOUNT) | ({"annotations": wanted.account_annotations} if wanted.account_annotations else {})
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": True}
        for metadata in (flows, _metadata(wanted, WORKER))
    ]


def worker_rights(wanted: Installation) -> list[Manifest]:
    """What the worker and the recovery do in this namespace: make and end Jobs, see their pods and what these said."""
    rules = [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "delete", "get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": _metadata(wanted, WORKER), "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": _metadata(wanted, WORKER),
            "roleRef": {"apiGroup": group, "kind": "Role", "name": WORKER},
            "subjects": [{"kind": "ServiceAccount", "name": WORKER, "namespace": wanted.namespace}],
        },
    ]


def home(wanted: Installation) -> Manifest:
    """What must outlive a pod: Jobs on several nodes write it, each its own files."""
    storage = {"storageClassName": wanted.storage_class} if wanted.storage_class else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(wanted, CLAIM),
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": wanted.home_size}}, **storage},
    }


def server(wanted: Installation) -> Manifest:
    """Prefect's server on PostgreSQL, with a password; one pod, since its services must not run twice.

    That an endpoint is held, and until when, is kept on the home claim. The lock on it names a process by its number, and the next server
    has the same one: a lock that a killed server left would hold for ever.
    """
    kept = f"{HOME}/prefect-server"
    start = f"rm -f {kept}/{LEASES_LOCK}; exec prefect server start --host 0.0.0.0 --port {PORT}"
    health = {"httpGet": {"path": "/api/health", "port": PORT}, "timeoutSeconds": 5}
    container = _container(wanted, ("sh", "-c", start), memory="1Gi") | {
        "ports": [{"name": "http", "protocol": "TCP", "containerPort": PORT}],
        "startupProbe": health | {"periodSeconds": 5, "failureThreshold": 60},  # a new version first changes the database
        "readinessProbe": health | {"periodSeconds": 5},
        "livenessProbe": health | {"periodSeconds": 20, "failureThreshold": 6},
        "env": [
            _secret("PREFECT_SERVER_DATABASE_CONNECTION_URL", SERVER_SECRET, "database-url"),
            _secret("PREFECT_SERVER_API_AUTH_STRING", SERVER_SECRET, "auth-string"),
            {"name": "PREFECT_SERVER_UI_STATIC_DIRECTORY", "value": "/tmp/ui"},  # noqa: S108 - a volume of the pod's own
            *({"name": name, "value": value} for name, value in LEASES_ON_DISK.items()),
            {"name": "PREFECT_HOME", "value": kept},
        ],
    }
    container["volumeMounts"] += [{"name": "home", "mountPath": HOME}]
    return _deployment(wanted, PREFECT, container, volumes=[_home_volume()])


def address(wanted: Installation, name: str, port: int) -> Manifest:
    """Where the others find a server."""
    ports = [{"name": "http", "protocol": "TCP", "port": port, "targetPort": "http"}]
    spec = {"type": "ClusterIP", "selector": _selector(name), "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(wanted, name), "spec": spec}


def worker(wanted: Installation, pool: str) -> Manifest:
    """Takes the runs of one pool and makes a Job of each; it watches this namespace alone."""
    arguments = (
        "prefect",
        "worker",
        "start",
        "--type",
        "kubernetes",
        "--pool",
        pool,
        "--name",
        pool,
        "--with-healthcheck",
        "--no-create-pool-if-not-found",
    )
    integration = "PREFECT_INTEGRATIONS_KUBERNETES"
    told = {
        "PREFECT_WORKER_WEBSERVER_HOST": "0.0.0.0",  # noqa: S104 - a pod's own address
        "PREFECT_WORKER_WEBSERVER_PORT": str(HEALTH_PORT),
        f"{integration}_OBSERVER_NAMESPACES": wanted.namespace,
        f"{integration}_WORKER_API_AUTH_STRING_SECRET_NAME": SERVER_SECRET,  # or the password would stand in every Job
        f"{integration}_WORKER_API_AUTH_STRING_SECRET_KEY": "auth-string",
    }
    health = {"httpGet": {"path": "/health", "port": HEALTH_PORT}, "periodSeconds": 20, "timeoutSeconds": 5, "failureThreshold": 6}
    container = _container(wanted, arguments, memory="768Mi") | {
        "env": [*_client(), *({"name": name, "value": value} for name, value in told.items())],
        "livenessProbe": health | {"initialDelaySeconds": 60},
    }
    return _deployment(wanted, f"{WORKER}-{pool}", container, WORKER)


def recovery(wanted: Installation) -> Manifest:
    """Starts runs again whose Job is gone; knows how often each was started."""
    container = _container(wanted, ("python", "-m", "stack.recovery_of_jobs", "--namespace", wanted.namespace), memory="512Mi")
    return _deployment(wanted, RECOVERY, container | {"env": _client()}, WORKER)


def shipping(wanted: Installation) -> Manifest:
    """Brings the prediction logs of the endpoints to the lake, as the flows' account and with their settings."""
    return _as_the_flows(wanted, SHIPPING, _container(wanted, ("python", "-m", "stack.shipping"), memory="1Gi"))


def pages(wanted: Installation) -> Manifest:
    """Shows reviewers the evidence out of the lake. It asks nobody who they are, and so can change nothing: no token, a home to read."""
    arguments = ("python", "-m", "stack.gateway", "--host", "0.0.0.0", "--port", str(PAGES_PORT))  # noqa: S104 - a pod's own address
    ready = {"httpGet": {"path": "/ping", "port": PAGES_PORT}, "timeoutSeconds": 5}
    container = _container(wanted, arguments, memory="512Mi") | {
        "ports": [{"name": "http", "protocol": "TCP", "containerPort": PAGES_PORT}],
        "startupProbe": ready | {"periodSeconds": 5, "failureThreshold": 24},
        "readinessProbe": ready | {"periodSeconds": 5},
        "livenessProbe": ready | {"periodSeconds": 20, "failureThreshold": 6},
    }
    made = _as_the_flows(wanted, PAGES, container, home_read_only=True)
    made["spec"]["template"]["spec"]["automountServiceAccountToken"] = False  # the cloud's identity, for a lake there, comes another way
    return made


def _as_the_flows(wanted: Installation, name: str, container: dict[str, Any], home_read_only: bool = False) -> Manifest:
    """A pod with the flows' account, environment, settings and home."""
    home_mount = {"name": "home", "mountPath": HOME, **({"readOnly": True} if home_read_only else {})}
    container["volumeMounts"] += [home_mount, {"name": "settings", "mountPath": SETTINGS, "readOnly": True}]
    volumes = [
        _home_volume(),
        {"name": "settings", "configMap": {"name": SETTINGS_MAP}},
    ]
    return _deployment(wanted, name, container | {"envFrom": environment()}, ACCOUNT, volumes)


def _home_volume() -> Manifest:
    return {"name": "home", "persistentVolumeClaim": {"claimName": CLAIM}}


def jobs_listen_to_nobody(wanted: Installation) -> Manifest:
    """A flow's pod asks others; nobody asks it."""
    ours = {"matchExpressions": [{"key": "prefect.io/flow-run-id", "operator": "Exists"}]}
    spec = {"podSelector": ours, "policyTypes": ["Ingress"], "ingress": []}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": _metadata(wanted, "headgate-jobs"), "spec": spec}


def _client() -> list[dict[str, Any]]:
    return [{"name": "PREFECT_API_URL", "value": f"http://{PREFECT}:{PORT}/api"}, _secret(AUTH, SERVER_SECRET, "auth-string")]


def _secret(variable: str, secret: str, key: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _container(wanted: Installation, arguments: Sequence[str], memory: str) -> dict[str, Any]:
    return {
        "name": "main",
        "image": wanted.image,
        "imagePullPolicy": "IfNotPresent",
        "args": [*arguments],
        "resources": {"requests": {"cpu": "200m", "memory": memory}, "limits": {"memory": memory}},
        "securityContext": container_security(),
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a volume of the pod's own
    }


def _deployment(
    wanted: Installation, name: str, container: dict[str, Any], account: str | None = None, volumes: Sequence[Manifest] = ()
) -> Manifest:
    """One pod that is replaced, never doubled; without an account it has no token of the cluster."""
    identity = {"serviceAccountName": account} if account else {"automountServiceAccountToken": False}
    pod = {
        **identity,
        "enableServiceLinks": False,  # they would set variables that begin with HEADGATE_ and are none of ours
        "securityContext": pod_security(),
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}}, *volumes],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(wanted, name),
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _selector(name)},
            "template": {"metadata": {"labels": _labels(name)}, "spec": pod},
        },
    }


def _metadata(wanted: Installation, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": wanted.namespace, "labels": _labels(name)}


def _labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "headgate-flows"}


def _selector(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name}
