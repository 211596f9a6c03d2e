"""The pods of a release: ConfigMap, ServiceAccount, Deployment, Service, and what scales, protects and watches them."""

from deployments.manifests.workload import PORT, Apis, Manifest, Workload
from headgate.serving.config import LOG_KEEP_BYTES

LOG = "/var/log/headgate"
USER = 10001
CONTAINER = "server"
REQUEST_ID = "X-Request-Id"  # what a Gateway gives each request and its mirrored copy
LOG_KEEP_MI, MOST_FILE_MI, VOLUME_MI = 1024, 64, 2048  # of a log: what it keeps, one file of it; the rest of the volume is corrections
OPTIONS = {"MODEL": "--model", "RELEASE": "--release", "LOG_TEXT": "--log-text", "MAX_CACHED": "--max-cached", "WORKERS": "--workers"}


def objects(workload: Workload, apis: Apis | None = None) -> list[Manifest]:
    """All objects of one release, in the order in which they are applied."""
    apis = apis or Apis()
    found = [
        service_account(workload),
        config_map(workload),
        service(workload),
        deployment(workload),
        autoscaler(workload, apis),
        disruption_budget(workload, apis),
        network_policy(workload),
    ]
    return [*found, pod_monitor(workload)] if apis.pod_monitor else found


def service_account(workload: Workload) -> Manifest:
    """An identity without rights, and without a token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": workload.metadata(),
        "automountServiceAccountToken": False,
    }


def config_map(workload: Workload) -> Manifest:
    """What the release's servers are told; it never changes, as the release does not."""
    options = workload.configuration
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": workload.metadata(),
        "immutable": True,
        "data": {
            "MODEL": workload.model,
            "RELEASE": workload.release,
            "LOG_TEXT": options.log_text,
            "MAX_CACHED": str(options.max_cached),
            "WORKERS": str(options.workers),
        },
    }


def service(workload: Workload) -> Manifest:
    """The address of this release alone; the endpoint's HTTPRoute shares requests out between such Services."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": workload.metadata(),
        "spec": {
            "type": "ClusterIP",
            "selector": workload.selector,
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http"}],
        },
    }


def deployment(workload: Workload) -> Manifest:
    """The pods, one new one at a time and none too few; a rollout that stands still for two minutes has failed."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": workload.metadata(),
        "spec": {
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 120,
            "minReadySeconds": workload.arrive_s,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": workload.selector},
            "template": pod(workload),
        },
    }


def pod(workload: Workload) -> Manifest:
    """The pod: as the `restricted` Pod Security Standard wants it, spread over nodes and zones."""
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT), "prometheus.io/path": "/metrics"}
    return {
        "metadata": {"labels": workload.labels, "annotations": workload.annotations | scraped},
        "spec": {
            "serviceAccountName": workload.name,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": workload.leave_s + workload.drain_s + 10,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "topologySpreadConstraints": [
                _spread(workload, "kubernetes.io/hostname"),
                _spread(workload, "topology.kubernetes.io/zone"),
            ],
            "containers": [container(workload)],
            "volumes": [{"name": "log", "emptyDir": {"sizeLimit": f"{_volume_mi(workload)}Mi"}}],
        },
    }


def _volume_mi(workload: Workload) -> int:
    """More than the log may take, so that no pod is evicted for it: each worker has an open file of answers and one of corrections."""
    return VOLUME_MI + 2 * MOST_FILE_MI * max(1, workload.configuration.workers)


def _spread(workload: Workload, over: str) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": over,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": workload.selector},
    }


def container(workload: Workload) -> Manifest:
    """The server: read-only but for its log, without a single capability."""
    told = [part for name, option in OPTIONS.items() for part in (option, f"$({name})")]
    return {
        "name": CONTAINER,
        "image": workload.image,
        "imagePullPolicy": "IfNotPresent",
        "args": [*told, "--log-dir", LOG, "--mirror-header", REQUEST_ID],
        "env": [{"name": LOG_KEEP_BYTES, "value": str(LOG_KEEP_MI * 2**20)}],
        "envFrom": [{"configMapRef": {"name": workload.name}}],
        "ports": [{"name": "http", "protocol": "TCP", "containerPort": PORT}],
        "startupProbe": _probe("/ping", every_s=1, failures=90),
        "readinessProbe": _probe("/readyz", every_s=2, failures=2),
        "livenessProbe": _probe("/livez", every_s=10, failures=3),
        "lifecycle": {"preStop": {"exec": {"command": ["python", "-c", f"import time; time.sleep({workload.leave_s})"]}}},
        "resources": {
            "requests": {"cpu": f"{workload.resources.cpu_m}m", "memory": f"{workload.resources.memory_mi}Mi"},
            "limits": {"memory": f"{workload.resources.memory_mi}Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "log", "mountPath": LOG}],
    }


def _probe(path: str, every_s: int, failures: int) -> Manifest:
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": every_s, "timeoutSeconds": 3, "failureThreshold": failures}


def autoscaler(workload: Workload, apis: Apis) -> Manifest:
    """More pods where they are busy, fewer after five quiet minutes."""
    replicas = workload.replicas
    return {
        "apiVersion": apis.autoscaling,
        "kind": "HorizontalPodAutoscaler",
        "metadata": workload.metadata(),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name},
            "minReplicas": replicas.least,
            "maxReplicas": replicas.most,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": replicas.cpu_percent}},
                }
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }


def disruption_budget(workload: Workload, apis: Apis) -> Manifest:
    """A drained node takes one pod at a time; with a single pod it is not held up either."""
    return {
        "apiVersion": apis.disruption,
        "kind": "PodDisruptionBudget",
        "metadata": workload.metadata(),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": workload.selector}},
    }


def network_policy(workload: Workload) -> Manifest:
    """The port is reached from the cluster, or from the named namespaces alone; the server itself reaches nothing."""
    names = [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(workload.callers)}]
    who = {"namespaceSelector": {"matchExpressions": names} if workload.callers else {}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": workload.metadata(),
        "spec": {
            "podSelector": {"matchLabels": workload.selector},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [who], "ports": [{"protocol": "TCP", "port": PORT}]}],
            "egress": [],
        },
    }


def pod_monitor(workload: Workload) -> Manifest:
    """For the Prometheus operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": workload.metadata(),
        "spec": {
            "selector": {"matchLabels": workload.selector},
            "podMetricsEndpoints": [{"port": "http", "path": "/metrics"}],
        },
    }
