"""One namespace of a Kubernetes cluster: apply, read, remove, with ownership checked. Knows no releases.

All is applied on the server's side under one field manager; what another manager set is never taken from it. Only objects that
carry Headgate's label are changed or removed, and a removal names the object's uid, so that a namesake made meanwhile is left alone.
"""

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import kubernetes
import urllib3
import websocket
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ResourceNotFoundError
from kubernetes.stream import stream

from deployments.manifests.pods import CONTAINER
from deployments.manifests.workload import MANAGER, Apis, Manifest
from headgate.errors import Refused, Stale, Unavailable

OWNED = {"app.kubernetes.io/managed-by": MANAGER}
TIMEOUT_S = (5, 30)


class Cluster:
    """One namespace, by a context of the kubeconfig; None: the current one, or the service account of the pod that this runs in."""

    def __init__(self, namespace: str, context: str | None = None) -> None:
        self.namespace, self.context = namespace, context

    def apply(self, manifest: Manifest) -> Manifest:
        """Create or change an object; Refused if it or a field of it is not ours, Stale if its resourceVersion is not the newest."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        found = self.get(manifest["apiVersion"], kind, name)
        if found is not None:
            self._require_ours(found)
        with self._calling(f"apply {kind} {name}"):
            api = self._resource(manifest["apiVersion"], kind)
            return dict(self._dynamic.server_side_apply(api, body=manifest, namespace=self.namespace, field_manager=MANAGER).to_dict())

    def scale(self, deployment: Manifest, replicas: int) -> None:
        """Another number of pods, under a field manager of its own: what `apply` sets has none, so that an autoscaler may change it."""
        self._require_ours(deployment)
        name, body = deployment["metadata"]["name"], {"spec": {"replicas": replicas}}
        with self._calling(f"scale Deployment {name}"):
            options = {"content_type": "application/merge-patch+json", "field_manager": f"{MANAGER}-scale"}
            self._resource("apps/v1", "Deployment").patch(body=body, name=name, namespace=self.namespace, **options)

    def get(self, api_version: str, kind: str, name: str) -> Manifest | None:
        """The object, or None."""
        with self._calling(f"read {kind} {name}"):
            try:
                return dict(self._resource(api_version, kind).get(name=name, namespace=self.namespace).to_dict())
            except ApiException as fault:
                if fault.status == 404:
                    return None
                raise

    def named(self, api_version: str, kind: str, labels: Mapping[str, str]) -> list[Manifest]:
        """Objects with these labels, by name."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        with self._calling(f"list {kind}"):
            found = self._resource(api_version, kind).get(namespace=self.namespace, label_selector=selector).to_dict()
        return sorted(found.get("items") or [], key=lambda one: str(one["metadata"]["name"]))

    def remove(self, found: Manifest) -> None:
        """Delete this very object; one that is gone, or was replaced, is left alone. Refused if it is not ours."""
        self._require_ours(found)
        kind, metadata = found["kind"], found["metadata"]
        options = {"propagationPolicy": "Background", "preconditions": {"uid": metadata["uid"]}}
        with self._calling(f"delete {kind} {metadata['name']}"):
            try:
                self._resource(found["apiVersion"], kind).delete(name=metadata["name"], namespace=self.namespace, body=options)
            except ApiException as fault:
                if fault.status not in (404, 409):
                    raise

    def events(self, names: Sequence[str]) -> list[Manifest]:
        """Events about objects with these names, oldest first."""
        with self._calling("read events"):
            found = self._resource("v1", "Event").get(namespace=self.namespace).to_dict()
        about = [one for one in found.get("items") or [] if one["involvedObject"].get("name") in names]
        return sorted(about, key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""))

    def log_tail(self, pod: str, lines: int = 10, previous: bool = False) -> list[str]:
        """The last lines that a pod's server said, or that its container before the last restart did; none where there are none."""
        try:
            with self._calling(f"read the log of {pod}"):
                said = kubernetes.client.CoreV1Api(self._api).read_namespaced_pod_log(
                    pod, self.namespace, container=CONTAINER, tail_lines=lines, previous=previous
                )
        except (Refused, Unavailable):
            return []
        return [str(line) for line in said.splitlines()]

    def run(self, pod: str, command: Sequence[str], timeout_s: float = 30) -> str:
        """What a program says that runs beside the pod's server; Unavailable if it did not run to its end well."""
        call = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(self._api.configuration)).connect_get_namespaced_pod_exec
        options = {"container": CONTAINER, "command": [*command], "stdout": True, "stderr": True, "stdin": False, "_preload_content": False}
        with self._calling(f"run {command[0]} in {pod}"):
            websocket.setdefaulttimeout(timeout_s)  # the client's own calls have no bound
            told = stream(call, pod, self.namespace, **options)
            try:
                told.run_forever(timeout=timeout_s)
                if told.is_open():
                    raise Unavailable(f"{command[0]} in pod {pod} did not end within {timeout_s:g} s")
                said, faults, code = told.read_stdout(timeout=0), told.read_stderr(timeout=0), _exit_code(told)
            finally:
                told.close()
        if code != 0:
            raise Unavailable(f"{command[0]} in pod {pod} ended with {code}: {faults[-500:]}")
        return str(said)

    @cached_property
    def apis(self) -> Apis:
        """The versions that this cluster has, by its discovery API."""
        return Apis(
            autoscaling="autoscaling/v2" if self._has("autoscaling/v2", "HorizontalPodAutoscaler") else "autoscaling/v2beta2",
            disruption="policy/v1" if self._has("policy/v1", "PodDisruptionBudget") else "policy/v1beta1",
            pod_monitor=self._has("monitoring.coreos.com/v1", "PodMonitor"),
        )

    def _has(self, api_version: str, kind: str) -> bool:
        with self._calling("ask what the cluster has"):
            try:
                self._resource(api_version, kind)
            except ResourceNotFoundError:
                return False
        return True

    def _resource(self, api_version: str, kind: str) -> Any:
        """What a kind is called here. The client's discovery is broken for good once it was interrupted, so it is begun anew then."""
        try:
            return self._dynamic.resources.get(api_version=api_version, kind=kind)
        except ResourceNotFoundError:
            raise
        except Exception as fault:
            self.__dict__.pop("_dynamic", None)
            if isinstance(fault, KeyError):  # it lost its own cache
                raise Unavailable(f"what the cluster has is not known, its discovery was interrupted ({fault}); try again") from fault
            raise

    @cached_property
    def _api(self) -> Any:
        with self._calling("find the cluster"):
            configuration = kubernetes.client.Configuration()
            self._load(configuration)
            configuration.retries = urllib3.Retry(total=2, backoff_factor=0.2, status=0, allowed_methods=None)
            found = kubernetes.client.ApiClient(configuration)
            found.rest_client.request = partial(_bounded, found.rest_client.request)
            return found

    def _load(self, configuration: Any) -> None:
        """The kubeconfig that is named now (the client looks at KUBECONFIG once, when it is imported), else the pod's service account."""
        named = os.environ.get("KUBECONFIG")
        if named or self.context or Path("~/.kube/config").expanduser().exists():
            kubernetes.config.load_kube_config(named, self.context, client_configuration=configuration)
        else:
            kubernetes.config.load_incluster_config(client_configuration=configuration)

    @cached_property
    def _dynamic(self) -> Any:
        """Its discovery is kept in a file, which other clusters at the same address and other users must not share."""
        folder = tempfile.mkdtemp(prefix="headgate-discovery-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return DynamicClient(self._api, cache_file=f"{folder}/discovery.json")

    def _require_ours(self, found: Manifest) -> None:
        labels, where = found["metadata"].get("labels") or {}, f"{found['kind']} {found['metadata']['name']} in namespace {self.namespace}"
        if any(labels.get(name) != value for name, value in OWNED.items()):
            raise Refused(
                f"{where}: expected one that Headgate made (label "
                f"app.kubernetes.io/managed-by={MANAGER}), found {labels.get('app.kubernetes.io/managed-by') or 'another one'}; "
                "rename it, remove it, or choose another namespace"
            )
        if not applied_here(found):
            raise Refused(
                f"{where}: expected one that this target made, found one that was applied by {', '.join(managers(found)) or 'nobody'}, "
                "such as what `headgate render` prints; remove it, or let the target have another namespace"
            )

    @contextmanager
    def _calling(self, what: str) -> Iterator[None]:
        """Every fault in the project's words: what was tried, what the cluster said, what to do."""
        where = f"{what} in namespace {self.namespace}"
        try:
            yield
        except kubernetes.config.ConfigException as fault:
            raise Refused(f"expected a kubeconfig with context {self.context or '(the current one)'}, found none: {fault}") from fault
        except ApiException as fault:
            raise _told(where, fault) from fault
        except ResourceNotFoundError as fault:
            raise Refused(
                f"{where}: expected a cluster with this kind, found none ({fault}); see docs/kubernetes.md for what it needs"
            ) from fault
        except (urllib3.exceptions.HTTPError, websocket.WebSocketException, OSError) as fault:
            raise Unavailable(f"{where}: the cluster does not answer ({type(fault).__name__}: {fault})") from fault


def managers(found: Manifest) -> list[str]:
    """Who set fields of an object, by its managedFields."""
    return sorted({str(one.get("manager")) for one in found["metadata"].get("managedFields") or []})


def applied_here(found: Manifest) -> bool:
    """Whether this target made an object: `headgate render` prints the same labels, for people and other programs to apply."""
    told = found["metadata"].get("managedFields") or []
    return any((one.get("manager"), one.get("operation")) == (MANAGER, "Apply") for one in told)


def _bounded(request: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """A call of the client that ends: discovery names no timeout, and without one the client waits for ever."""
    return request(*arguments, **{**options, "_request_timeout": options.get("_request_timeout") or TIMEOUT_S})


def _exit_code(told: Any) -> int | None:
    """How the program ended; None where the connection ended first, or the cluster tells no exit code."""
    try:
        return int(told.returncode)
    except (TypeError, KeyError, ValueError, IndexError):
        return None


def _told(where: str, fault: Any) -> Exception:
    try:
        said = str(json.loads(fault.body)["message"])
    except (ValueError, KeyError, TypeError):
        said = str(fault.reason)
    status = int(fault.status or 0)
    if status == 409 and "conflict with" in said:
        told = f"{where}: another field manager set what Headgate would set: {said}; nothing was changed"
        return Refused(f"{told}. Let that manager leave the field to Headgate, then repeat")
    if status == 409:
        return Stale(f"{where}: it was changed meanwhile ({said}); look again and repeat")
    if status == 403 or "Handshake status 403" in said:
        return Refused(f"{where}: not allowed ({said}); `headgate render rbac` prints the Role that the flows need")
    if status in (0, 401, 429) or status >= 500:  # 401: a token that is being renewed
        return Unavailable(f"{where}: the cluster answered {status}: {said}")
    return Refused(f"{where}: the cluster answered {status}: {said}")
