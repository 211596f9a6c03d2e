"""Evidence that may be looked at as often as one likes: e-processes from counts.

Each but `higher` and `moved` is exact at any number of observations: the likelihood of what was counted under a mixture over all
rates, divided by the largest likelihood that a world without harm gives it. In such a world this quotient exceeds 1/a with probability
at most a, at whatever moment one looks or stops (Ville 1939).

- mixture over the rate, Beta(1/2, 1/2), or around a known one: Robbins, Statistical methods related to the law of the iterated
  logarithm (1970);
- divided by the maximum under the null hypothesis: Wasserman, Ramdas, Balakrishnan, Universal inference (PNAS 2020), section 8;
- several streams at once, by their product: Kaufmann, Koolen, Mixture martingales revisited (JMLR 2021);
- quantiles through counts below a bound: Howard, Ramdas, Sequential estimation of quantiles (Bernoulli 2022);
- values between 0 and 1 in the place of hits: a bounded variable is sub-Bernoulli (Hoeffding 1963).

All arguments broadcast; counts are arrays of one shape, and the result is the natural logarithm of the evidence in that shape.
"""

from math import ceil, log, log10
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, xlog1py, xlogy

from headgate.release.observation import BOUNDS_A_DECADE

Floats = NDArray[np.float64]
TYPICAL = 0.05  # difference of shares, beyond the margin, that a test has most power for
_HALVINGS = 40
_WEIGHT = 50.0  # of the mixture around a known quantile: most power at some hundred to some thousand trials


def above(hits: ArrayLike, trials: ArrayLike, rate: float, weight: float | None = None) -> Floats:
    """Evidence that hits come at more than this rate; with a weight half of the mixture lies around it, like that many trials."""
    hits, trials = _counts(hits, trials)
    return np.asarray(_mixture(hits, trials, rate, weight) - _likelihood(hits, trials, np.minimum(_share(hits, trials), rate)))


def below(hits: ArrayLike, trials: ArrayLike, rate: float, weight: float | None = None) -> Floats:
    """Evidence that hits come at less than this rate, in the same way."""
    hits, trials = _counts(hits, trials)
    return np.asarray(_mixture(hits, trials, rate, weight) - _likelihood(hits, trials, np.maximum(_share(hits, trials), rate)))


def raised(hits: ArrayLike, trials: ArrayLike, other_hits: ArrayLike, other_trials: ArrayLike, margin: float) -> Floats:
    """Evidence that hits come at a rate more than `margin` above that of the others; exact at any counts, so fit for rare hits."""
    hits, trials = _counts(hits, trials)
    other_hits, other_trials = _counts(other_hits, other_trials)
    mixture = _mixture(hits, trials) + _mixture(other_hits, other_trials)
    return np.asarray(mixture - _harmless(hits, trials, other_hits, other_trials, margin))


def higher(hits: ArrayLike, trials: ArrayLike, other_hits: ArrayLike, other_trials: ArrayLike, margin: float) -> Floats:
    """Evidence as `raised` gives it, of more power for frequent hits, and exact in the limit of many only.

    The mixture SPRT of Johari, Koomen, Pekelis, Walsh, Always valid inference (Operations Research 2022): a normal mixture over the
    difference, of TYPICAL spread. In place of its z statistic stands the signed root of the likelihood ratio, which is better at few hits.
    """
    hits, trials = _counts(hits, trials)
    other_hits, other_trials = _counts(other_hits, other_trials)
    share, other = _share(hits, trials), _share(other_hits, other_trials)
    free = _likelihood(hits, trials, share) + _likelihood(other_hits, other_trials, other)
    ratio = np.maximum(free - _harmless(hits, trials, other_hits, other_trials, margin), 0.0)
    spread = _variance(hits, trials) + _variance(other_hits, other_trials)
    return np.asarray(ratio * TYPICAL**2 / (TYPICAL**2 + spread) - 0.5 * np.log1p(TYPICAL**2 / spread))


def moved(hits: ArrayLike, trials: ArrayLike, other_hits: ArrayLike, other_trials: ArrayLike, margin: float) -> Floats:
    """Evidence as `higher` gives it that hits come at a rate more than `margin` away from that of the others, up or down.

    The likelihood has one peak, so over all rates without harm it is largest on the side where the counts are.
    """
    hits, trials = _counts(hits, trials)
    other_hits, other_trials = _counts(other_hits, other_trials)
    up = higher(hits, trials, other_hits, other_trials, margin)
    return np.maximum(up, higher(trials - hits, trials, other_trials - other_hits, other_trials, margin))


