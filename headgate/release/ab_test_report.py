"""An A/B test's counts become its report: intervals, tests, corrections for their number, and what to beware of. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np

from headgate.evaluation.drops import Parts, holm, mcnemar, paired_changes
from headgate.evaluation.two_samples import Difference, Sums, detectable, means_apart, shares_apart
from headgate.release.ab_test import ABReport, Compared, Disagreement, Paired, Side
from headgate.release.ab_test_counts import Counted, Counts, Pair
from headgate.settings import ABTest

SHOWN_DISAGREEMENTS = 20
Shares = tuple[int, int]


def ab_report(
    counted: Counted, test: ABTest, model: str, environment: str, release: str, champion: str | None, since: datetime, until: datetime
) -> ABReport:
    """The report of what was counted from since to until."""
    ours, theirs = counted.cohorts["challenger"], counted.cohorts["champion"]
    found, left_out = [], []
    for metric, sides in _metrics(ours, theirs):
        if why := _too_little(*sides):
            left_out.append(f"{metric}: {why}")
        else:
            found.append(_compared(metric, *sides, test))
    paired = _paired(counted.pairs)
    return ABReport(
        model=model,
        environment=environment,
        release=release,
        champion=champion,
        test=test,
        since=since,
        until=until,
        compared=_corrected(found),
        left_out=tuple(left_out),
        paired=paired,
        cautions=tuple(_cautions(ours, theirs, paired, counted.keyless)),
        requests={"challenger": ours.requests, "champion": theirs.requests},
    )


def _metrics(ours: Counts, theirs: Counts) -> Iterator[tuple[str, tuple[Shares | Sums, Shares | Sums]]]:
    """Each metric's counts of both: hits of how many, or the sums of a mean."""
    yield "right_share", ((ours.confirmed, ours.judged), (theirs.confirmed, theirs.judged))
    yield "correction_rate", ((ours.corrected, ours.read), (theirs.corrected, theirs.read))
    yield "error_rate", ((ours.failed, ours.requests), (theirs.failed, theirs.requests))
    yield "abstention_rate", ((ours.abstained, ours.answered), (theirs.abstained, theirs.answered))
    yield "confidence", (ours.scores, theirs.scores)
    for label in sorted({*ours.labels, *theirs.labels}):
        yield f"share of {label}", ((ours.labels[label], ours.read), (theirs.labels[label], theirs.read))


def _too_little(ours: Shares | Sums, theirs: Shares | Sums) -> str:
    """Why two samples cannot be compared; empty where they can."""
    for cohort, one in (("challenger", ours), ("champion", theirs)):
        number, wanted = (one.size, 2) if isinstance(one, Sums) else (one[1], 1)
        if number < wanted:
            return f"expected {wanted} observations of the {cohort} at least, found {number}"
    return ""


def _compared(metric: str, ours: Shares | Sums, theirs: Shares | Sums, test: ABTest) -> Compared:
    found, smallest = _difference(ours, theirs, test.confidence_level)
    return Compared(
        metric=metric,
        challenger=_side(ours),
        champion=_side(theirs),
        difference=found.difference,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        p_corrected=found.p_value,
        detectable=smallest if smallest is not None and smallest < 1 else None,
        primary=metric == test.primary_metric,
    )


def _difference(ours: Shares | Sums, theirs: Shares | Sums, level: float) -> tuple[Difference, float | None]:
    """The difference, and what could have been seen, of shares."""
    if isinstance(ours, Sums) and isinstance(theirs, Sums):
        return means_apart(ours, theirs, level), None
    assert not isinstance(ours, Sums)
    assert not isinstance(theirs, Sums)
    share = (ours[0] + theirs[0]) / (ours[1] + theirs[1])
    return shares_apart(*ours, *theirs, level), detectable(share, ours[1], theirs[1], level)


def _side(one: Shares | Sums) -> Side:
    if isinstance(one, Sums):
        return Side(value=one.mean, of=one.size)
    return Side(value=one[0] / one[1], of=one[1], hits=one[0])


def _corrected(found: Sequence[Compared]) -> tuple[Compared, ...]:
    """All with their corrected p values; the primary one, named before, is a family of its own."""
    others = [one for one in found if not one.primary]
    stepped = iter(holm(np.array([one.p_value for one in others])).tolist() if others else [])
    return tuple(one if one.primary else one.model_copy(update={"p_corrected": next(stepped)}) for one in found)


def _paired(pairs: Sequence[Pair]) -> Paired:
    apart = Counter((pair.challenger, pair.champion) for pair in pairs if pair.challenger != pair.champion)
    judged = [pair for pair in pairs if pair.truth is not None]
    right = [(pair.challenger == pair.truth, pair.champion == pair.truth) for pair in judged]
    harmful, beneficial = right.count((False, True)), right.count((True, False))
    parts = Parts(*(np.array([n]) for n in (len(judged), sum(r for r, _ in right), sum(r for _, r in right), harmful, beneficial)))
    return Paired(
        texts=len(pairs),
        agreed=len(pairs) - apart.total(),
        disagreements=tuple(
            Disagreement(challenger=ours, champion=theirs, texts=n)
            for (ours, theirs), n in sorted(apart.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_DISAGREEMENTS]
        ),
        judged=len(judged),
        judged_by_challenger=sum(pair.judged == "challenger" for pair in judged),
        harmful=harmful,
        beneficial=beneficial,
        p_value=mcnemar(harmful, beneficial) if judged else None,
        right=paired_changes(parts)[0] if judged else None,
    )


def _cautions(ours: Counts, theirs: Counts, paired: Paired, keyless: int) -> Iterator[str]:
    """What a reader could take for more than it is."""
    if ours.judged + theirs.judged and not ours.confirmed + theirs.confirmed:
        yield "Users corrected answers and confirmed none: right_share is of corrected answers only and says nothing; read correction_rate."
    if paired.judged and not 0.2 <= paired.judged_by_challenger / paired.judged <= 0.8:
        yield (
            f"Of the {paired.judged} paired outcomes {paired.judged_by_challenger} came for the challenger's answers. Who corrects what he "
            "sees finds the mistakes of the model that he sees, so pairs judged on one side favour the other."
        )
    if keyless:
        yield f"{keyless} answers could not be paired: the log keeps neither text nor hash (feedback.log_text = none)."
