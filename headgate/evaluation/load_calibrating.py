"""The load gates, measured: two equally fast models, and models that are slower, fail more often or leak, made from one real load test.

A trial draws blocks of one model's samples, a second each, with replacement (Künsch 1989), once as the candidate and once as the champion,
so that neighbours in time stay together. Pure, but for `calibrate_load`, which reads the test's folder.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headgate.errors import BadInput
from headgate.evaluation.calibrating import Outcome, rates_of
from headgate.evaluation.calibration_report import Planted
from headgate.evaluation.load import summarise
from headgate.evaluation.load_memory import memory_use
from headgate.evaluation.load_report import LoadReport, Role
from headgate.evaluation.sample_file import SAMPLE
from headgate.evaluation.samples import Samples
from headgate.settings import LoadTest

EQUALLY_FAST = "nothing: the same model twice"
SLOWER, FAILING, LEAKING = "+30% latency", "1% errors", "a memory leak (+20% over the run)"
NOT_SLOWER, TENTH = "p95 not above the champion's", "p95 at most 10% above"
_BLOCK_S = 1.0
_FEWEST_BLOCKS = 5
_MEMORY_SAMPLES = 60

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One model's real samples, cache off and warm-up left out, and its memory over the run in MB."""

    samples: Samples
    memory_mb: Floats


@dataclass(frozen=True, slots=True, eq=False)
class LoadTrial:
    """A candidate beside a champion: samples of both, and each one's memory."""

    candidate: Samples
    champion: Samples
    candidate_mb: Floats
    champion_mb: Floats


def calibrate_load(folder: Path, settings: LoadTest, trials: int) -> tuple[Planted, ...]:
    """Measure the load gates on the samples of a finished load test. BadInput where the folder holds none."""
    report, samples, result = (folder / name for name in ("load.json", "load_samples.bin", "load_result.json"))
    if missing := [file.name for file in (report, samples, result) if not file.is_file()]:
        raise BadInput(f"{folder}: expected a finished load test, found no {', '.join(missing)}; give a folder that a load test wrote to")
    tested = LoadReport.model_validate_json(report.read_text())
    measured = measured_lane(np.fromfile(samples, dtype=SAMPLE), json.loads(result.read_text())["faults"], tested)
    asked = settings.model_copy(
        update={"rate_per_s": tested.rate_per_s, "duration_s": tested.duration_s, "warm_up_s": 0.0, "stairs_max_steps": 0}
    )
    return load_rates(measured, asked, trials)


def measured_lane(found: "np.ndarray[tuple[int], np.dtype[np.void]]", faults: Sequence[str], report: LoadReport) -> Measured:
    """The first model's samples with the cache off, the warm-up left out."""
    mine = found[(found["lane"] == 0) & (found["offset_s"] >= report.warm_up_s)]
    frame = pd.DataFrame({name: mine[name].astype(float) for name in ("offset_s", "delay_ms", "latency_ms")})
    frame["offset_s"] -= report.warm_up_s
    frame["fault"] = np.array([None, *faults], dtype=object)[mine["fault"]]
    memory = report.memory[0].samples_mb if report.memory else ()
    return Measured(frame, np.array(memory, dtype=float))


def load_rates(measured: Measured, settings: LoadTest, trials: int) -> tuple[Planted, ...]:
    """How often the load gates stop each planted regression, and equally fast models. BadInput for samples of a few seconds."""
    if not measured.samples["offset_s"].max() >= (_FEWEST_BLOCKS - 1) * _BLOCK_S:  # an empty frame's is NaN
        raise BadInput(f"expected samples of {_FEWEST_BLOCKS} seconds or more after the warm-up, found fewer; run a longer load test")
    found = [rates_of(EQUALLY_FAST, [_tried(_aa(measured, settings, seed), settings) for seed in range(trials)], kind="load", equal=True)]
    for name, plant in PLANTS.items():
        planted = (plant(_aa(measured, settings, seed), np.random.default_rng(seed)) for seed in range(trials))
        found.append(rates_of(name, [_tried(trial, settings) for trial in planted], kind="load"))
    return tuple(found)


