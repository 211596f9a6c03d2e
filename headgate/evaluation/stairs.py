"""Which rates a load test asks an endpoint for, one step after another, to find the rate at which it gives in; pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headgate.evaluation.load_report import LoadStep, Role
from headgate.settings import LoadTest

KEPT_PACE = 0.95
SETTLED = 0.25  # share of a step after which answers are counted
CLOSE_ENOUGH = 1.1  # ratio of the lowest rate not sustained to the highest one sustained

Floats = NDArray[np.float64]


def next_rate(steps: Sequence[LoadStep], settings: LoadTest) -> float | None:
    """The rate that one endpoint is asked for next, in requests a second; None where the steps are over.

    Up from `rate_per_s` by `stairs_factor` until a step is not sustained, then the geometric mean of the closest two rates.
    """
    if len(steps) >= settings.stairs_max_steps:
        return None
    if not steps:
        return settings.rate_per_s
    held = [step.rate_per_s for step in steps if step.sustained]
    lost = [step.rate_per_s for step in steps if not step.sustained]
    if not lost:
        return max(held) * settings.stairs_factor
    if not held:
        return min(lost) / settings.stairs_factor
    low = max(rate for rate in held if rate < min(lost)) if min(held) < min(lost) else min(held)
    return None if min(lost) / low <= CLOSE_ENOUGH else float(np.sqrt(low * min(lost)))


def judged(
    role: Role, rate_per_s: float, offset_s: Floats, latency_ms: Floats, good: NDArray[np.bool_], delay_ms: Floats, settings: LoadTest
) -> LoadStep:
    """What came of one step: arrays of one entry a request, in any order.

    The achieved rate counts good answers after the first quarter of the step, so that it is not too low by the latency itself.
    """
    length = settings.stairs_step_s
    ended = offset_s + latency_ms / 1000
    achieved = float(np.sum(good & (ended >= SETTLED * length) & (ended < length))) / ((1 - SETTLED) * length)
    p95 = float(np.percentile(latency_ms, 95)) if len(latency_ms) else 0.0
    errors = int(np.sum(~good))
    few_errors = errors <= settings.max_error_rate * len(good)
    return LoadStep(
        role=role,
        rate_per_s=rate_per_s,
        achieved_rate_per_s=achieved,
        p95_ms=p95,
        errors=errors,
        sustained=bool(achieved >= _wanted(rate_per_s, length) and p95 <= settings.max_p95_ms and few_errors),
        generator_lag_p99_ms=float(np.percentile(delay_ms, 99)) if len(delay_ms) else 0.0,
    )


def saturation(steps: Sequence[LoadStep]) -> dict[Role, float]:
    """Good answers a second of each endpoint where it gave most, sustained or beyond that: finer than the steps themselves are."""
    roles: tuple[Role, ...] = ("candidate", "champion")
    return {role: max(one.achieved_rate_per_s for one in steps if one.role == role) for role in roles if any(s.role == role for s in steps)}


def _wanted(rate_per_s: float, length_s: float) -> float:
    """The pace to keep; two answers fewer are the edges of the window, not the endpoint."""
    return KEPT_PACE * rate_per_s - 2 / ((1 - SETTLED) * length_s)
