"""How SageMaker shifts traffic from an old fleet to a new one: the bounds of a plan, and its stages.

From the SageMaker Developer Guide, "Deployment guardrails for updating models in production" and its pages on canary, linear and rolling
traffic shifting, and the API reference of DeploymentConfig. Traffic is turned on by whole instances, rounded down but at least one, as the
status messages of an update have it ("traffic enabled on canary capacity of 1 instance(s)").
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ALL_AT_ONCE = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}}
# Member of the policy, lowest and highest percent of the variant's instances.
BOUNDS = {"CANARY": ("CanarySize", 0, 50), "LINEAR": ("LinearStepSize", 10, 50), "ROLLING": ("MaximumBatchSize", 5, 50)}


@dataclass(frozen=True)
class Times:
    """How long the parts of an update take that no policy sets, in seconds."""

    provision_s: float = 240
    shift_s: float = 30
    scale_s: float = 60
    delete_s: float = 30


@dataclass(frozen=True)
class Stage:
    """One status of the new fleet's variants, with the instances that take traffic meanwhile."""

    status: str
    seconds: float
    message: str
    on: Mapping[str, int]


def faults(config: Mapping[str, Any], old: Mapping[str, int], new: Mapping[str, int]) -> list[str]:
    """What the service refuses of a deployment from fleet to fleet (instances by variant), beyond its service model."""
    if not config:
        return []
    found = []
    if "BlueGreenUpdatePolicy" in config and "RollingUpdatePolicy" in config:
        found.append("Only one update policy can be specified: BlueGreenUpdatePolicy or RollingUpdatePolicy")
    if old and set(old) != set(new):
        found.append(f"The new endpoint configuration must have the same variant names as the old one, {sorted(old)}, found {sorted(new)}")
    if "RollingUpdatePolicy" in config:
        found += _rolling_faults(config["RollingUpdatePolicy"], new)
    if "BlueGreenUpdatePolicy" in config:
        found += _blue_green_faults(config["BlueGreenUpdatePolicy"], new)
    return found


def _rolling_faults(policy: Mapping[str, Any], new: Mapping[str, int]) -> list[str]:
    found = _size_faults("ROLLING", policy, new)
    if len(new) > 1:
        found.append("RollingUpdatePolicy is not supported for endpoints with several production variants")
    limit = policy.get("MaximumExecutionTimeoutInSeconds")
    waits = policy["WaitIntervalInSeconds"] * (0 if found else len(_steps(policy["MaximumBatchSize"], new)))
    return found + _timeout_faults(limit, waits)


def _blue_green_faults(policy: Mapping[str, Any], new: Mapping[str, int]) -> list[str]:
    routing = policy["TrafficRoutingConfiguration"]
    kind = routing["Type"]
    found = _size_faults(kind, routing, new) if kind in BOUNDS else []
    for name, member in (("CANARY", "CanarySize"), ("LINEAR", "LinearStepSize")):
        if member in routing and kind != name:
            found.append(f"{member} can only be specified with TrafficRoutingConfiguration Type {name}, found {kind}")
    steps = 0 if found or kind == "ALL_AT_ONCE" else 1 if kind == "CANARY" else len(_steps(routing["LinearStepSize"], new)) - 1
    waits = routing["WaitIntervalInSeconds"] * steps + policy.get("TerminationWaitInSeconds", 0)
    return found + _timeout_faults(policy.get("MaximumExecutionTimeoutInSeconds"), waits)


def _size_faults(kind: str, policy: Mapping[str, Any], new: Mapping[str, int]) -> list[str]:
    member, low, high = BOUNDS[kind]
    size = policy.get(member)
    if size is None:
        return [f"{member} must be specified with {kind}"]
    bound = f"between {low}% and {high}%" if low else f"less than or equal to {high}%"
    if size["Type"] == "CAPACITY_PERCENT" and not low <= size["Value"] <= high:
        return [f"{member} must be {bound} of the variant's total instance count, found {size['Value']}%"]
    return [
        f"{member} must be {bound} of the variant's total instance count, found {unit} of {total} instance(s) of variant {variant}"
        for variant, total in new.items()
        if not low <= 100 * (unit := _unit(size, total)) / total <= high
    ]


