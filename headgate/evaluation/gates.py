"""What the measurements mean for a release. Pure: a decision is a function of the evidence.

How a drop against the champion is judged, with margin m from the settings, difference d (candidate minus champion on the same rows)
and the chance c that these rows leave (the bootstrap interval, widened to the wanted share of false stops; never less than 3 rows: what n
rows cannot have seen):

    passed         d - c >= -m                      the drop is certainly within the margin
                   d >= -max(m, c) and c <= 3 m     no drop beyond the margin that chance does not explain
    failed         d + c < -m                       the drop is certainly beyond the margin
    inconclusive   otherwise                        probably worse, or too few rows to tell; stops as well

The second line is what keeps 300 rows useful: two equally good models then differ by 2 points and more every fifth time, by chance alone.
The limit of 3 m is what keeps a small set from passing anything. One label or slice is judged the other way round, since few rows
a label make inconclusive the rule, and inconclusive does not stop there:

    failed         d < -m, and chance does not explain a drop (headgate.evaluation.drops, Holm over all labels)
    passed         the whole interval is within the margin
    inconclusive   otherwise

`false_stop_share` of candidates as good as the champion may be stopped by chance: half of it by accuracy and macro-F1, which go up and
down together, half by labels (shared with slices, if there are any). Against the linear floor there is no margin: the candidate's
macro-F1 is above it, or the candidate is stopped. tests/unit/test_gates.py simulates all of them.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from scipy.stats import norm

from headgate.evaluation.comparison import parts_of
from headgate.evaluation.drops import CONFIDENCE, FEWEST_LOST, POWER, detectable_drops, usual_change
from headgate.evaluation.report import Behaviour, Change, Comparison, GateResult, LabelChange, Metrics, SliceChange, Verdict
from headgate.settings import Gates

CHANCE_LIMIT = 3.0
Part = TypeVar("Part", LabelChange, SliceChange)
_WORST_FIRST: tuple[Verdict, ...] = ("error", "failed", "inconclusive", "passed")


def judge(
    candidate: Metrics,
    champion: Metrics | None,
    floor: Metrics | None,
    paired: Comparison | None,
    settings: Gates,
    paired_floor: Comparison | None = None,
    behaviours: Sequence[Behaviour] = (),
) -> tuple[GateResult, ...]:
    """Every gate of a regression test. Without a champion the linear floor is what the candidate has to beat."""
    gates = [*judge_alone(candidate, settings)]
    if champion is not None:
        gates += judge_against_champion(paired, settings)
    if champion is None or floor is not None:
        gates.append(judge_against_floor(paired_floor))
    if behaviours:
        gates.append(judge_behaviours(behaviours))
    return tuple(gates)


def judged(paired: Comparison, settings: Gates) -> Comparison:
    """The comparison with the verdict on each label and slice, and with the drop that each number of rows could have shown."""
    usual = usual_change(paired.beneficial, paired.rows)
    overall_level, part_level = levels(paired, settings)
    margins = {"accuracy": settings.max_accuracy_drop, "macro_f1": settings.max_macro_f1_drop}
    return paired.model_copy(
        update={
            **{name: _with_detectable(getattr(paired, name), margin, paired.rows, overall_level) for name, margin in margins.items()},
            "labels": _judged_parts(paired.labels, "recall", usual, settings.max_label_recall_drop, part_level),
            "slices": _judged_parts(paired.slices, "accuracy", usual, settings.max_slice_accuracy_drop, part_level),
        }
    )


def levels(paired: Comparison, settings: Gates) -> tuple[float, float]:
    """The share of false stops that accuracy (and macro-F1), and all labels (and all slices) together, may cause."""
    half = settings.false_stop_share / 2
    return half, half / 2 if paired.slices else half


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
    paired = judged(paired, settings)
    level, _ = levels(paired, settings)
    gates = [
        _not_worse("accuracy_against_champion", paired.accuracy, settings.max_accuracy_drop, paired.rows, level),
        _not_worse("macro_f1_against_champion", paired.macro_f1, settings.max_macro_f1_drop, paired.rows, level),
        _no_label_lost(paired.labels, settings.max_label_recall_drop),
    ]
    if paired.slices or paired.slices_left_out:
        gates.append(_no_slice_lost(paired.slices, settings.max_slice_accuracy_drop, paired.slices_left_out))
    return tuple(gates)


def judge_behaviours(behaviours: Sequence[Behaviour]) -> GateResult:
    """One gate over all behavioural tests; the worst of them is named, with the champion's number beside it."""
    failed = [one for one in behaviours if one.verdict == "failed"]
    worst = max(behaviours, key=lambda one: one.fell / one.rows - one.tolerance)
    return GateResult(
        name="behaviour",
        verdict=overall(one.verdict for one in behaviours),
        expected="every behavioural test within its tolerance",
        found=f"{len(behaviours) - len(failed)} of {len(behaviours)} tests; worst: {_fallen(worst)}",
        detail="; ".join(_fallen(one) for one in failed),
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


def label_verdict(change: LabelChange, margin: float, level: float = Gates().false_stop_share / 2) -> Verdict:
    """One label: failed only when its recall dropped by more than the margin (a share), and by more than chance explains."""
    return _part_verdict(change.recall, change.harmful, change.p_drop, margin, level)


def slice_verdict(change: SliceChange, margin: float, level: float = Gates().false_stop_share / 4) -> Verdict:
    """One slice, judged as a label is."""
    return _part_verdict(change.accuracy, change.harmful, change.p_drop, margin, level)


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


def _not_worse(name: str, change: Change, margin: float, rows: int, level: float) -> GateResult:
    chance = _chance(change, rows, level)
    return GateResult(
        name=name,
        verdict=_verdict_on_drop(change.difference, chance, margin),
        expected=f"a drop of at most {100 * margin:.1f} points from {_percent(change.champion)}, or one that chance explains",
        found=f"{_percent(change.candidate)}: {points(change.difference)}",
        detail=f"{_between(change, rows)}; chance alone moves it by {100 * chance:.1f} points{_advice(chance, margin)}; {_seen(change)}",
    )


def _chance(change: Change, rows: int, level: float) -> float:
    """How far chance alone lowers the difference, except for `level` of all times."""
    wider = norm.ppf(1 - level) / norm.ppf((1 + CONFIDENCE) / 2)
    return max(float(wider) * (change.high - change.low) / 2, 3 / rows)


def _verdict_on_drop(difference: float, chance: float, margin: float) -> Verdict:
    if difference - chance >= -margin:
        return "passed"
    if difference + chance < -margin:
        return "failed"
    explained = difference >= -max(margin, chance)
    return "passed" if explained and chance <= CHANCE_LIMIT * margin else "inconclusive"


def _with_detectable(change: Change, margin: float, rows: int, level: float) -> Change:
    """What stops is a difference below the larger of margin and chance, so a true drop has to be larger than that by its own scatter."""
    chance = _chance(change, rows, level)
    scatter = float(norm.ppf(POWER) / norm.ppf(1 - level)) * chance
    return change.model_copy(update={"detectable": min(1.0, max(margin, chance) + scatter)})


def _judged_parts(changes: tuple[Part, ...], field: str, usual: float, margin: float, level: float) -> tuple[Part, ...]:
    if not changes:
        return ()
    drops = detectable_drops(parts_of(changes), usual, margin, level)
    return tuple(
        one.model_copy(
            update={
                field: getattr(one, field).model_copy(update={"detectable": None if np.isnan(drop) else float(drop)}),
                "verdict": _part_verdict(getattr(one, field), one.harmful, one.p_drop, margin, level),
            }
        )
        for one, drop in zip(changes, drops, strict=True)
    )


def _part_verdict(change: Change, harmful: int, p_drop: float | None, margin: float, level: float) -> Verdict:
    if p_drop is not None and p_drop <= level and change.difference < -margin and harmful >= FEWEST_LOST:
        return "failed"
    return "passed" if change.low >= -margin else "inconclusive"


def _advice(chance: float, margin: float) -> str:
    if chance <= CHANCE_LIMIT * margin:
        return ""
    return f", more than {CHANCE_LIMIT:g} times the margin: use more rows or a wider margin"


def _no_label_lost(changes: Sequence[LabelChange], margin: float) -> GateResult:
    named = [(change.label, change.rows, change.recall, change.verdict) for change in changes]
    return _no_part_lost("label_recall_against_champion", "labels", "label's recall", named, margin)


def _no_slice_lost(changes: Sequence[SliceChange], margin: float, left_out: Sequence[str]) -> GateResult:
    if not changes:
        return _missing("slice_accuracy_against_champion", "slices of the rows").model_copy(update={"detail": "; ".join(left_out)})
    named = [(f"{change.column} {change.value}", change.rows, change.accuracy, change.verdict) for change in changes]
    gate = _no_part_lost("slice_accuracy_against_champion", "slices", "slice's accuracy", named, margin)
    return gate.model_copy(update={"detail": "; ".join([gate.detail, *left_out])})


def _no_part_lost(name: str, what: str, whose: str, parts: Sequence[tuple[str, int, Change, Verdict]], margin: float) -> GateResult:
    failed = [part for part, _, _, verdict in parts if verdict == "failed"]
    part, rows, change, _ = min(parts, key=lambda one: one[2].difference)
    return GateResult(
        name=name,
        verdict="failed" if failed else "passed",
        expected=f"no {whose} down by more than {100 * margin:.1f} points, unless chance explains it",
        found=f"{len(failed)} of {len(parts)} {what}; lowest: {part}, {points(change.difference)} on {rows} rows",
        detail="; ".join([*([", ".join(failed)] if failed else []), _seen_of_parts(what, [change for _, _, change, _ in parts])]),
    )


def _seen(change: Change) -> str:
    return f"a drop of {100 * (change.detectable or 1):.1f} points would have been seen 4 times of 5"


def _seen_of_parts(what: str, changes: Sequence[Change]) -> str:
    """What half of the labels' rows could have shown, and how many labels have too few to show anything."""
    drops = sorted(1.0 if change.detectable is None else change.detectable for change in changes)
    blind = sum(change.detectable is None for change in changes)
    middle = drops[(len(drops) - 1) // 2]
    seen = f"in half of the {what} a drop of {100 * middle:.0f} points would have been seen 4 times of 5"
    if 2 * blind >= len(changes):
        seen = f"half of the {what} and more have too few rows to show any drop"
    return seen if not blind or 2 * blind >= len(changes) else f"{seen}; {blind} of {len(changes)} have too few rows to show any"


def _fallen(one: Behaviour) -> str:
    champion = "" if one.champion_fell is None else f", champion {one.champion_fell}"
    return f"{one.name}: {one.fell} of {one.rows} rows fell (at most {_percent(one.tolerance)}{champion})"


def _missing(name: str, what: str) -> GateResult:
    return GateResult(name=name, verdict="inconclusive", expected=what, found="none", detail="missing evidence stops a release")


def _between(change: Change, rows: int) -> str:
    return f"{points(change.low).removesuffix(' points')} to {points(change.high)} in 9 of 10 such tests of {rows} rows"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
