"""A plan as SageMaker's DeploymentConfig, its alarms on the new fleet, and how far an update is. Pure."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from deployments.sagemaker_bounds import batch
from deployments.sagemaker_objects import CHAMPION, Request, tags
from deployments.target import Plan
from headgate.settings import SageMakerRegion

OWN, STOP_METRIC = "Headgate", "ReleaseFailed"
SHORTEST_S, LONGEST_S = 600, 28_800
LONGEST_CALL_US = 60_000_000.0  # SageMaker ends a call then
ALARMS = ("5xx", "model-errors", "latency", "stop")
STOP_PREFIX, STOP_SUFFIX = "headgate-", "-stop"


def deployment_config(plan: Plan, place: SageMakerRegion, config: str) -> Request:
    """UpdateEndpoint's DeploymentConfig; `config` names the endpoint configuration whose fleet is watched."""
    policy = _rolling(plan, place) if place.routing == "rolling" else _blue_green(plan, place)
    return {**policy, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarm_names(config)]}}


def _blue_green(plan: Plan, place: SageMakerRegion) -> Request:
    routing: Request = {"Type": plan.type, "WaitIntervalInSeconds": 0 if plan.type == "ALL_AT_ONCE" else round(plan.wait_interval_s)}
    if plan.size_percent is not None:
        size = "CanarySize" if plan.type == "CANARY" else "LinearStepSize"
        routing[size] = {"Type": "CAPACITY_PERCENT", "Value": plan.size_percent}
    termination_s = max(place.termination_wait_s, round(plan.bake_time_s))
    steps = 1 if plan.type == "CANARY" else -(-100 // (plan.size_percent or 100))
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": termination_s,
            "MaximumExecutionTimeoutInSeconds": _longest(steps * plan.wait_interval_s + termination_s, place),
        }
    }


def _rolling(plan: Plan, place: SageMakerRegion) -> Request:
    percent = plan.size_percent or 50
    steps = -(-place.instance_count // batch(percent, place.instance_count))
    wait_s = plan.wait_interval_s or plan.bake_time_s
    return {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": percent},
            "WaitIntervalInSeconds": round(wait_s),
            "MaximumExecutionTimeoutInSeconds": _longest(steps * wait_s, place),
        }
    }


def _longest(waits_s: float, place: SageMakerRegion) -> int:
    """All waiting, and the time in which an endpoint must be in service; no more than SageMaker allows."""
    return round(min(max(waits_s + place.ready_s, SHORTEST_S), LONGEST_S))


def alarm_names(config: str) -> list[str]:
    """The alarms on the fleet of an endpoint configuration."""
    return [f"{STOP_PREFIX}{config}-{kind}" for kind in ALARMS]


def stop_alarm(config: str) -> str:
    """The alarm that stands for our own word."""
    return f"{STOP_PREFIX}{config}{STOP_SUFFIX}"


def dimensions(endpoint: str, config: str, variant: str = CHAMPION) -> list[dict[str, str]]:
    """What CloudWatch knows one fleet of an endpoint by."""
    found = {"EndpointName": endpoint, "VariantName": variant, "EndpointConfigName": config}
    return [{"Name": name, "Value": value} for name, value in found.items()]


def stop_dimensions(endpoint: str, config: str) -> list[dict[str, str]]:
    """Where ReleaseFailed is put for a release under way: 1 takes it back."""
    return [{"Name": "EndpointName", "Value": endpoint}, {"Name": "EndpointConfigName", "Value": config}]


def alarms(endpoint: str, config: str, plan: Plan, max_p99_ms: float) -> list[Request]:
    """PutMetricAlarm for each alarm: errors and latency of the new fleet, and the library's own metric, which keeps its state.

    max_p99_ms: where the plan knows no limit.
    """
    fleet = {"Namespace": "AWS/SageMaker", "Dimensions": dimensions(endpoint, config), "TreatMissingData": "notBreaching"}
    errors = {"Statistic": "Average", "Threshold": plan.max_error_rate, **fleet}
    limit = min((plan.max_p99_ms or max_p99_ms) * 1000, LONGEST_CALL_US)
    latency = {
        "MetricName": "ModelLatency",
        "ExtendedStatistic": "p99",
        "EvaluateLowSampleCountPercentile": "ignore",
        "Threshold": limit,
        **fleet,
    }
    own = {
        "MetricName": STOP_METRIC,
        "Namespace": OWN,
        "Dimensions": stop_dimensions(endpoint, config),
        "Statistic": "Maximum",
        "Threshold": 0.0,
        "TreatMissingData": "ignore",
    }
    settings: list[Request] = [
        {"MetricName": "Invocation5XXErrors", **errors},
        {"MetricName": "InvocationModelErrors", **errors},
        latency,
        own,
    ]
    same = {"Period": 60, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold", "ActionsEnabled": False}
    told = {
        "AlarmDescription": f"Takes release {plan.release[:12]} back while endpoint {endpoint} is updated to it.",
        "Tags": tags(endpoint),
    }
    names = alarm_names(config)
    return [{"AlarmName": name, **setting, **same, **told} for name, setting in zip(names, settings, strict=True)]


def share_of(pending: Mapping[str, Any]) -> tuple[int, datetime | None]:
    """Percent of the traffic that the new fleet has, or is being given, by its status messages; and since when it bakes at that.

    Between the batches of a rolling update the instances tell.
    """
    variant = next(one for one in pending["ProductionVariants"] if one["VariantName"] == CHAMPION)
    status = _last(variant.get("VariantStatus") or [])
    total = variant.get("DesiredInstanceCount") or variant.get("CurrentInstanceCount") or 1
    if status.get("Status") not in ("Baking", "ActivatingTraffic"):
        return min(99, round(100 * variant.get("CurrentInstanceCount", 0) / total)), None
    found = re.search(r"canary capacity of (\d+) instance", str(status.get("StatusMessage", "")))
    percent = min(99, round(100 * int(found[1]) / total)) if found else 100
    return percent, status.get("StartTime") if status["Status"] == "Baking" else None


def _last(statuses: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return statuses[-1] if statuses else {}
