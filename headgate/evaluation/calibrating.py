"""How often the gates stop equally good models, how often they miss worse ones, and which margins keep a wanted rate. Pure and seeded.

Trials come from `planting`: pairs of trainings that differ in their seed alone, on rows drawn again with replacement (Efron 1979), with or
without a planted regression. Each goes through the comparison and the gates of a release, and beside them through the naive gates that most
pipelines have.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from headgate.evaluation.calibration_report import Margins, Planted, Rate
from headgate.evaluation.comparison import compare
from headgate.evaluation.gates import judge
from headgate.evaluation.metrics import measure
from headgate.evaluation.planting import EQUAL, WHOLE, Answers, Ints, Trial, planted
from headgate.evaluation.report import Change, Comparison
from headgate.settings import Gates

ACCURACY, MACRO_F1, LABEL = "accuracy_against_champion", "macro_f1_against_champion", "label_recall_against_champion"
WITH_MARGIN = (ACCURACY, MACRO_F1, LABEL)
TRIED = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3)
NOT_BELOW, FEW_POINTS, FIXED = "accuracy not below the champion's", "accuracy at most 2 points below", "accuracy above a fixed bound"
FEW = 0.02
Stops = NDArray[np.bool_]
_SHARES_OF_WANTED = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What stopped one trial: of the gates, under each of several settings, and of the naive gates."""

    stopped: tuple[Mapping[str, bool], ...]
    naive: Mapping[str, bool]


def run_trials(answers: Answers, name: str, seeds: Iterable[int], settings: Sequence[Gates], size: float = 1.0) -> list[Outcome]:
    """One trial a seed of that name in `planted`, on `size` times as many rows."""
    draw = planted(answers)[name]
    return [try_gates(answers, draw(answers, np.random.default_rng(seed), size), settings) for seed in seeds]


def pairs_as_they_are(answers: Answers, settings: Sequence[Gates]) -> list[Outcome]:
    """Every ordered pair of seeds on the frozen rows themselves, which is what a release of one seed after another would meet."""
    trials = (
        Trial(answers.truth, answers.seeds[i], answers.seeds[j], answers.floor) for i, j in permutations(range(len(answers.seeds)), 2)
    )
    return [try_gates(answers, trial, settings) for trial in trials]


def try_gates(answers: Answers, trial: Trial, settings: Sequence[Gates]) -> Outcome:
    """Compare and judge one trial as a release is, under each of the settings."""
    truth, candidate, champion = (_named(answers, part) for part in (trial.truth, trial.candidate, trial.champion))
    scored = ["scored"] * len(truth)
    measured, was = (measure(truth, said, scored) for said in (candidate, champion))
    paired = compare(truth, candidate, champion)
    low = None if trial.floor is None else measure(truth, _named(answers, trial.floor), scored)
    paired_floor = None if low is None else _against_floor(paired, measured.macro_f1, low.macro_f1)
    judged = (judge(measured, was, low, paired, one, paired_floor) for one in settings)
    stopped = tuple({gate.name: gate.verdict != "passed" for gate in gates} for gates in judged)
    return Outcome(stopped, _naive(answers, measured.accuracy, was.accuracy))


def _against_floor(paired: Comparison | None, macro_f1: float, floor: float) -> Comparison | None:
    """What the floor's gate looks at: two macro-F1s. A bootstrap of its own would double the time and change no verdict."""
    difference = macro_f1 - floor
    change = Change(candidate=macro_f1, champion=floor, difference=difference, low=difference, high=difference)
    return paired and paired.model_copy(update={"macro_f1": change})


def rates_of(name: str, outcomes: Sequence[Outcome], of: int = 0, kind: str = "quality", equal: bool = False) -> Planted:
    """The rates at one of the settings, given by its place."""
    stopped = [outcome.stopped[of] for outcome in outcomes]
    return Planted(
        name=name,
        kind=kind,
        equal=equal or name in (EQUAL, WHOLE),
        overall=rate_of([any(one.values()) for one in stopped]),
        gates={gate: rate_of([one[gate] for one in stopped]) for gate in stopped[0]},
        naive={gate: rate_of([outcome.naive[gate] for outcome in outcomes]) for gate in outcomes[0].naive},
    )


