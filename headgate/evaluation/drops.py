"""Whether a part of the rows (one label's, one slice's) got worse, or chance alone explains it. Pure, and all parts at once.

Harmful rows are right by the champion alone, beneficial ones by the candidate alone. If both models are equally good on a part, a row
is as likely to be one as the other. McNemar's exact test looks at the part's own rows only, and 40 rows of one label among 77 then
never tell: 8 lost and none won happen once in 256 times, which 77 labels make likely. All rows together say more: how many rows two such
models change at all. `p_values_of_drops` takes a part's rate of change to be exponential around the mean of all rows, which leaves
room for parts that change several times as often as others, and asks how likely the part's harmful rows are, given its beneficial
ones: a negative binomial (empirical Bayes: Robbins 1956, Efron and Morris 1975). As the mean grows without bound this becomes McNemar's
one-sided test, to the digit. The mean comes from beneficial rows alone, so that a large loss does not hide itself, at its upper 95%
bound. How well this keeps its promise: docs/decisions/0015-comparing-with-the-champion.md.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, gamma, nbinom, norm

from headgate.evaluation.report import Change

CONFIDENCE = 0.9  # two-sided, so that each side is wrong once in twenty
POWER = 0.8
FEWEST_LOST = 3  # rows: what is rare changes more often than the mean, so that one or two lost rows never are proof

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Parts(NamedTuple):
    """Counts of rows, one entry a part: all, right by candidate, right by champion, right by one of them alone."""

    rows: Ints
    hits: Ints
    champion_hits: Ints
    harmful: Ints
    beneficial: Ints


def count_parts(part: Ints, right: NDArray[np.bool_], was_right: NDArray[np.bool_], parts: int, weight: Ints | None = None) -> Parts:
    """Count rows by part; `part` is a number below `parts`, `weight` how many rows one entry stands for."""

    def count(which: NDArray[np.bool_] | None = None) -> Ints:
        chosen = slice(None) if which is None else which
        found = np.bincount(part[chosen], weights=None if weight is None else weight[chosen], minlength=parts)
        return np.rint(found).astype(np.int64)

    return Parts(count(), count(right), count(was_right), count(~right & was_right), count(right & ~was_right))


def mcnemar(harmful: int, beneficial: int) -> float:
    """Exact two-sided p value that equally good models would differ this much (McNemar 1947, binomial form)."""
    return float(p_values_of_difference(np.array(harmful), np.array(beneficial)))


def p_values_of_difference(harmful: Ints, beneficial: Ints) -> Floats:
    """McNemar's exact two-sided p value for each pair of counts."""
    return np.asarray(np.minimum(1.0, 2 * binom.cdf(np.minimum(harmful, beneficial), harmful + beneficial, 0.5)))


def usual_change(beneficial: int, rows: int) -> float:
    """Upper 95% bound of the share of rows that two equally good models change one way, from the beneficial ones among all rows."""
    return float(gamma.ppf(0.95, beneficial + 1) / rows)


def p_values_of_drops(parts: Parts, usual: float) -> Floats:
    """One-sided p value for each part that it got no worse, not yet corrected for the number of parts; `usual` as of `usual_change`."""
    return np.asarray(nbinom.sf(parts.harmful - 1, 1 + parts.beneficial, _certainty(parts.rows, usual)))


def holm(p_values: Floats) -> Floats:
    """p values corrected for their number (Holm 1979): the chance that any true hypothesis falls below a level is at most that level."""
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty_like(stepped)
    corrected[order] = np.minimum(1.0, stepped)
    return corrected


def detectable_drops(parts: Parts, usual: float, margin: float, level: float) -> Floats:
    """The smallest drop of each part (a share) that would have been seen 4 times of 5; NaN where not even the loss of all would.

    Normal approximation around the number of lost rows that is needed at `level` divided by the number of parts (Holm's first step).
    """
    rate = (1 + parts.beneficial) / (1 / usual + parts.rows)
    needed = nbinom.isf(level / len(parts.rows), 1 + parts.beneficial, _certainty(parts.rows, usual)) + 1 - parts.beneficial
    least = np.maximum(np.maximum(needed, FEWEST_LOST), margin * parts.rows)
    drop = (least + norm.ppf(POWER) * np.sqrt(2 * rate * parts.rows)) / parts.rows
    return np.asarray(np.where(drop <= parts.champion_hits / np.maximum(parts.rows, 1), drop, np.nan))


def paired_changes(parts: Parts) -> list[Change]:
    """Differences of paired proportions, with Agresti and Min's interval (2005), which stays honest for a handful of rows."""
    padded, down, up = parts.rows + 2, parts.harmful + 0.5, parts.beneficial + 0.5
    centre = (up - down) / padded
    spread = np.sqrt(down + up - (up - down) ** 2 / padded) / padded * norm.ppf((1 + CONFIDENCE) / 2)
    columns = (
        parts.hits / parts.rows,
        parts.champion_hits / parts.rows,
        (parts.hits - parts.champion_hits) / parts.rows,
        np.maximum(-1.0, centre - spread),
        np.minimum(1.0, centre + spread),
    )
    names = ("candidate", "champion", "difference", "low", "high")
    return [Change(**dict(zip(names, values, strict=True))) for values in zip(*(column.tolist() for column in columns), strict=True)]


def _certainty(rows: Ints, usual: float) -> Floats:
    """Success probability of the negative binomial: prior rows and seen rows, as a share of those and the rows to come."""
    return np.asarray((1 / usual + rows) / (1 / usual + 2 * rows))
