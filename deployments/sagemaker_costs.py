"""What a release costs on SageMaker beyond the fleet that runs anyway. Pure; the price of an instance hour is the settings' own."""

from deployments.sagemaker_bounds import batch
from headgate.evaluation.evidence_record import Fleet
from headgate.settings import SageMakerRegion, Stage

SECONDS_PER_HOUR = 3600


def fleet_of(stage: Stage, region: SageMakerRegion, shadow_s: float = 0) -> Fleet:
    """The fleet of a stage, with the instance hours that a release needs beside it. shadow_s: how long a shadow may run there.

    Blue/green: a second fleet from the first share until all traffic has left the old one and bake time and termination wait are over.
    Rolling: a batch of instances at a time, each for as long as it is watched. A/B test and shadow: a fleet for the challenger. Without the
    minutes that instances take to start, which AWS bills too and nobody knows before.
    """
    beside_s = _rolling_s(stage, region) if region.routing == "rolling" else region.instance_count * _shifting_s(stage, region)
    challenger_s = region.instance_count * (shadow_s + (stage.ab_test.hold_s if stage.ab_test else 0))
    return Fleet(
        environment=stage.environment,
        place=stage.target,
        instance_type=region.instance_type,
        instances=region.instance_count,
        per_hour=region.cost_per_hour,
        currency=region.currency,
        first_percent=None if stage.ab_test else _more_than_asked(stage, region.instance_count),
        release_hours=(beside_s + challenger_s) / SECONDS_PER_HOUR,
    )


def _more_than_asked(stage: Stage, instances: int) -> int | None:
    """Percent of the traffic that the first step moves, where that is more than the policy says; an A/B test's split goes by weights."""
    asked = stage.traffic_routing.shares[0]
    first = round(100 * batch(asked, instances) / instances)
    return first if first > asked else None


def _shifting_s(stage: Stage, region: SageMakerRegion) -> float:
    """How long both fleets stand: an interval after each share but the last, then the longer of bake time and termination wait."""
    routing = stage.traffic_routing
    return len(routing.shares) * routing.wait_interval_s + max(stage.bake_time_s, region.termination_wait_s)


def _rolling_s(stage: Stage, region: SageMakerRegion) -> float:
    """Instance seconds: each batch stands beside the one that it replaces while it is watched."""
    routing = stage.traffic_routing
    percent = routing.canary_size_percent or routing.linear_step_size_percent or 50
    size = batch(percent, region.instance_count)
    batches = -(-region.instance_count // size)
    return batches * size * max(routing.wait_interval_s, stage.bake_time_s)
