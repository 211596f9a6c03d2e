"""What a canary's answers say, beside those that the champion gave at the same time. Pure.

A metric failed when the evidence is strong that it is beyond its limit, however often one looked (`sequential`). How strong follows from
the chance of a false rollback that the policy allows: divided by the number of metrics, of labels, and of the rollout's steps (Bonferroni).
A correction counts from its answer's correction_wait_s on and if it came by then, so that each answer is a trial whose outcome is final
when it is counted: what comes late changes nothing that was looked at before. Without any correction the metric has no data.
A metric is in doubt while the counts are more than DOUBT times likelier with harm than without; then a step goes on past its bake time.
"""

from collections.abc import Iterator, Sequence
from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headgate.release.observation import LATENCY_BOUNDS_MS, Corrections, Observation
from headgate.release.rollout import Analysis, Finding
from headgate.release.sequential import above, higher, moved, raised, slower
from headgate.settings import AutoRollback

Floats = NDArray[np.float64]
DOUBT = 1.0  # likelier with harm than without
METRICS = ("error_rate", "error_rate_increase", "p95_ms", "p99_ms", "label_share", "abstention_rate", "confidence", "correction_rate")
_PLACES = {f"{bound:g}": place for place, bound in enumerate(LATENCY_BOUNDS_MS)} | {"inf": len(LATENCY_BOUNDS_MS)}


class Tally(NamedTuple):
    """Counts of one cohort, each of one shape; latency_ms has an axis more for the bounds, labels one for the labels."""

    requests: Floats
    errors: Floats
    latency_ms: Floats
    labels: Floats
    abstained: Floats
    scored: Floats
    doubts: Floats  # sum of 1 - score
    heard: Floats  # answers that are old enough for a correction in time
    corrected: Floats


def tally(seen: Observation, labels: Sequence[str]) -> Tally:
    """The counts of an observation; its labels in this order."""
    latency = np.zeros(len(LATENCY_BOUNDS_MS) + 1)
    for bound, count in seen.latency_ms.items():
        latency[_PLACES[bound]] += count
    given = np.array([seen.labels.get(label, 0) for label in labels], dtype=float)
    late = seen.corrections or Corrections(wait_s=0)
    numbers = (seen.abstained, seen.scored, seen.scored * (1 - (seen.confidence or 0.0)), late.answers, late.corrected)
    requests, errors, *others = (np.asarray(number, dtype=np.float64) for number in (seen.requests, seen.errors, *numbers))
    return Tally(requests, errors, latency, given, *others)


def evidence(policy: AutoRollback, challenger: Tally, champion: Tally) -> dict[str, Floats]:
    """Logarithm of the evidence of harm by metric, in the tallies' shape; `label_share` has an axis more for the labels."""
    answered, usual = challenger.requests - challenger.errors, champion.requests - champion.errors
    return {
        "error_rate": above(challenger.errors, challenger.requests, policy.max_error_rate),
        "error_rate_increase": raised(
            challenger.errors, challenger.requests, champion.errors, champion.requests, policy.max_error_rate_increase
        ),
        "p95_ms": slower(challenger.latency_ms, champion.latency_ms, 0.95, policy.max_p95_ratio),
        "p99_ms": slower(challenger.latency_ms, champion.latency_ms, 0.99, policy.max_p99_ratio),
        "label_share": moved(
            challenger.labels,
            challenger.labels.sum(-1, keepdims=True),
            champion.labels,
            champion.labels.sum(-1, keepdims=True),
            policy.max_label_share_change,
        ),
        "abstention_rate": moved(challenger.abstained, answered, champion.abstained, usual, policy.max_abstention_change),
        "confidence": higher(challenger.doubts, challenger.scored, champion.doubts, champion.scored, policy.max_confidence_drop),
        "correction_rate": raised(
            challenger.corrected, challenger.heard, champion.corrected, champion.heard, policy.max_correction_rate_increase
        ),
    }


def needed(policy: AutoRollback, steps: int, labels: int) -> dict[str, float]:
    """Logarithm of the evidence that a metric needs to fail: all tests of a rollout share the chance of a false rollback."""
    each = log(len(METRICS) * steps / policy.max_false_rollback_rate)
    return {metric: each + (log(max(labels, 1)) if metric == "label_share" else 0.0) for metric in METRICS}


