"""Two independent samples beside each other: shares and means, each with an interval and a p value. Pure.

They hold for a number of observations that was fixed before (or a time that was): whoever looks again and again and stops when he likes
what he sees will see too much. For that there is `headgate.release.sequential`.
"""

from math import sqrt
from typing import NamedTuple

from scipy.stats import fisher_exact, norm, ttest_ind_from_stats
from scipy.stats import t as student

FEWEST_EXPECTED = 1.0
ROUNDING = 12  # digits; sums of equal values differ beyond


class Sums(NamedTuple):
    """Size, sum and sum of squares of a sample."""

    size: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """Their mean."""
        return self.total / self.size

    @property
    def deviation(self) -> float:
        """Their standard deviation, with size - 1."""
        return sqrt(max(self.squares - self.total * self.mean, 0.0) / (self.size - 1))


class Difference(NamedTuple):
    """The first's value minus the second's, its interval, and the two-sided p value that there is none."""

    difference: float
    low: float
    high: float
    p_value: float


def shares_apart(hits: int, of: int, other_hits: int, other_of: int, level: float) -> Difference:
    """The difference of two shares: Newcombe's interval (1998, method 10) and Campbell's test (2007). Both samples hold one at least.

    Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17; Campbell, Chi-squared and
    Fisher-Irwin tests of two-by-two tables with small sample recommendations, Statistics in Medicine 26.
    """
    share, other = hits / of, other_hits / other_of
    (low, high), (other_low, other_high) = wilson(hits, of, level), wilson(other_hits, other_of, level)
    below = sqrt((share - low) ** 2 + (other_high - other) ** 2)
    above = sqrt((high - share) ** 2 + (other - other_low) ** 2)
    apart = share - other
    return Difference(apart, apart - below, apart + above, _p_of_shares(hits, of, other_hits, other_of))


def wilson(hits: int, of: int, level: float) -> tuple[float, float]:
    """The interval of one share (Wilson 1927), without correction for continuity."""
    z = float(norm.ppf((1 + level) / 2))
    share = hits / of
    centre, spread = 2 * hits + z * z, z * sqrt(z * z + 4 * hits * (1 - share))
    return max((centre - spread) / (2 * (of + z * z)), 0.0), min((centre + spread) / (2 * (of + z * z)), 1.0)


def means_apart(sample: Sums, other: Sums, level: float) -> Difference:
    """The difference of two means (Welch 1947): variances need not be equal. Both samples hold two at least."""
    apart = round(sample.mean - other.mean, ROUNDING)
    parts = [one.deviation**2 / one.size for one in (sample, other)]
    if sum(parts) < 10.0**-ROUNDING:
        return Difference(apart, apart, apart, 0.0 if apart else 1.0)
    freedom = sum(parts) ** 2 / sum(part**2 / (one.size - 1) for part, one in zip(parts, (sample, other), strict=True))
    spread = float(student.ppf((1 + level) / 2, freedom)) * sqrt(sum(parts))
    told = ttest_ind_from_stats(sample.mean, sample.deviation, sample.size, other.mean, other.deviation, other.size, equal_var=False)
    return Difference(apart, apart - spread, apart + spread, float(told.pvalue))


def detectable(share: float, of: int, other_of: int, level: float, power: float = 0.8) -> float:
    """The difference from this share that so many observations show 4 times of 5 (normal approximation)."""
    wanted = float(norm.ppf((1 + level) / 2) + norm.ppf(power))
    share = (share * (of + other_of) + 1) / (of + other_of + 2)  # never nothing
    return wanted * sqrt(share * (1 - share) * (1 / of + 1 / other_of))


def _p_of_shares(hits: int, of: int, other_hits: int, other_of: int) -> float:
    """N - 1 chi-squared where each cell is expected to hold one at least, the exact Fisher-Irwin test elsewhere."""
    total, both = of + other_of, hits + other_hits
    if both in (0, total):
        return 1.0
    if min(of, other_of) * min(both, total - both) / total < FEWEST_EXPECTED:
        return float(fisher_exact([[hits, of - hits], [other_hits, other_of - other_hits]]).pvalue)
    apart = hits * (other_of - other_hits) - other_hits * (of - hits)
    return float(2 * norm.sf(sqrt((total - 1) * apart**2 / (of * other_of * both * (total - both)))))
