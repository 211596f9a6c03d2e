"""A whole calibration: trials spread over processes, margins recommended from one half of them and measured on fresh ones."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from headgate.errors import BadInput
from headgate.evaluation import calibrating
from headgate.evaluation.calibrating import Outcome
from headgate.evaluation.calibration_report import Calibration, Planted, RowsNeeded
from headgate.evaluation.planting import EQUAL, FLIPPED, WHOLE, Answers, planted
from headgate.settings import Gates

FLIPS = f"{FLIPPED[-1]:.0%} of a label flipped"
_AT_ONCE = 20
Progress = Callable[[int, int], None]


def untold(*_: object) -> None:
    """Where nobody wants to hear of progress."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many trials, and how often equally good models may be stopped. `sizes`: how many times as many rows are looked at too."""

    equal_trials: int = 400
    planted_trials: int = 200
    sizes: tuple[float, ...] = (2.0, 4.0)
    wanted_false_stops: float = 0.05
    processes: int = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """Trials of one kind: the name of what is planted, the first seed and how many, and how many times as many rows."""

    name: str
    first: int
    trials: int
    size: float = 1.0


def calibrate(answers: Answers, model: str, present: Gates, plan: Plan | None = None, progress: Progress = untold) -> Calibration:
    """Measure the gates on what trainings of one model answered. Raises BadInput for plans without trials."""
    plan = plan or Plan()
    if min(plan.equal_trials, plan.planted_trials) < 1 or not 0 < plan.wanted_false_stops < 1:
        raise BadInput(f"expected at least one trial of each kind and a wanted rate between 0 and 1, found {plan}")
    trials = {name: plan.equal_trials if name in (EQUAL, WHOLE) else plan.planted_trials for name in planted(answers)}
    first = [Batch(EQUAL, 0, plan.equal_trials)]
    second = [Batch(name, 1_000_000, number) for name, number in trials.items()]
    second += [Batch(name, 2_000_000, plan.planted_trials, size) for size in plan.sizes for name in (EQUAL, FLIPS)]
    steps = _Steps(progress, sum(batch.trials for batch in (*first, *second)))
    with _pool(answers, plan.processes) as pool:
        choosing = _run(pool, first, calibrating.tried_settings(present, plan.wanted_false_stops), steps)[first[0]]
        pairs = calibrating.pairs_as_they_are(answers, calibrating.tried_settings(present, plan.wanted_false_stops))
        recommended = calibrating.recommend(choosing, plan.wanted_false_stops, pairs)
        settings = [present, calibrating.with_margins(present, recommended or calibrating.margins_of(present))]
        measured = _run(pool, second, settings, steps)
    tables = [
        [calibrating.rates_of(name, measured[batch], of) for batch in second if batch.size == 1 for name in [batch.name]] for of in (0, 1)
    ]
    return Calibration(
        model=model,
        rows=answers.rows,
        labels=len(np.unique(answers.truth)),
        seeds=len(answers.seeds),
        accuracy=tuple((answers.seeds == answers.truth).mean(axis=1).tolist()),
        disagreement=calibrating.disagreement(answers),
        wanted_false_stops=plan.wanted_false_stops,
        present=calibrating.margins_of(present),
        recommended=recommended,
        at_present=tuple(tables[0]),
        at_recommended=tuple(tables[1]) if recommended else (),
        as_they_are=calibrating.rates_of(EQUAL, calibrating.pairs_as_they_are(answers, settings[1:])).overall,
        rows_needed=_rows_needed(answers, second, measured),
    )


def _rows_needed(answers: Answers, batches: Sequence[Batch], measured: dict[Batch, list[Outcome]]) -> tuple[RowsNeeded, ...]:
    """False stops and misses of flips by the size of the regression set, at the recommended margins."""
    per_label = float(np.median(np.bincount(answers.truth)[np.unique(answers.truth)]))
    found = []
    for size in sorted({batch.size for batch in batches}):
        rates: dict[str, Planted] = {
            batch.name: calibrating.rates_of(batch.name, measured[batch], 1) for batch in batches if batch.size == size
        }
        found.append(
            RowsNeeded(
                rows=round(size * answers.rows),
                rows_per_label=round(size * per_label),
                false_stops=rates[EQUAL].overall,
                flips_stopped=rates[FLIPS].overall,
            )
        )
    return tuple(found)


class _Steps:
    """Trials done, told after each batch."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def add(self, trials: int) -> None:
        self._done += trials
        self._progress(self._done, self._total)


def _pool(answers: Answers, processes: int) -> ProcessPoolExecutor:
    """Fresh processes, since this one may hold threads of torch."""
    return ProcessPoolExecutor(processes, get_context("spawn"), _take, (answers,))


def _run(pool: ProcessPoolExecutor, batches: Sequence[Batch], settings: Sequence[Gates], steps: _Steps) -> dict[Batch, list[Outcome]]:
    """Every batch's outcomes, in the order of their seeds, however they were spread."""
    waiting = {pool.submit(_trials, part, settings): (batch, part) for batch in batches for part in _parts(batch)}
    found: dict[Batch, dict[int, list[Outcome]]] = {batch: {} for batch in batches}
    for future in as_completed(waiting):
        batch, part = waiting[future]
        found[batch][part.first] = future.result()
        steps.add(part.trials)
    return {batch: [outcome for first in sorted(parts) for outcome in parts[first]] for batch, parts in found.items()}


def _parts(batch: Batch) -> Iterator[Batch]:
    end = batch.first + batch.trials
    for first in range(batch.first, end, _AT_ONCE):
        yield Batch(batch.name, first, min(_AT_ONCE, end - first), batch.size)


_taken: list[Answers] = []


def _take(answers: Answers) -> None:
    """Keep the answers in a process of the pool, so that they are sent once."""
    _taken[:] = [answers]


def _trials(batch: Batch, settings: Sequence[Gates]) -> list[Outcome]:
    return calibrating.run_trials(_taken[0], batch.name, range(batch.first, batch.first + batch.trials), settings, batch.size)