def analyse(policy: AutoRollback, seen: Sequence[Observation], steps: int) -> Analysis:
    """The analysis of what champion and challenger answered in the same while; without a champion only its own errors count.

    `steps` is the number of shares at which the rollout watches.
    """
    by_cohort = {one.cohort: one for one in seen}
    challenger = by_cohort.get("challenger", Observation(cohort="challenger", window_s=0))
    champion = by_cohort.get("champion", Observation(cohort="champion", window_s=0))
    names = sorted({*challenger.labels, *champion.labels})
    if not any(one.corrections and one.corrections.corrected + one.corrections.confirmed for one in (challenger, champion)):
        challenger, champion = (one.model_copy(update={"corrections": None}) for one in (challenger, champion))
    ours, theirs = tally(challenger, names), tally(champion, names)
    wanted = needed(policy, steps, len(names))
    found = evidence(policy, ours, theirs)
    findings = (
        _finding(told, float(weight), wanted[metric])
        for metric, weights in found.items()
        for told, weight in zip(_tellers(metric, policy, ours, theirs, names), np.atleast_1d(weights), strict=True)
    )
    return Analysis(requests=challenger.requests, errors=challenger.errors, champion_requests=champion.requests, findings=tuple(findings))


class _Told(NamedTuple):
    metric: str
    challenger: float | None
    champion: float | None
    limit: float
    unit: str


def _finding(told: _Told, weight: float, wanted: float) -> Finding:
    verdict = "failed" if weight >= wanted else "in doubt" if weight > log(DOUBT) + 1e-9 else "within limits"  # no counts weigh nothing
    if told.metric == "correction_rate" and None in (told.challenger, told.champion):
        verdict = "no data"
    return Finding.model_validate({**told._asdict(), "evidence": exp(min(weight, 50)), "needed": exp(wanted), "verdict": verdict})


def _tellers(metric: str, policy: AutoRollback, ours: Tally, theirs: Tally, names: Sequence[str]) -> Iterator[_Told]:
    """How a metric's numbers read: one, or one a label."""
    failing = _share(ours.errors, ours.requests), _share(theirs.errors, theirs.requests)
    if metric == "error_rate":
        yield _Told(metric, failing[0], None, policy.max_error_rate, "share")
    elif metric == "error_rate_increase":
        yield _Told(metric, *failing, policy.max_error_rate_increase, "more")
    elif metric in ("p95_ms", "p99_ms"):
        quantile, ratio = (0.95, policy.max_p95_ratio) if metric == "p95_ms" else (0.99, policy.max_p99_ratio)
        yield _Told(metric, quantile_ms(ours.latency_ms, quantile), quantile_ms(theirs.latency_ms, quantile), ratio, "times")
    elif metric == "label_share":
        for place, name in enumerate(names):
            shares = _share(ours.labels[place], ours.labels.sum()), _share(theirs.labels[place], theirs.labels.sum())
            yield _Told(f"share of {name}", *shares, policy.max_label_share_change, "away")
    elif metric == "abstention_rate":
        answered = ours.requests - ours.errors, theirs.requests - theirs.errors
        yield _Told(
            metric, _share(ours.abstained, answered[0]), _share(theirs.abstained, answered[1]), policy.max_abstention_change, "away"
        )
    elif metric == "correction_rate":
        corrected = _share(ours.corrected, ours.heard), _share(theirs.corrected, theirs.heard)
        yield _Told(metric, *corrected, policy.max_correction_rate_increase, "more")
    else:
        doubts = _share(ours.doubts, ours.scored), _share(theirs.doubts, theirs.scored)
        ours_mean, theirs_mean = (None if doubt is None else 1 - doubt for doubt in doubts)
        yield _Told(metric, ours_mean, theirs_mean, policy.max_confidence_drop, "less")


def _share(hits: Floats, trials: Floats) -> float | None:
    return float(hits / trials) if trials else None


def quantile_ms(counts: Floats, quantile: float) -> float | None:
    """The smallest bound that holds this share of the latencies; None without any, infinity above the last bound."""
    if not counts.sum():
        return None
    place = int(np.searchsorted(np.cumsum(counts), quantile * counts.sum() - 1e-9))
    return LATENCY_BOUNDS_MS[place] if place < len(LATENCY_BOUNDS_MS) else float("inf")
