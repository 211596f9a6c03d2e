"""The shadow's report and its verdict, from pairs of answers. Pure.

Failed: the evidence is strong that copies fail, or that answers are slow, beyond a limit that the release has to keep anyway: errors by the
rollout's `auto_rollback`, latency by the load test's bounds against the champion (decision 0025). Evidence as in a canary: it may be looked
at as often as one likes (`sequential`), and all metrics share the policy's chance of a false stop (Bonferroni). What both models say is
shown and decides nothing: a better model has to disagree.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from headgate.evaluation.report import GateResult, Verdict
from headgate.release.observation import LATENCY_BOUNDS_MS
from headgate.release.rollout import Finding
from headgate.release.sequential import above, raised, slower
from headgate.release.shadow_report import Answer, Disagreement, Latency, Mirrored, Pair, ShadowReport
from headgate.settings import AutoRollback, LoadTest, Shadow

CONFIDENCE = 0.9
DISAGREEMENTS_KEPT = 50
METRICS = 5
ERRORS = ("error_rate", "error_rate_increase")  # these fail before min_requests: copies that fail may never be enough
DOUBT = 1.0 + 1e-9


class Limits(NamedTuple):
    """What a shadow is held to: its policy, the rollout's limits of errors and the load test's of latency."""

    policy: Shadow
    rollback: AutoRollback
    load: LoadTest


def report(limits: Limits, seen: Mirrored, duration_s: float, endpoint: str = "", champion: str | None = None) -> ShadowReport:
    """What was seen until now, judged; duration_s: how long requests have been mirrored."""
    policy, findings = limits.policy, judged(limits.rollback, limits.load, seen)
    verdict, reason = conclusion(policy, seen, findings, duration_s)
    labels = sorted({answer.said for pair in seen.pairs for answer in pair})
    agreed = sum(pair.champion.said == pair.challenger.said for pair in seen.pairs)
    low, high = interval(agreed, len(seen.pairs))
    return ShadowReport(
        verdict=verdict,
        reason=reason,
        endpoint=endpoint,
        champion=champion,
        sampling_percentage=policy.sampling_percentage,
        min_requests=policy.min_requests,
        duration_s=round(duration_s, 1),
        pairs=len(seen.pairs),
        unpaired=seen.unpaired,
        errors=seen.errors,
        champion_requests=seen.champion_requests,
        champion_errors=seen.champion_errors,
        dropped=seen.dropped,
        agreement=agreed / len(seen.pairs) if seen.pairs else None,
        low=low,
        high=high,
        labels=tuple(labels),
        matrix=matrix(seen.pairs, labels),
        champion_abstained=sum(pair.champion.outcome == "abstained" for pair in seen.pairs),
        challenger_abstained=sum(pair.challenger.outcome == "abstained" for pair in seen.pairs),
        champion_latency=latency([pair.champion for pair in uncached(seen.pairs)]),
        challenger_latency=latency([pair.challenger for pair in uncached(seen.pairs)]),
        findings=findings,
        disagreements=disagreements(seen.pairs)[:DISAGREEMENTS_KEPT],
    )


def without(policy: Shadow, verdict: Verdict, reason: str, endpoint: str, champion: str | None) -> ShadowReport:
    """The report of a shadow that saw nothing, with its verdict."""
    return ShadowReport(
        verdict=verdict,
        reason=reason,
        endpoint=endpoint,
        champion=champion,
        sampling_percentage=policy.sampling_percentage,
        min_requests=policy.min_requests,
    )


def skipped_because(policy: Shadow, champion: str | None, tests: Verdict) -> str:
    """Why no shadow is made; empty where one is."""
    if tests != "passed":
        return f"regression and load test {tests}, so the candidate is stopped without one"
    if champion is None:
        return "there is no champion yet whose requests could be mirrored"
    return "" if policy.sampling_percentage else "rollout.shadow.sampling_percentage is 0"


def gates(shadow: ShadowReport | None) -> tuple[GateResult, ...]:
    """The shadow's gate; none where no shadow was made, which the page says with the reason."""
    if shadow is None or shadow.verdict is None:
        return ()
    expected = f"at least {shadow.min_requests:,} mirrored requests answered; errors and latency within their limits"
    return (GateResult(name="shadow", verdict=shadow.verdict, expected=expected, found=told(shadow), detail=shadow.reason),)


