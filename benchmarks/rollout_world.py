"""A made-up endpoint under traffic, for many rollouts at once: counts by cohort, with faults planted in the challenger.

Latency: log-normal around 12 ms, an eighth of the texts long (2.5 times slower), as the replies' load test shapes it; in one of twenty
intervals the host is busy and both cohorts are 1.8 times slower. One call of a thousand fails. Labels come in the mix of the replies.
Users correct one answer of fifty within the policy's time, and an answer counts once it is as old.
"""

import json
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from peers import CHECKOUT
from scipy.stats import norm

from headgate.release.canary import Tally
from headgate.release.observation import LATENCY_BOUNDS_MS

Floats = NDArray[np.float64]
MEDIAN_MS, SPREAD, LONG, LONG_TIMES = 12.0, 0.45, 1 / 8, 2.5
BUSY, BUSY_TIMES = 1 / 20, 1.8
ERRORS, ABSTAINED, MEAN_SCORE, CORRECTED = 0.001, 0.05, 0.82, 0.02
LABEL = "objection/budget"  # the one whose share is moved


@dataclass(frozen=True)
class Fault:
    """What is wrong with the challenger; the defaults are nothing."""

    name: str
    times: float = 1.0
    tail_times: float = 1.0  # a tenth of the answers is so much slower
    errors: float = ERRORS
    label_points: float = 0.0
    corrected: float = CORRECTED
    leak_per_s: float = 0.0  # latency grows by this share of itself a second; from double on, calls fail more and more


def labels() -> tuple[list[str], Floats]:
    """Names and shares of the replies' labels."""
    lines = (CHECKOUT / "examples" / "replies" / "day0.jsonl").read_text().splitlines()
    counts = Counter(json.loads(line)["label"] for line in lines)
    names = sorted(counts)
    return names, np.array([counts[name] for name in names]) / counts.total()


def latency(times: float = 1.0, tail_times: float = 1.0) -> Floats:
    """Chance of each place between the bounds, (bounds + 1,)."""
    parts = [(share, MEDIAN_MS * long) for share, long in ((1 - LONG, 1.0), (LONG, LONG_TIMES))]
    mixed = [(share * part, middle * slow) for share, middle in parts for part, slow in ((0.9, times), (0.1, times * tail_times))]
    cumulated = sum(share * norm.cdf(np.log(np.array(LATENCY_BOUNDS_MS) / middle) / SPREAD) for share, middle in mixed)
    return np.diff(np.concatenate([[0.0], cumulated, [1.0]]))


def p95(chances: Floats) -> float:
    """Its bound in milliseconds."""
    return LATENCY_BOUNDS_MS[int(np.searchsorted(np.cumsum(chances), 0.95))]


def tail_for(ratio: float) -> float:
    """How much slower a tenth must be for a p95 that is `ratio` times as long."""
    low, high = 1.0, 20.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if p95(latency(1.0, middle)) < ratio * p95(latency()) else (low, middle)
    return high


FAULTS = (
    Fault("p95 +50%, all answers slower", times=1.5),
    Fault("p95 +50%, a tenth slower", tail_times=tail_for(1.5)),
    Fault("2% errors", errors=0.02),
    Fault("a label's share +10 points", label_points=0.10),
    Fault("crash loop", errors=0.5),
    Fault("users correct 10%", corrected=0.10),
    Fault("memory leak", leak_per_s=1 / 400),
)
GOOD = Fault("none: equal to the champion")


class World:
    """The counts of `rollouts` endpoints, which grow by `step_s` seconds of traffic at each call of `after`."""

    def __init__(
        self, fault: Fault, rate_per_s: float, percent: int, rollouts: int, step_s: float, seed: int, correction_wait_s: float
    ) -> None:
        self.fault, self.step_s, self.rng = fault, step_s, np.random.default_rng(seed)
        self.means = {"challenger": rate_per_s * step_s * percent / 100, "champion": rate_per_s * step_s * (1 - percent / 100)}
        self.names, shares = labels()
        moved = shares.copy()
        place = self.names.index(LABEL)
        moved[place] += fault.label_points
        others = np.arange(len(shares)) != place
        moved[others] *= (1 - moved[place]) / (1 - shares[place])
        self.shares = {"challenger": moved, "champion": shares}
        self.counts = {cohort: self._none(rollouts) for cohort in self.means}
        self.lag = round(correction_wait_s / step_s)
        self.young: dict[str, list[Floats]] = {cohort: [] for cohort in self.means}  # answers by step, the oldest first

    def keep(self, still: NDArray[np.bool_]) -> None:
        """Go on with these rollouts only."""
        self.counts = {cohort: Tally(*(part[still] for part in counts)) for cohort, counts in self.counts.items()}
        self.young = {cohort: [answered[still] for answered in steps] for cohort, steps in self.young.items()}

    def after(self, elapsed_s: float) -> None:
        """Traffic up to this time; the busy intervals of a host hit both cohorts."""
        busy = self.rng.random(len(self.counts["champion"].requests)) < BUSY
        for cohort in self.counts:
            more = self._answers(cohort, elapsed_s, busy)
            self.counts[cohort] = Tally(*(old + new for old, new in zip(self.counts[cohort], more, strict=True)))

    def _answers(self, cohort: str, elapsed_s: float, busy: NDArray[np.bool_]) -> Tally:
        fault = self.fault if cohort == "challenger" else GOOD
        growth = 1 + fault.leak_per_s * elapsed_s
        errors = min(fault.errors + max(0.0, growth - 2) * 0.1, 1.0)
        requests = self.rng.poisson(self.means[cohort], len(busy))
        failed = self.rng.binomial(requests, errors)
        answered = requests - failed
        slow = np.where(busy, answered, 0)
        times = fault.times * growth
        spent = self.rng.multinomial(answered - slow, latency(times, fault.tail_times))
        spent = spent + self.rng.multinomial(slow, latency(times * BUSY_TIMES, fault.tail_times))
        given = self.rng.multinomial(answered, self.shares[cohort])
        doubts = answered * (1 - MEAN_SCORE) + 0.15 * np.sqrt(answered) * self.rng.standard_normal(len(busy))
        young = self.young[cohort]
        young.append(answered)
        heard = young.pop(0) if len(young) > self.lag else np.zeros_like(answered)
        corrected = self.rng.binomial(heard, fault.corrected)
        abstained = self.rng.binomial(answered, ABSTAINED)
        parts = (requests, failed, spent, given, abstained, answered, np.clip(doubts, 0, answered), heard, corrected)
        return Tally(*(np.asarray(part, dtype=float) for part in parts))

    def _none(self, rollouts: int) -> Tally:
        flat = np.zeros(rollouts)
        latency_ms, given = np.zeros((rollouts, len(LATENCY_BOUNDS_MS) + 1)), np.zeros((rollouts, len(self.names)))
        return Tally(flat, flat, latency_ms, given, flat, flat, flat, flat, flat)