def rate_of(stopped: Sequence[bool]) -> Rate:
    """A share with its exact two-sided 95% interval."""
    hits, trials = int(sum(stopped)), len(stopped)
    low = float(beta.ppf(0.025, hits, trials - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, trials - hits)) if hits < trials else 1.0
    return Rate(stopped=hits, trials=trials, share=hits / trials, low=low, high=high)


def tried_settings(present: Gates, wanted: float) -> list[Gates]:
    """The settings with every margin that is tried; a gate's verdict depends on its own margin alone, so that they move together."""
    return [with_margins(present, _margins(wanted, m, m, m)) for m in TRIED]


def recommend(outcomes: Sequence[Outcome], wanted: float, pairs: Sequence[Outcome] = ()) -> Margins | None:
    """The smallest margins that stop equally good models at most as often as wanted, from trials under `tried_settings`.

    All three gates get the same share of the wanted rate, as large as their sum allows; one standard error of the trials is left free.
    `pairs`, real pairs of seeds, are few, and must not certainly exceed the wanted rate (lower end of the 95% interval): seeds may differ
    by more than chance, on single labels above all.
    None where not even the widest margins do.
    """
    stopped, real = _by_gate(outcomes), _by_gate(pairs)
    trials = len(outcomes)
    for part in _SHARES_OF_WANTED:
        places = {gate: _first(_within(found, part * wanted) & _not_certainly_over(real[gate], wanted)) for gate, found in stopped.items()}
        if None in places.values():
            continue
        together = np.any([stopped[gate][:, place] for gate, place in places.items()], axis=0).mean()
        if together + np.sqrt(together * (1 - together) / trials) <= wanted:
            chosen = {gate: TRIED[place] for gate, place in places.items() if place is not None}
            return _margins(wanted, chosen[ACCURACY], chosen[MACRO_F1], chosen[LABEL])
    return None


def margins_of(settings: Gates) -> Margins:
    """The three margins of these settings."""
    return Margins(**{name: getattr(settings, name) for name in Margins.model_fields})


def with_margins(settings: Gates, margins: Margins) -> Gates:
    """The settings with other margins."""
    return settings.model_copy(update=margins.model_dump())


def disagreement(answers: Answers) -> float:
    """Share of the rows that two seeds answer differently, averaged over all pairs."""
    pairs = permutations(range(len(answers.seeds)), 2)
    return float(np.mean([(answers.seeds[i] != answers.seeds[j]).mean() for i, j in pairs]))


def _by_gate(outcomes: Sequence[Outcome]) -> dict[str, Stops]:
    """Whether each gate stopped each trial (rows) under each of the tried settings (columns)."""
    return {
        gate: np.array([[one[gate] for one in outcome.stopped] for outcome in outcomes], dtype=bool).reshape(len(outcomes), len(TRIED))
        for gate in WITH_MARGIN
    }


def _within(stopped: Stops, share: float) -> Stops:
    """Under which of the tried settings at most this share of the trials was stopped."""
    return np.asarray(stopped.sum(axis=0) <= share * len(stopped))


def _not_certainly_over(stopped: Stops, share: float) -> Stops:
    return np.array([not len(stopped) or rate_of(column.tolist()).low <= share for column in stopped.T])


def _margins(wanted: float, accuracy: float, macro_f1: float, label: float) -> Margins:
    return Margins(false_stop_share=wanted, max_accuracy_drop=accuracy, max_macro_f1_drop=macro_f1, max_label_recall_drop=label)


def _first(good: Stops) -> int | None:
    return int(good.argmax()) if good.any() else None


def _named(answers: Answers, codes: Ints) -> list[str]:
    return [answers.names[code] for code in codes.tolist()]


def _naive(answers: Answers, accuracy: float, champion: float) -> dict[str, bool]:
    """What gates without statistics would have stopped. The fixed bound lies as far below the usual accuracy as the second allows."""
    bound = float((answers.seeds == answers.truth).mean()) - FEW
    return {NOT_BELOW: accuracy < champion, FEW_POINTS: accuracy < champion - FEW, FIXED: accuracy < bound}