def told(shadow: ShadowReport) -> str:
    """The shadow in one sentence."""
    if shadow.skipped:
        return f"skipped: {shadow.skipped}"
    if shadow.agreement is None or shadow.low is None or shadow.high is None:
        return f"{shadow.pairs:,} mirrored requests, {shadow.errors:,} errors"
    same = f"{shadow.agreement:.1%} answered the same ({shadow.low:.1%} to {shadow.high:.1%})"
    return f"{shadow.pairs:,} mirrored requests, {shadow.errors:,} errors, {same}"


def conclusion(policy: Shadow, seen: Mirrored, findings: Sequence[Finding], duration_s: float) -> tuple[Verdict | None, str]:
    """The verdict with its reason; None while it is open."""
    answered, enough = len(seen.pairs), len(seen.pairs) >= policy.min_requests
    failed = [one for one in findings if one.verdict == "failed" and (enough or one.metric in ERRORS)]
    if failed:
        return "failed", "; ".join(map(str, failed))
    doubted = [one for one in findings if one.verdict == "in doubt"]
    if enough and not doubted:
        cached = "" if uncached(seen.pairs) else "; latency was not compared: all texts were answered from a cache"
        return "passed", f"{answered:,} requests in {duration_s:.0f} s, no metric beyond its limit or in doubt{cached}"
    why = f"in doubt: {'; '.join(map(str, doubted))}" if enough else f"{answered:,} of {policy.min_requests:,} requests answered by both"
    if duration_s < policy.max_duration_s:
        return None, why
    return "inconclusive", f"after {duration_s:.0f} s {why}{_advice(policy, seen) if not enough else ''}"


def judged(rollback: AutoRollback, load: LoadTest, seen: Mirrored) -> tuple[Finding, ...]:
    """Each metric with its limit and the evidence that it is beyond it."""
    pairs = uncached(seen.pairs)
    ours, theirs = counts([pair.challenger for pair in pairs]), counts([pair.champion for pair in pairs])
    calls = len(seen.pairs) + seen.errors
    asked = seen.champion_requests + seen.champion_errors
    rates = seen.errors / calls if calls else None, seen.champion_errors / asked if asked else None
    more = raised(seen.errors, calls, seen.champion_errors, asked, rollback.max_error_rate_increase)
    needed = log(METRICS / rollback.max_false_rollback_rate)
    found = [
        _finding(
            "error_rate", rates[0], None, rollback.max_error_rate, "share", above(seen.errors, calls, rollback.max_error_rate), needed
        ),
        _finding("error_rate_increase", *rates, rollback.max_error_rate_increase, "more", more, needed),
    ]
    found.append(_slow_seconds(pairs, load, needed))
    for name, quantile, ratio in (("p95_ms", 0.95, load.max_p95_ratio), ("p99_ms", 0.99, load.max_p99_ratio)):
        mine, champions = (percentile([answer.latency_ms for answer in side], quantile) for side in _sides(pairs))
        limit = allowed_ratio(ratio, champions, load.latency_allowance_ms)
        found.append(_finding(name, mine, champions, limit, "times", slower(ours, theirs, quantile, limit), needed))
    return tuple(found)


