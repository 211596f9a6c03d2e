"""What Headgate's flows may do in a namespace: the verbs that the target uses, on the kinds that it makes, and nothing on the cluster."""

from deployments.manifests.workload import MANAGER, DnsLabel, Manifest

MADE = ["get", "list", "create", "patch", "delete"]
RULES: list[Manifest] = [
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": MADE},
    {"apiGroups": [""], "resources": ["services", "configmaps", "serviceaccounts"], "verbs": MADE},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": MADE},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": MADE},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": MADE},
    {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": MADE},
    {"apiGroups": ["monitoring.coreos.com"], "resources": ["podmonitors"], "verbs": MADE},
    {"apiGroups": [""], "resources": ["pods", "pods/log", "events", "endpoints"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},  # reads the prediction logs: decision 0029
]


def rbac(namespace: DnsLabel, account: DnsLabel = MANAGER, account_namespace: DnsLabel | None = None) -> list[Manifest]:
    """Role and binding for the flows' service account; the account too, where it lives in the same namespace."""
    metadata = {"name": MANAGER, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": MANAGER}}
    home = account_namespace or namespace
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": RULES}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": MANAGER},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": home}],
    }
    own = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata | {"name": account}}
    return [own, role, binding] if home == namespace else [role, binding]
