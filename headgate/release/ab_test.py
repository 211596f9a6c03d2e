"""What an A/B test says: each metric of both cohorts with its interval and test, texts that both answered, and the verdict.

The time is fixed before (`hold_s`) and the numbers are looked at once, when it is over: so tests for a fixed horizon are valid. The
guardrails of the canary are watched meanwhile by a sequential test, which may be looked at always, and is apart from this.
"""

from datetime import datetime

from pydantic import Field

from headgate.evaluation.report import Change
from headgate.record import Record
from headgate.release.rollout import Concluded
from headgate.settings import ABTest

LOWER_IS_BETTER = ("error_rate", "abstention_rate", "correction_rate")
HIGHER_IS_BETTER = ("right_share", "confidence")


class Side(Record):
    """One cohort's count behind a metric: a share's hits of how many, or a mean's value over how many."""

    value: float
    of: int
    hits: int | None = None


class Compared(Record):
    """One metric of both. The interval is of the challenger's value minus the champion's; p_corrected is Holm's (1979).

    All but the primary metric are one family. detectable: the difference that so many observations show 4 times of 5, of shares.
    """

    metric: str
    challenger: Side
    champion: Side
    difference: float
    low: float
    high: float
    p_value: float
    p_corrected: float
    detectable: float | None = None
    primary: bool = False

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is, 0 where neither."""
        return 1 if self.metric in HIGHER_IS_BETTER else -1 if self.metric in LOWER_IS_BETTER else 0

    @property
    def improvement(self) -> tuple[float, float]:
        """The interval of how much better the challenger is."""
        low, high = sorted((self.sign * self.low, self.sign * self.high))
        return low, high


class Disagreement(Record):
    """Texts to which both gave these two labels."""

    challenger: str
    champion: str
    texts: int


class Paired(Record):
    """Texts that both answered, each once. judged: those whose true label a user gave.

    harmful: the champion alone was right; beneficial: the challenger alone. p_value: McNemar's exact one, two-sided; right: the share of
    right answers with Agresti and Min's interval (2005), which holds the true difference 9 times of 10.
    """

    texts: int
    agreed: int
    disagreements: tuple[Disagreement, ...]
    judged: int
    judged_by_challenger: int
    harmful: int
    beneficial: int
    p_value: float | None
    right: Change | None


class ABReport(Record):
    """The content of an A/B test's page. left_out: metrics without enough to compare, each with the reason."""

    model: str
    environment: str
    release: str
    champion: str | None
    test: ABTest
    since: datetime
    until: datetime
    compared: tuple[Compared, ...]
    left_out: tuple[str, ...]
    paired: Paired
    cautions: tuple[str, ...]
    requests: dict[str, int] = Field(description="by cohort")

    @property
    def primary(self) -> Compared | None:
        """The metric that was named before."""
        return next((one for one in self.compared if one.primary), None)

    @property
    def concluded(self) -> Concluded:
        """The verdict and why, in one sentence."""
        test, primary = self.test, self.primary
        if test.primary_metric is None:
            differ = [one.metric for one in self.compared if one.p_corrected < 1 - test.confidence_level]
            told = f"{len(differ)} of {len(self.compared)} metrics differ" + (f": {', '.join(differ)}" if differ else "")
            return Concluded(verdict="informs", told=told)
        if primary is None:
            why = next((told for told in self.left_out if told.startswith(f"{test.primary_metric}:")), f"{test.primary_metric}: no data")
            return Concluded(verdict="informs" if test.min_effect is None else "inconclusive", told=why)
        if test.min_effect is None:
            return Concluded(verdict="informs", told=sentence(primary, test.confidence_level))
        low, high = primary.improvement
        verdict = "passed" if low >= test.min_effect else "failed" if high < test.min_effect else "inconclusive"
        effect = points(abs(test.min_effect))
        wanted = f"needed at least {effect} better" if test.min_effect >= 0 else f"allowed at most {effect} worse"
        return Concluded.model_validate({"verdict": verdict, "told": f"{sentence(primary, test.confidence_level)}; {wanted}"})


def points(share: float) -> str:
    """A share in percentage points."""
    return f"{100 * share:.3g} points"


def sentence(one: Compared, level: float) -> str:
    """One metric in words."""
    values = f"{one.challenger.value:.3f} beside {one.champion.value:.3f}"
    if one.challenger.hits is not None:
        values = f"{one.challenger.value:.2%} beside {one.champion.value:.2%}"
    interval = f"{100 * one.low:+.2f} to {100 * one.high:+.2f}"
    return f"{one.metric} {values}, {100 * one.difference:+.2f} points ({level:.0%} interval {interval}), p = {one.p_value:.2g}"
