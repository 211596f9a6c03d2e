"""The same release and policy for teams that run Argo Rollouts: a Rollout, its two Services and an AnalysisTemplate.

Argo compares each look with a limit; it knows no sequential test, so how often a good release goes back grows with the number of looks.
`min_requests`, `max_duration_s` and `ab_test` have no counterpart.
Requests are shared out by its Gateway API plugin (`argoproj-labs/gatewayAPI`), through the endpoint's HTTPRoute.
"""

from deployments.manifests.pods import config_map, network_policy, pod, service_account
from deployments.manifests.traffic import Gateway
from deployments.manifests.workload import MANAGER, Manifest, Workload
from headgate.settings import AutoRollback, Stage

PLUGIN = "argoproj-labs/gatewayAPI"
LOOK_EVERY_S = 30
WINDOW = "2m"


def argo_objects(workload: Workload, stage: Stage, gateway: Gateway, prometheus: str) -> list[Manifest]:
    """Everything of one endpoint under Argo, with this release in its Rollout; `prometheus` is the address that Argo asks."""
    return [
        service_account(workload),
        config_map(workload),
        network_policy(workload),
        *(_service(workload, cohort) for cohort in ("champion", "challenger")),
        _route(workload, gateway),
        analysis_template(workload, stage.auto_rollback, prometheus),
        rollout(workload, stage),
    ]


def rollout(workload: Workload, stage: Stage) -> Manifest:
    """The Rollout: the stage's shares one after the other, each watched for as long as the stage says."""
    endpoint = workload.endpoint
    template = pod(workload)
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": _metadata(workload, endpoint),
        "spec": {
            "replicas": workload.replicas.least,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 120,
            "progressDeadlineAbort": True,
            "selector": {"matchLabels": {"app.kubernetes.io/name": endpoint}},
            "template": template,
            "strategy": {
                "canary": {
                    "stableService": f"{endpoint}-champion",
                    "canaryService": f"{endpoint}-challenger",
                    "maxSurge": 1,
                    "maxUnavailable": 0,
                    "trafficRouting": {"plugins": {PLUGIN: {"httpRoute": endpoint, "namespace": workload.namespace}}},
                    "analysis": {"templates": [{"templateName": endpoint}], "startingStep": 1, "args": _arguments(workload)},
                    "steps": steps(stage),
                }
            },
        },
    }


def _arguments(workload: Workload) -> list[Manifest]:
    return [{"name": "release", "value": workload.release}]


def steps(stage: Stage) -> list[Manifest]:
    """Weights and pauses in seconds; the last share is watched for the bake time besides."""
    wait, found = stage.traffic_routing.wait_interval_s, list[Manifest]()
    for share in stage.traffic_routing.shares:
        last = share == stage.traffic_routing.shares[-1]
        found += [{"setWeight": share}, {"pause": {"duration": f"{int(wait + (stage.bake_time_s if last else 0))}s"}}]
    return found


def analysis_template(workload: Workload, policy: AutoRollback, prometheus: str) -> Manifest:
    """The limits of `auto_rollback` as PromQL, the release beside all others of the endpoint's model."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": _metadata(workload, workload.endpoint),
        "spec": {
            "args": [{"name": "release"}],
            "metrics": [_metric(name, query, limit, policy, prometheus) for name, query, limit in _queries(workload, policy)],
        },
    }


def _metric(name: str, query: str, limit: float, policy: AutoRollback, prometheus: str) -> Manifest:
    """A look without an answer decides nothing: there were no requests."""
    return {
        "name": name,
        "interval": f"{LOOK_EVERY_S}s",
        "failureLimit": policy.failure_limit,
        "successCondition": f"len(result) == 0 || isNaN(result[0]) || result[0] <= {limit:g}",
        "provider": {"prometheus": {"address": prometheus, "query": query}},
    }


def _queries(workload: Workload, policy: AutoRollback) -> list[tuple[str, str, float]]:
    model = f'model="{workload.model}",namespace="{workload.namespace}"'
    new, old = f'{model},release="{{{{args.release}}}}"', f'{model},release!="{{{{args.release}}}}"'
    errors = [_share("headgate_requests_total", which, 'status=~"5.."') for which in (new, old)]
    abstained = [_share("headgate_predictions_total", which, 'outcome="abstained"') for which in (new, old)]
    labels = [_by_label(new, old), _by_label(old, new)]
    confidence = [_mean("headgate_score", which) for which in (new, old)]
    slow = {percent: " / ".join(_percentile(percent, which) for which in (new, old)) for percent in (95, 99)}
    return [
        ("error-rate", errors[0], policy.max_error_rate),
        ("error-rate-increase", f"{errors[0]} - {errors[1]}", policy.max_error_rate_increase),
        ("p95-ratio", slow[95], policy.max_p95_ratio),
        ("p99-ratio", slow[99], policy.max_p99_ratio),
        ("label-share-change", f"max(abs({labels[0]} - {labels[1]}))", policy.max_label_share_change),
        ("abstention-change", f"abs({abstained[0]} - {abstained[1]})", policy.max_abstention_change),
        ("confidence-drop", f"{confidence[1]} - {confidence[0]}", policy.max_confidence_drop),
    ]


def _rate(metric: str, which: str, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{which}}}[{WINDOW}]))"


def _share(metric: str, which: str, part: str) -> str:
    whole = _rate(metric, which)
    return f"(({_rate(metric, f'{which},{part}')} or vector(0)) / {whole})"


def _by_label(which: str, others: str) -> str:
    """The share of each label that either side answers: 0 of one that only the others do, and nothing where this side answered nothing."""
    ours, theirs = (("headgate_predictions_total", f'{side},outcome="scored"') for side in (which, others))
    return f"(({_rate(*ours, 'label')} or 0 * {_rate(*theirs, 'label')}) / ignoring (label) group_left {_rate(*ours)})"


def _mean(metric: str, which: str) -> str:
    return f"({_rate(f'{metric}_sum', which)} / {_rate(f'{metric}_count', which)})"


def _percentile(percent: int, which: str) -> str:
    return f"histogram_quantile({percent / 100:g}, {_rate('headgate_request_seconds_bucket', which, 'le')})"


def _service(workload: Workload, cohort: str) -> Manifest:
    """Argo itself narrows the selector to the pods of one revision."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(workload, f"{workload.endpoint}-{cohort}"),
        "spec": {
            "type": "ClusterIP",
            "selector": {"app.kubernetes.io/name": workload.endpoint},
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http"}],
        },
    }


def _route(workload: Workload, gateway: Gateway) -> Manifest:
    """Argo's plugin sets the weights."""
    names = (f"{workload.endpoint}-champion", f"{workload.endpoint}-challenger")
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": _metadata(workload, workload.endpoint),
        "spec": {
            "parentRefs": [{"name": gateway.name, "namespace": gateway.namespace}],
            **({"hostnames": list(gateway.hostnames)} if gateway.hostnames else {}),
            "rules": [{"backendRefs": [{"name": name, "port": 80} for name in names]}],
        },
    }


def _metadata(workload: Workload, name: str) -> Manifest:
    labels = {"app.kubernetes.io/name": workload.endpoint, "app.kubernetes.io/managed-by": MANAGER}
    return {"name": name, "namespace": workload.namespace, "labels": labels}