def _timeout_faults(limit: float | None, waits: float) -> list[str]:
    if limit is None or limit > waits:
        return []
    return [f"MaximumExecutionTimeoutInSeconds must be larger than the total waiting time of {waits} seconds, found {limit}"]


def _unit(size: Mapping[str, Any], total: int) -> int:
    return int(size["Value"]) if size["Type"] == "INSTANCE_COUNT" else max(1, math.floor(size["Value"] * total / 100))


def _steps(size: Mapping[str, Any], totals: Mapping[str, int]) -> list[dict[str, int]]:
    number = max(math.ceil(total / _unit(size, total)) for total in totals.values())
    return [{name: min(total, step * _unit(size, total)) for name, total in totals.items()} for step in range(1, number + 1)]


def stages(config: Mapping[str, Any], totals: Mapping[str, int], times: Times) -> list[Stage]:
    """The way of a new fleet of so many instances by variant, to full traffic."""
    if "RollingUpdatePolicy" in config:
        policy = config["RollingUpdatePolicy"]
        return [
            stage
            for before, on in _pairs(_steps(policy["MaximumBatchSize"], totals), totals)
            for stage in (_launch(before, on, times), *_turn_on(before, on, totals, policy["WaitIntervalInSeconds"], times, ""))
        ]
    policy = config.get("BlueGreenUpdatePolicy", ALL_AT_ONCE["BlueGreenUpdatePolicy"])
    routing = policy["TrafficRoutingConfiguration"]
    none = dict.fromkeys(totals, 0)
    way = [_launch(none, totals, times)]
    for before, on in _pairs(_blue_green_steps(routing, totals), totals):
        final = on == totals
        wait = policy.get("TerminationWaitInSeconds", 0) if final else routing["WaitIntervalInSeconds"]
        way += _turn_on(before, on, totals, wait, times, " (TerminationWaitInSeconds)" if final else " (WaitIntervalInSeconds)")
    return way


def way_back(config: Mapping[str, Any], on: Mapping[str, int], times: Times) -> list[Stage]:
    """The way from so many new instances that take traffic back to none; of a rolling update the old ones are launched again."""
    none = dict.fromkeys(on, 0)
    if "RollingUpdatePolicy" not in config or not any(on.values()):
        return [Stage("Updating", times.shift_s, "Rolling back.", none)]
    size = config["RollingUpdatePolicy"].get("RollbackMaximumBatchSize", {"Type": "CAPACITY_PERCENT", "Value": 100})
    left = [{name: on[name] - step[name] for name in on} for step in _steps(size, on)]
    message = "Launching instances of the old configuration."
    return [Stage("Creating", times.provision_s + times.shift_s, message, before) for before in (on, *left[:-1])]


def _blue_green_steps(routing: Mapping[str, Any], totals: Mapping[str, int]) -> list[Mapping[str, int]]:
    if routing["Type"] == "CANARY":
        return [_steps(routing["CanarySize"], totals)[0], totals]
    return list(_steps(routing["LinearStepSize"], totals)) if routing["Type"] == "LINEAR" else [totals]


def _pairs(steps: list[Any], totals: Mapping[str, int]) -> list[tuple[Mapping[str, int], Mapping[str, int]]]:
    return list(zip([dict.fromkeys(totals, 0), *steps], steps, strict=False))


def _launch(before: Mapping[str, int], on: Mapping[str, int], times: Times) -> Stage:
    return Stage("Creating", times.provision_s, f"Launching {sum(on.values()) - sum(before.values())} instance(s).", before)


def _turn_on(
    before: Mapping[str, int], on: Mapping[str, int], totals: Mapping[str, int], wait: float, times: Times, why: str
) -> list[Stage]:
    capacity = f"{'full' if on == totals else 'canary'} capacity of {sum(on.values())} instance(s)."
    turning = Stage("ActivatingTraffic", times.shift_s, f"Activating traffic on {capacity}", before)
    return [turning, Stage("Baking", wait, f"Baking for {wait} seconds{why} with traffic enabled on {capacity}", on)]
