"""Regressions put on purpose into what real trainings answered, to see which gate finds them. Pure and seeded.

Breck et al., The ML Test Score (2017), ask for tests of the tests; mutation testing (DeMillo et al. 1978) is the same for code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headgate.errors import BadInput

Ints = NDArray[np.int64]
FLIPPED = (0.01, 0.02, 0.05, 0.10, 0.20)
EQUAL, WHOLE = "nothing: two seeds of one model", "nothing: the same, each seed's luck kept"
DROPPED = "a label dropped"


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What several trainings of one model answered on the same rows, as places in `names`.

    truth: (rows,). seeds: what each training called a row, (trainings, rows); second: its next best label, the same shape.
    floor: the linear floor's answers, (rows,); None leaves its gate out.
    degraded: answers of models that are worse for a known reason, (models, rows) each.
    """

    names: tuple[str, ...]
    truth: Ints
    seeds: Ints
    second: Ints
    floor: Ints | None
    degraded: Mapping[str, Ints] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.truth)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Candidate and champion on one set of rows, as places in the names; `floor` is the linear floor's answers."""

    truth: Ints
    candidate: Ints
    champion: Ints
    floor: Ints | None


Draw = Callable[[Answers, np.random.Generator, float], Trial]


def equal_models(answers: Answers, rng: np.random.Generator, size: float = 1.0) -> Trial:
    """An A/A trial: two different trainings of one model, on rows drawn with replacement within each label, `size` times as many.

    Which of the two answers for the candidate is drawn row by row, the null hypothesis of a permutation test (Pitman 1937): both are then
    exactly equally good. As whole models one of them is luckier on these very rows, and drawing rows again would take its luck for skill.
    """
    return _pair(answers, rng, size)[0]


def whole_seeds(answers: Answers, rng: np.random.Generator, size: float = 1.0) -> Trial:
    """Two trainings as whole models: what luck one of them had counts as skill, and any stop as a false one. Overstates false stops."""
    candidate, champion = rng.choice(len(answers.seeds), 2, replace=False)
    return _trial(answers, resampled(answers.truth, rng, size), answers.seeds[candidate], answers.seeds[champion])


def planted(answers: Answers) -> dict[str, Draw]:
    """Every trial that these answers allow, by name: equally good models first, then the regressions."""
    found: dict[str, Draw] = {EQUAL: equal_models, WHOLE: whole_seeds}
    found |= {f"{share:.0%} of a label flipped": _flipping(share) for share in FLIPPED}
    found[DROPPED] = _dropping
    return found | {reason: _degrading(reason) for reason in answers.degraded}


def resampled(truth: Ints, rng: np.random.Generator, size: float = 1.0) -> Ints:
    """Places of rows drawn with replacement within each label, so that a label keeps its share; `size` times as many."""
    parts = [np.flatnonzero(truth == label) for label in np.unique(truth)]
    return np.concatenate([rng.choice(part, max(1, round(size * len(part)))) for part in parts])


def flip(truth: Ints, called: Ints, label: int, instead: int, share: float, rng: np.random.Generator) -> Ints:
    """The answers with a share of one label's rows called another label, whatever was called before."""
    mine = np.flatnonzero(truth == label)
    changed = called.copy()
    changed[rng.choice(mine, round(share * len(mine)), replace=False)] = instead
    return changed


def drop(called: Ints, second: Ints, label: int) -> Ints:
    """The answers of a model that does not know a label: the next best instead."""
    return np.where(called == label, second, called)


def most_confused(answers: Answers, label: int) -> int:
    """The other label that this label's rows are called most often, by any training; the next best where they are never wrong."""
    mine = answers.truth == label
    for called in (answers.seeds[:, mine], answers.second[:, mine]):
        counts = np.bincount(called.ravel(), minlength=len(answers.names))
        counts[label] = 0
        if counts.any():
            return int(counts.argmax())
    raise BadInput(f"label {answers.names[label]}: expected answers with two labels or more, found one; nothing can be flipped")


def _flipping(share: float) -> Draw:
    def draw(answers: Answers, rng: np.random.Generator, size: float = 1.0) -> Trial:
        trial = equal_models(answers, rng, size)
        label = _any_label(answers, rng)
        called = flip(trial.truth, trial.candidate, label, most_confused(answers, label), share, rng)
        return Trial(trial.truth, called, trial.champion, trial.floor)

    return draw


def _dropping(answers: Answers, rng: np.random.Generator, size: float = 1.0) -> Trial:
    trial, second = _pair(answers, rng, size)
    called = drop(trial.candidate, second, _any_label(answers, rng))
    return Trial(trial.truth, called, trial.champion, trial.floor)


def _degrading(reason: str) -> Draw:
    def draw(answers: Answers, rng: np.random.Generator, size: float = 1.0) -> Trial:
        rows = resampled(answers.truth, rng, size)
        worse = answers.degraded[reason]
        return _trial(answers, rows, worse[rng.integers(len(worse))], answers.seeds[rng.integers(len(answers.seeds))])

    return draw


def _pair(answers: Answers, rng: np.random.Generator, size: float) -> tuple[Trial, Ints]:
    """An A/A trial, and the candidate's next best answers."""
    rows = resampled(answers.truth, rng, size)
    one, other = rng.choice(len(answers.seeds), 2, replace=False)
    swapped = rng.random(len(rows)) < 0.5
    first, second = np.where(swapped, other, one), np.where(swapped, one, other)
    trial = Trial(answers.truth[rows], answers.seeds[first, rows], answers.seeds[second, rows], _floor(answers, rows))
    return trial, answers.second[first, rows]


def _trial(answers: Answers, rows: Ints, candidate: Ints, champion: Ints) -> Trial:
    return Trial(answers.truth[rows], candidate[rows], champion[rows], _floor(answers, rows))


def _floor(answers: Answers, rows: Ints) -> Ints | None:
    return None if answers.floor is None else answers.floor[rows]


def _any_label(answers: Answers, rng: np.random.Generator) -> int:
    return int(rng.choice(np.unique(answers.truth)))
