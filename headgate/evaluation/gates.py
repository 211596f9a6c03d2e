"""What the measurements mean for a release. Pure: a decision is a function of the evidence.

How a drop against the champion is judged, with margin m from the settings, difference d (candidate minus champion on the same rows)
and the chance c that these rows leave (half of the bootstrap interval, never less than 3 rows: what n rows cannot have seen):

    passed         d - c >= -m                      the drop is certainly within the margin
                   d >= -max(m, c) and c <= 3 m     no drop beyond the margin that chance does not explain
    failed         d + c < -m                       the drop is certainly beyond the margin
    inconclusive   otherwise                        probably worse, or too few rows to tell; stops as well

The second line is what keeps 300 rows useful: two equally good models then differ by 2 points and more every fifth time, by chance alone.
The limit of 3 m is what keeps a small set from passing anything. Against the linear floor there is no margin: the candidate's macro-F1 is
above it, or the candidate is stopped. tests/unit/test_gates.py simulates all three.
"""

from collections.abc import Iterable, Sequence

from headgate.evaluation.report import Change, Comparison, GateResult, LabelChange, Metrics, Verdict
from headgate.settings import Gates

CHANCE_LIMIT = 3.0
_WORST_FIRST: tuple[Verdict, ...] = ("error", "failed", "inconclusive", "passed")


def judge(
    candidate: Metrics,
    champion: Metrics | None,
    floor: Metrics | None,
    paired: Comparison | None,
    settings: Gates,
    paired_floor: Comparison | None = None,
) -> tuple[GateResult, ...]:
    """Every gate of a regression test. Without a champion the linear floor is what the candidate has to beat."""
    gates = [*judge_alone(candidate, settings)]
    if champion is not None:
        gates += judge_against_champion(paired, settings)
    if champion is None or floor is not None:
        gates.append(judge_against_floor(paired_floor))
    return tuple(gates)


def judge_alone(metrics: Metrics, settings: Gates) -> tuple[GateResult, ...]:
    """The gates that need no comparison: accuracy, macro-F1 and coverage."""
    return (
        _at_least("accuracy", metrics.accuracy, settings.min_accuracy, metrics.labelled, "rows with a label"),
        _at_least("macro_f1", metrics.macro_f1, settings.min_macro_f1, metrics.labelled, "rows with a label"),
        _at_least("coverage", metrics.coverage, settings.min_coverage, metrics.rows, "rows"),
    )


def judge_against_champion(paired: Comparison | None, settings: Gates) -> tuple[GateResult, ...]:
    """The gates that ask whether the candidate is worse than the champion on the same rows."""
    if paired is None:
        names = ("accuracy_against_champion", "macro_f1_against_champion", "label_recall_against_champion")
        return tuple(_missing(name, "rows that both models labelled") for name in names)
    return (
        _not_worse("accuracy_against_champion", paired.accuracy, settings.max_accuracy_drop, paired.rows),
        _not_worse("macro_f1_against_champion", paired.macro_f1, settings.max_macro_f1_drop, paired.rows),
        _no_label_lost(paired.labels, settings.max_label_recall_drop),
    )


def judge_against_floor(paired: Comparison | None) -> GateResult:
    """The candidate's macro-F1 must be above that of TF-IDF with a linear model on the same rows; chance is no excuse.

    A classifier that costs a thousand times as much has to show a gain. Two perfect ones are the exception: there is nothing left to beat.
    """
    if paired is None:
        return _missing("beats_linear_floor", "the linear floor on the same rows")
    change = paired.macro_f1
    above = round(change.difference, 9) > 0  # equal counts may differ in the last bits
    perfect = change.candidate == change.champion == 1.0
    return GateResult(
        name="beats_linear_floor",
        verdict="passed" if above or perfect else "failed",
        expected=f"macro-F1 above the linear floor's {_percent(change.champion)}",
        found=f"{_percent(change.candidate)}: {points(change.difference)}",
        detail="nothing left to beat" if perfect else _between(change, paired.rows),
    )


def label_verdict(change: LabelChange, margin: float) -> Verdict:
    """One label: failed only when its recall certainly dropped by more than the margin (a share)."""
    if change.recall.high < -margin:
        return "failed"
    return "passed" if change.recall.low >= -margin else "inconclusive"


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of them; none at all is inconclusive."""
    return min(verdicts, key=_WORST_FIRST.index, default="inconclusive")


def points(difference: float) -> str:
    """A difference of shares in points, signed: '+1.3 points'."""
    return f"{100 * difference:+.1f} points".replace("-", "\N{MINUS SIGN}")


def _at_least(name: str, value: float, bound: float, rows: int, what: str) -> GateResult:
    if not rows:
        return _missing(name, what)
    verdict: Verdict = "passed" if value >= bound else "failed"
    return GateResult(name=name, verdict=verdict, expected=f"at least {_percent(bound)}", found=_percent(value), detail=f"{rows} {what}")


def _not_worse(name: str, change: Change, margin: float, rows: int) -> GateResult:
    chance = max((change.high - change.low) / 2, 3 / rows)
    return GateResult(
        name=name,
        verdict=_verdict_on_drop(change.difference, chance, margin),
        expected=f"a drop of at most {100 * margin:.1f} points from {_percent(change.champion)}, or one that chance explains",
        found=f"{_percent(change.candidate)}: {points(change.difference)}",
        detail=f"{_between(change, rows)}; chance alone moves it by {100 * chance:.1f} points{_advice(chance, margin)}",
    )


def _verdict_on_drop(difference: float, chance: float, margin: float) -> Verdict:
    if difference - chance >= -margin:
        return "passed"
    if difference + chance < -margin:
        return "failed"
    explained = difference >= -max(margin, chance)
    return "passed" if explained and chance <= CHANCE_LIMIT * margin else "inconclusive"


def _advice(chance: float, margin: float) -> str:
    if chance <= CHANCE_LIMIT * margin:
        return ""
    return f", more than {CHANCE_LIMIT:g} times the margin: use more rows or a wider margin"


def _no_label_lost(changes: Sequence[LabelChange], margin: float) -> GateResult:
    failed = [change for change in changes if label_verdict(change, margin) == "failed"]
    unsure = sum(label_verdict(change, margin) == "inconclusive" for change in changes)
    worst = min(changes, key=lambda change: change.recall.difference)
    return GateResult(
        name="label_recall_against_champion",
        verdict="failed" if failed else "passed",
        expected=f"no label's recall certainly down by more than {100 * margin:.1f} points",
        found=f"{len(failed)} of {len(changes)} labels; lowest: {worst.label}, {points(worst.recall.difference)} on {worst.rows} rows",
        detail=", ".join(change.label for change in failed) or f"{unsure} of {len(changes)} labels have too few rows to be certain",
    )


def _missing(name: str, what: str) -> GateResult:
    return GateResult(name=name, verdict="inconclusive", expected=what, found="none", detail="missing evidence stops a release")


def _between(change: Change, rows: int) -> str:
    return f"{points(change.low).removesuffix(' points')} to {points(change.high)} in 9 of 10 such tests of {rows} rows"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