def _aa(measured: Measured, settings: LoadTest, seed: int) -> LoadTrial:
    return equally_fast(measured, settings, np.random.default_rng(seed))


def equally_fast(measured: Measured, settings: LoadTest, rng: np.random.Generator) -> LoadTrial:
    """An A/A trial: both models' seconds are drawn from the same samples."""
    candidate, champion = (_drawn(measured.samples, settings, rng) for _ in range(2))
    candidate_mb, champion_mb = (_drawn_memory(measured.memory_mb, rng) for _ in range(2))
    return LoadTrial(candidate, champion, candidate_mb, champion_mb)


def slower(trial: LoadTrial, _: np.random.Generator) -> LoadTrial:
    """The candidate's answers take 30% longer."""
    changed = trial.candidate.assign(latency_ms=trial.candidate["latency_ms"] * 1.3)
    return LoadTrial(changed, trial.champion, trial.candidate_mb, trial.champion_mb)


def failing(trial: LoadTrial, rng: np.random.Generator) -> LoadTrial:
    """Each of the candidate's requests fails with a chance of 1%."""
    lost = rng.random(len(trial.candidate)) < 0.01
    changed = trial.candidate.assign(fault=trial.candidate["fault"].astype(object).mask(lost, "HTTP 500"))
    return LoadTrial(changed, trial.champion, trial.candidate_mb, trial.champion_mb)


def leaking(trial: LoadTrial, _: np.random.Generator) -> LoadTrial:
    """The candidate's memory rises by a fifth of what it was, evenly over the run."""
    grown = trial.candidate_mb * (1 + 0.2 * np.linspace(0, 1, len(trial.candidate_mb)))
    return LoadTrial(trial.candidate, trial.champion, grown, trial.champion_mb)


PLANTS: dict[str, Callable[[LoadTrial, np.random.Generator], LoadTrial]] = {SLOWER: slower, FAILING: failing, LEAKING: leaking}


def _tried(trial: LoadTrial, settings: LoadTest) -> Outcome:
    samples = pd.concat([trial.candidate.assign(role="candidate", cache=False), trial.champion.assign(role="champion", cache=False)])
    at = np.linspace(0, settings.duration_s, len(trial.candidate_mb))
    used: dict[Role, Floats] = {"candidate": trial.candidate_mb, "champion": trial.champion_mb}
    watched = {role: list(zip(at.tolist(), (mb * 1e6).tolist(), strict=True)) for role, mb in used.items()}
    memory = memory_use(watched, 0.0, settings) if len(trial.candidate_mb) else None
    report = summarise("", samples, settings, (), memory)
    mine, theirs = report.candidate.p95_ms, report.sides[1].p95_ms
    naive = {NOT_SLOWER: mine > theirs, TENTH: mine > 1.1 * theirs}
    return Outcome(({gate.name: gate.verdict != "passed" for gate in report.gates},), naive)


def _drawn(samples: Samples, settings: LoadTest, rng: np.random.Generator) -> Samples:
    """Seconds of samples with replacement, as many as the test is long, one after the other."""
    second = (samples["offset_s"] // _BLOCK_S).to_numpy(dtype=int)
    blocks = [np.flatnonzero(second == number) for number in np.unique(second)]
    wanted = max(1, round(settings.duration_s / _BLOCK_S))
    chosen = [blocks[i] for i in rng.integers(len(blocks), size=wanted)]
    place = np.concatenate(chosen)
    moved = samples.iloc[place].reset_index(drop=True)
    start = np.repeat(np.arange(wanted) * _BLOCK_S, [len(block) for block in chosen])
    return moved.assign(offset_s=start + moved["offset_s"].to_numpy() % _BLOCK_S)


def _drawn_memory(memory_mb: Floats, rng: np.random.Generator) -> Floats:
    """The level of the run with its own unevenness around a straight line, drawn again."""
    if len(memory_mb) < 2:
        return memory_mb
    place = np.arange(len(memory_mb))
    slope, level = np.polyfit(place, memory_mb, 1)
    left_over = memory_mb - (level + slope * place)
    drawn: Floats = np.linspace(level, level + slope * place[-1], _MEMORY_SAMPLES) + rng.choice(left_over, _MEMORY_SAMPLES)
    return drawn
