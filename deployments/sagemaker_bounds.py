"""What AWS refuses of a request, found before it is sent: by the service's own model, and by the limits that only its documents name."""

import re
from collections.abc import Iterator, Mapping
from math import floor
from typing import Any

NUMBERS = ("integer", "long", "float", "double")
# Percent of the new fleet's instances; of the API reference of TrafficRoutingConfig and RollingUpdatePolicy.
SIZES = {"CanarySize": (1, 50), "LinearStepSize": (10, 50), "MaximumBatchSize": (5, 50)}
LONGEST_UPDATE_S = 28_800


def model_faults(operation: Any, request: Mapping[str, Any]) -> list[str]:
    """All that is wrong with a request by botocore's model of its operation (client.meta.service_model.operation_model)."""
    return list(_faults(request, operation.input_shape, operation.name))


def _faults(value: Any, shape: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure" and isinstance(value, Mapping):
        yield from (f"{path}: expected {name}, found none" for name in shape.required_members if name not in value)
        yield from (f"{path}: expected no {name}, which the service does not know" for name in value if name not in shape.members)
        for name in value:
            if name in shape.members:
                yield from _faults(value[name], shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list" and isinstance(value, list):
        for number, one in enumerate(value):
            yield from _faults(one, shape.member, f"{path}[{number}]")
    elif shape.type_name == "map" and isinstance(value, Mapping):
        for key, one in value.items():
            yield from _faults(key, shape.key, f"{path} key")
            yield from _faults(one, shape.value, f"{path}[{key}]")
    yield from (f"{path}: {broken}" for broken in _broken(value, shape))


def _broken(value: Any, shape: Any) -> Iterator[str]:
    numeric, bounds = shape.type_name in NUMBERS, shape.metadata
    if numeric != (isinstance(value, int | float) and not isinstance(value, bool)):
        yield f"expected {shape.type_name}, found {value!r}"
        return
    size = value if numeric else len(value) if isinstance(value, str | list | Mapping) else None
    noun = "" if numeric else " characters" if isinstance(value, str) else " items"
    for name, word in (("min", "at least"), ("max", "at most")):
        bound = bounds.get(name)
        if size is not None and bound is not None and (size < bound if name == "min" else size > bound):
            yield f"expected {word} {bound:g}{noun}, found {size}{f' ({value!r:.80})' if isinstance(value, str) else ''}"
    if isinstance(value, str):
        yield from _misspelt(value, bounds)


def _misspelt(value: str, bounds: Mapping[str, Any]) -> Iterator[str]:
    known = bounds.get("enum")
    if known and value not in known:
        near = [one for one in known if one.rpartition(".")[0] == value.rpartition(".")[0]] or list(known)
        yield f"expected one of {', '.join(near[:12])}{', ...' if len(near) > 12 else ''}, found {value!r}"
    pattern = bounds.get("pattern")
    if pattern and r"\p{" in pattern:  # of tags; Python's re does not know Unicode's properties
        pattern = r"[\w\s.:/=+\-@]*"
    if pattern and not re.fullmatch(pattern, value):
        yield f"expected {pattern}, found {value!r:.80}"


def deployment_faults(config: Mapping[str, Any], instances: int) -> list[str]:
    """What SageMaker's documents refuse of a DeploymentConfig for a fleet of so many instances."""
    policies = [name for name in ("BlueGreenUpdatePolicy", "RollingUpdatePolicy") if name in config]
    found = [] if len(policies) == 1 else [f"expected one update policy, blue/green or rolling, found {' and '.join(policies) or 'none'}"]
    alarms = (config.get("AutoRollbackConfiguration") or {}).get("Alarms") or []
    if not 1 <= len(alarms) <= 10:
        found.append(f"expected 1 to 10 alarms, without which SageMaker never goes back by itself, found {len(alarms)}")
    for name in policies:
        policy = config[name]
        routing = policy.get("TrafficRoutingConfiguration", policy)
        sizes = {size: routing[size]["Value"] for size in SIZES if size in routing}
        found += [fault for size, percent in sizes.items() for fault in _size_faults(size, percent, instances)]
        found += _time_faults(policy, routing, _waits(sizes, instances))
    return found


def _size_faults(name: str, percent: int, instances: int) -> Iterator[str]:
    low, high = SIZES[name]
    if not low <= percent <= high:
        yield f"{name}: expected {low} to {high} percent of the new fleet, found {percent}"
    elif 100 * (unit := batch(percent, instances)) / instances > high:
        yield (
            f"{name}: expected at most {high}% of the new fleet, found {unit} of its {instances} instance(s): traffic moves by whole "
            f"instances; set instance_count to 2 or more"
        )


def batch(percent: int, instances: int) -> int:
    """How many instances a share is: whole ones, one at least."""
    return max(1, floor(percent * instances / 100))


def _waits(sizes: Mapping[str, int], instances: int) -> int:
    """How often traffic waits before all of it has moved: once at a canary's share, else at each step but the last."""
    if "CanarySize" in sizes:
        return 1
    return -(-instances // batch(next(iter(sizes.values()), 100), instances)) - 1


def _time_faults(policy: Mapping[str, Any], routing: Mapping[str, Any], times: int) -> Iterator[str]:
    wait, limit = routing["WaitIntervalInSeconds"], policy.get("MaximumExecutionTimeoutInSeconds", LONGEST_UPDATE_S)
    waits = wait * times + policy.get("TerminationWaitInSeconds", 0)
    if waits >= limit:
        yield (
            f"expected waiting times that add up to less than {limit} s, found {waits:g}; "
            "shorten wait_interval_s, bake_time_s or termination_wait_s, or take larger steps"
        )
