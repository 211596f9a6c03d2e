"""The gates of a load test; pure."""

import math
import statistics
from collections.abc import Mapping, Sequence

from headgate.evaluation.load_report import LoadSide, LoadStep, MemoryUse, Role
from headgate.evaluation.report import GateResult, Verdict
from headgate.evaluation.stairs import KEPT_PACE
from headgate.settings import LoadTest

PERCENTILES = (50.0, 95.0, 99.0)
NINE_OF_TEN = 1.645

Ratios = Mapping[float, tuple[float, float]]


def absolute(side: LoadSide, settings: LoadTest) -> tuple[GateResult, ...]:
    """Bounds that hold whether or not there is a champion; with the cache on their names end in _cached."""
    wanted = KEPT_PACE * settings.rate_per_s
    late = f"99 of 100 requests were sent at most {side.generator_lag_p99_ms:.0f} ms late"
    bounds = {
        "p50": (side.p50_ms, settings.max_p50_ms),
        "p95": (side.p95_ms, settings.max_p95_ms),
        "p99": (side.p99_ms, settings.max_p99_ms),
    }
    errors, rate = side.error_rate, side.achieved_rate_per_s
    gates = (
        *(_gate(f"latency_{name}", ms <= most, f"at most {most:,.0f} ms", f"{ms:,.0f} ms", late) for name, (ms, most) in bounds.items()),
        _gate("error_rate", errors <= settings.max_error_rate, f"at most {settings.max_error_rate:.2%}", f"{errors:.2%}", _kinds(side)),
        _gate("arrival_rate", rate >= wanted, f"at least {wanted:.1f} good answers a second", f"{rate:.1f}"),
    )
    return tuple(gate.model_copy(update={"name": f"{gate.name}_cached"}) for gate in gates) if side.cache else gates


def against_champion(candidate: LoadSide, champion: LoadSide, intervals: Ratios, settings: LoadTest) -> tuple[GateResult, ...]:
    """Latency against the champion's in the same run; `intervals` holds the ratio's for 50, 95 and 99 percent.

    Failed where even the interval's low end is over the bound; inconclusive where the ratio is, but chance may explain it.
    """
    rows = (
        ("p50", 50.0, candidate.p50_ms, champion.p50_ms, settings.max_p50_ratio),
        ("p95", 95.0, candidate.p95_ms, champion.p95_ms, settings.max_p95_ratio),
        ("p99", 99.0, candidate.p99_ms, champion.p99_ms, settings.max_p99_ratio),
    )
    return tuple(_ratio(name, mine, theirs, most, intervals[at], settings.latency_allowance_ms) for name, at, mine, theirs, most in rows)


def throughput(saturation: Mapping[Role, float], stairs: Sequence[LoadStep], settings: LoadTest) -> tuple[GateResult, ...]:
    """How much the endpoint gives at most, by itself and against the champion."""
    if "candidate" not in saturation:
        return ()
    mine, theirs = saturation["candidate"], saturation.get("champion")
    found, least = f"{mine:,.0f} good answers a second", settings.min_saturation_per_s
    told = f"{knee(stairs, 'candidate')}; {knee(stairs, 'champion')}" if theirs else knee(stairs, "candidate")
    gates = [_gate("saturation", mine >= least, f"at least {least:,.0f} good answers a second", found, told)] if least else []
    if theirs:
        gates.append(_against_champion_most(mine, theirs, stairs, settings.min_saturation_ratio, told))
    return tuple(gates)


def _against_champion_most(mine: float, theirs: float, stairs: Sequence[LoadStep], share: float, told: str) -> GateResult:
    """Inconclusive where the ratio is below its bound, but the steps beyond the knee differ among themselves as much."""
    ratio, noise = mine / theirs, math.hypot(_unrest(stairs, "candidate"), _unrest(stairs, "champion"))
    verdict: Verdict = "passed" if ratio >= share else "failed" if ratio * math.exp(NINE_OF_TEN * noise) < share else "inconclusive"
    return GateResult(
        name="saturation_against_champion",
        verdict=verdict,
        expected=f"at least {share:.0%} of the champion's {theirs:,.0f} a second",
        found=f"{ratio:.0%}: {mine:,.0f} good answers a second",
        detail=f"{told}; steps beyond the knee differ by {noise:.0%}",
    )


def _unrest(stairs: Sequence[LoadStep], role: Role) -> float:
    """Standard deviation of the logarithm of what steps beyond the knee gave, all of which ought to give the same."""
    given = [math.log(max(step.achieved_rate_per_s, 0.1)) for step in stairs if step.role == role and not step.sustained]
    return statistics.stdev(given) if len(given) > 1 else 0.0


def knee(stairs: Sequence[LoadStep], role: Role) -> str:
    """The closest two rates between which an endpoint gave in, in words."""
    held = [step.rate_per_s for step in stairs if step.role == role and step.sustained]
    lost = [step for step in stairs if step.role == role and not step.sustained]
    low = f"{role}: {max(held):,.0f} a second were sustained" if held else f"{role}: no rate was sustained"
    if not lost:
        return f"{low}, and more was not asked for"
    first = min(lost, key=lambda step: step.rate_per_s)
    late = first.generator_lag_p99_ms
    by_whom = f"; the requests themselves left {late:,.0f} ms late" if late > first.p95_ms / 2 else ""
    return f"{low}, {first.rate_per_s:,.0f} were not{by_whom}"


def memory(used: Sequence[MemoryUse], settings: LoadTest) -> tuple[GateResult, ...]:
    """The leak gate: growth of the candidate's memory along a straight line through the measured time."""
    most = settings.max_memory_growth
    if not most:
        return ()
    expected = f"growth of at most {most:.0%} over the run"
    mine = next((one for one in used if one.role == "candidate"), None)
    if mine is None:
        detail = "the endpoint's GET /metrics tells no process_resident_memory_bytes; set load_test.max_memory_growth = 0 to go without"
        return (GateResult(name="memory_growth", verdict="inconclusive", expected=expected, found="nothing to measure", detail=detail),)
    told = "; ".join(f"{one.role}: {one.growth:+.1%} of {one.samples_mb[0]:,.0f} MB in {len(one.samples_mb)} samples" for one in used)
    return (_gate("memory_growth", mine.growth <= most, expected, f"{mine.growth:+.1%}", told),)


def _ratio(name: str, mine: float, theirs: float, most: float, interval: tuple[float, float], allowance_ms: float) -> GateResult:
    ratio, (low, high) = mine / theirs, interval
    over = ratio > most and mine - theirs > allowance_ms
    verdict: Verdict = "passed" if not over else "failed" if low > most else "inconclusive"
    return GateResult(
        name=f"latency_{name}_against_champion",
        verdict=verdict,
        expected=f"at most {most:g} times the champion's {theirs:,.1f} ms, or {allowance_ms:g} ms more",
        found=f"{ratio:.2f} times: {mine:,.1f} ms",
        detail=f"{low:.2f} to {high:.2f} times in 9 of 10 such tests",
    )


def _kinds(side: LoadSide) -> str:
    return ", ".join(f"{count} x {fault}" for fault, count in list(side.faults.items())[:3])


def _gate(name: str, good: bool, expected: str, found: str, detail: str = "") -> GateResult:
    verdict: Verdict = "passed" if good else "failed"
    return GateResult(name=name, verdict=verdict, expected=expected, found=found, detail=detail)