def slower(counts: ArrayLike, other_counts: ArrayLike, quantile: float, ratio: float) -> Floats:
    """Evidence that a quantile of the latencies is more than `ratio` times that of the others.

    Counts by LATENCY_BOUNDS_MS, the last for what is above, along the last axis: (..., bounds + 1). For each place where the others'
    quantile may lie: evidence that it does not lie there, times evidence that fewer than `quantile` are within `ratio` times its bound.
    The least over all places counts. The bounds are 2.4% apart and the ratio is rounded up to them.
    """
    counts, other_counts = np.asarray(counts, dtype=np.float64), np.asarray(other_counts, dtype=np.float64)
    shift = ceil(log10(ratio) * BOUNDS_A_DECADE - 1e-9)
    counts, other_counts = _occupied(counts, other_counts, shift)
    trials, other_trials = counts.sum(-1, keepdims=True), other_counts.sum(-1, keepdims=True)
    within = np.minimum(
        np.concatenate([np.cumsum(counts, -1)[..., shift:], np.repeat(trials, min(shift, counts.shape[-1]), -1)], -1), trials
    )
    beneath = np.concatenate([np.zeros_like(other_trials), np.cumsum(other_counts, -1)[..., :-1]], -1)
    return np.asarray((above(beneath, other_trials, quantile, _WEIGHT) + below(within, trials, quantile, _WEIGHT)).min(-1))


def _occupied(counts: Floats, other_counts: Floats, shift: int) -> tuple[Floats, Floats]:
    """Both without the places that no latency comes near, which would only repeat what their neighbours say."""
    used = np.flatnonzero((counts + other_counts).reshape(-1, counts.shape[-1]).any(0))
    if not len(used):
        return counts[..., -1:], other_counts[..., -1:]
    first, last = max(int(used[0]) - shift - 1, 0), int(used[-1]) + 1
    return counts[..., first:last], other_counts[..., first:last]


def _counts(hits: ArrayLike, trials: ArrayLike) -> tuple[Floats, Floats]:
    return np.asarray(hits, dtype=np.float64), np.asarray(trials, dtype=np.float64)


def _variance(hits: Floats, trials: Floats) -> Any:
    """Of a share; a half of a hit and of a miss is added, so that it is never nothing."""
    rate = (hits + 0.5) / (trials + 1)
    return rate * (1 - rate) / np.maximum(trials, 1e-9)


def _share(hits: Floats, trials: Floats) -> Floats:
    return np.asarray(hits / np.maximum(trials, 1))


def _mixture(hits: Floats, trials: Floats, around: float | None = None, weight: float | None = None) -> Any:
    """Logarithm of the likelihood, averaged over all rates; with a weight half of the mixture lies around a rate."""
    anywhere = betaln(hits + 0.5, trials - hits + 0.5) - betaln(0.5, 0.5)
    if around is None or weight is None:
        return anywhere
    a, b = around * weight, (1 - around) * weight
    return np.logaddexp(anywhere, betaln(hits + a, trials - hits + b) - betaln(a, b)) - log(2)


def _likelihood(hits: Floats, trials: Floats, rate: Floats) -> Any:
    return xlogy(hits, rate) + xlog1py(trials - hits, -rate)


def _harmless(hits: Floats, trials: Floats, other_hits: Floats, other_trials: Floats, margin: float) -> Any:
    """Logarithm of the largest likelihood of both, where the first rate is at most `margin` above the other."""
    share, other = _share(hits, trials), _share(other_hits, other_trials)
    free = _likelihood(hits, trials, share) + _likelihood(other_hits, other_trials, other)
    harmless = share <= other + margin
    if np.all(harmless):
        return free
    low = np.minimum(other, 1 - margin)
    high = np.maximum(np.minimum(share - margin, 1 - margin), low)  # the peak lies between both shares; within the null both are free

    def together(rate: Floats) -> Any:
        return _likelihood(hits, trials, np.minimum(rate + margin, 1)) + _likelihood(other_hits, other_trials, rate)

    for _ in range(_HALVINGS):
        third = (high - low) / 3
        left_better = together(low + third) > together(high - third)
        low, high = np.where(left_better, low, low + third), np.where(left_better, high - third, high)
    return np.where(harmless, free, together((low + high) / 2))