def _slow_seconds(pairs: Sequence[Pair], load: LoadTest, needed: float) -> Finding:
    """Whether there are more seconds than not in which the challenger took longer than allowed for most of the very same texts.

    A sign test over seconds, not over texts: what slows one process down lasts a while, so neighbours in time are no independent trials.
    """
    late: dict[int, list[bool]] = defaultdict(list)
    for pair in pairs:
        allowed = max(load.max_p50_ratio * pair.champion.latency_ms, pair.champion.latency_ms + load.latency_allowance_ms)
        late[pair.champion.second].append(pair.challenger.latency_ms > allowed)
    slow, seconds = sum(2 * sum(of_second) > len(of_second) for of_second in late.values()), len(late)
    name = f"seconds in which the same texts took longer than {load.max_p50_ratio:g} times"
    return _finding(name, slow / seconds if seconds else None, None, 0.5, "share", above(slow, seconds, 0.5), needed)


def allowed_ratio(ratio: float, champion_ms: float | None, allowance_ms: float) -> float:
    """The load test's bound: so many times the champion's latency, or so many milliseconds more, whichever is larger."""
    return max(ratio, 1 + allowance_ms / champion_ms) if champion_ms else ratio


def matrix(pairs: Sequence[Pair], labels: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Texts by the champion's label (rows) and the challenger's (columns)."""
    found = Counter((pair.champion.said, pair.challenger.said) for pair in pairs)
    return tuple(tuple(found[row, column] for column in labels) for row in labels)


def disagreements(pairs: Sequence[Pair]) -> tuple[Disagreement, ...]:
    """The pairs with two different labels, oldest first."""
    return tuple(
        Disagreement(
            champion_id=one.champion.prediction_id,
            challenger_id=one.challenger.prediction_id,
            champion=one.champion.said,
            challenger=one.challenger.said,
        )
        for one in pairs
        if one.champion.said != one.challenger.said
    )


def interval(hits: int, trials: int) -> tuple[float | None, float | None]:
    """Wilson's interval (1927) of a share; none without trials."""
    if not trials:
        return None, None
    found = binomtest(hits, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def uncached(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs that both models computed, so that their latencies are of the same texts."""
    return [pair for pair in pairs if not pair.champion.cached and not pair.challenger.cached]


def latency(answers: Sequence[Answer]) -> Latency:
    """The percentiles of one side."""
    values = [answer.latency_ms for answer in answers]
    p50, p95, p99 = (percentile(values, quantile) for quantile in (0.5, 0.95, 0.99))
    return Latency(answers=len(values), p50_ms=p50, p95_ms=p95, p99_ms=p99)


def percentile(values: Sequence[float], quantile: float) -> float | None:
    """The smallest value that this share of the values does not exceed; None without any."""
    return float(np.quantile(values, quantile, method="inverted_cdf")) if values else None


def counts(answers: Sequence[Answer]) -> NDArray[np.float64]:
    """Answers by LATENCY_BOUNDS_MS, the last place for what is above."""
    places = np.searchsorted(LATENCY_BOUNDS_MS, [answer.latency_ms for answer in answers])
    return np.bincount(places.astype(int), minlength=len(LATENCY_BOUNDS_MS) + 1).astype(float)


def _sides(pairs: Sequence[Pair]) -> tuple[list[Answer], list[Answer]]:
    return [pair.challenger for pair in pairs], [pair.champion for pair in pairs]


def _finding(
    metric: str, ours: float | None, theirs: float | None, limit: float, unit: str, weight: NDArray[np.float64], needed: float
) -> Finding:
    evidence = float(weight)
    verdict = "failed" if evidence >= needed else "in doubt" if evidence > log(DOUBT) else "within limits"
    return Finding.model_validate(
        {
            "metric": metric,
            "challenger": ours,
            "champion": theirs,
            "limit": round(limit, 3),
            "unit": unit,
            "evidence": exp(min(evidence, 50)),
            "needed": exp(needed),
            "verdict": verdict,
        }
    )


def _advice(policy: Shadow, seen: Mirrored) -> str:
    """What to change where too few requests came."""
    if not seen.champion_requests:
        return "; the endpoint had no requests: set probe_rate_per_s of its stage, or rollout.shadow.sampling_percentage = 0"
    return f"; the champion answered {seen.champion_requests:,}, of which {policy.sampling_percentage}% are mirrored"
