"""Real trainings of one model that differ in their seed alone, and what they answered on the frozen rows; none is done twice."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headgate.errors import BadInput
from headgate.evaluation.planting import Answers, Ints
from headgate.model.classifier import TransformerClassifier
from headgate.model.linear_floor import fit_linear_floor
from headgate.settings import Train

FEWEST_SEEDS = 2
HALF = "trained on half the data"
CUT_TO = (16, 8)
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SeedRows:
    """Training rows and frozen rows; texts as the classifier sees them."""

    texts: Sequence[str]
    labels: Sequence[str]
    frozen_texts: Sequence[str]
    frozen_labels: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Called:
    """What one training called each frozen row: best and next best label, and the best label where texts are cut to so many tokens."""

    best: Ints
    second: Ints
    cut: dict[int, Ints]


def cut_to(tokens: int) -> str:
    """Name of the regression of a tokenizer that reads so few tokens."""
    return f"tokenizer cut to {tokens} tokens"


def answers_of_seeds(rows: SeedRows, parameters: Train, seeds: int, folder: Path, tell: Tell = lambda _: None) -> Answers:
    """Train `seeds` times and twice on half the rows, or take what is kept in `folder` for the same rows and parameters.

    Raises BadInput for fewer than two seeds, and for frozen rows of labels that no training row has.
    """
    names = _names(rows, seeds)
    folder.mkdir(parents=True, exist_ok=True)
    every = np.arange(len(rows.texts))
    full = [_kept(rows, names, parameters, seed, every, folder, tell) for seed in range(seeds)]
    halves = [_kept(rows, names, parameters, seed, _half(rows.labels, seed), folder, tell) for seed in range(2)]
    place = {name: i for i, name in enumerate(names)}
    floor = fit_linear_floor(rows.texts, rows.labels).predict(list(rows.frozen_texts))
    cut = {cut_to(tokens): np.array([one.cut[tokens] for one in full]) for tokens in CUT_TO}
    return Answers(
        names=names,
        truth=np.array([place[label] for label in rows.frozen_labels]),
        seeds=np.array([one.best for one in full]),
        second=np.array([one.second for one in full]),
        floor=np.array([place[str(label)] for label in floor]),
        degraded=cut | {HALF: np.array([one.best for one in halves])},
    )


def _names(rows: SeedRows, seeds: int) -> tuple[str, ...]:
    if seeds < FEWEST_SEEDS:
        raise BadInput(f"expected {FEWEST_SEEDS} seeds or more, found {seeds}; one model alone has nothing to be compared with")
    names = tuple(sorted(set(rows.labels)))
    if unknown := sorted(set(rows.frozen_labels) - set(names)):
        raise BadInput(f"frozen rows have labels that no training row has: {', '.join(unknown[:10])}; add such rows, or freeze others")
    return names


def _kept(rows: SeedRows, names: Sequence[str], parameters: Train, seed: int, places: Ints, folder: Path, tell: Tell) -> Called:
    asked = parameters.model_copy(update={"seed": seed})
    file = folder / f"{_key(rows, asked, places)}.npz"
    if not file.is_file():
        tell(f"training on {len(places)} rows with seed {seed}")
        _write(file, _trained(rows, names, asked, places))
    with np.load(file, allow_pickle=False) as found:
        return Called(found["best"], found["second"], dict(zip(CUT_TO, found["cut"], strict=True)))


def _trained(rows: SeedRows, names: Sequence[str], parameters: Train, places: Ints) -> Called:
    classifier = TransformerClassifier(**parameters.model_dump())
    classifier.fit([rows.texts[i] for i in places], [rows.labels[i] for i in places])
    known = np.array([names.index(str(label)) for label in classifier.classes_])
    order = np.argsort(-classifier.predict_proba(list(rows.frozen_texts)), axis=1, kind="stable")
    return Called(known[order[:, 0]], known[order[:, 1]], {tokens: _cut(classifier, rows, known, tokens) for tokens in CUT_TO})


def _cut(classifier: TransformerClassifier, rows: SeedRows, known: Ints, tokens: int) -> Ints:
    """What the same model calls the rows where it is given so few tokens of each."""
    usual = classifier.max_length
    try:
        classifier.set_params(max_length=tokens)
        return np.asarray(known[classifier.predict_proba(list(rows.frozen_texts)).argmax(axis=1)])
    finally:
        classifier.set_params(max_length=usual)


def _half(labels: Sequence[str], seed: int) -> Ints:
    """Places of half of each label's rows, one at least."""
    rng, codes = np.random.default_rng(seed), np.unique(np.array(labels, dtype=str), return_inverse=True)[1]
    parts = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    return np.sort(np.concatenate([rng.choice(part, (len(part) + 1) // 2, replace=False) for part in parts]))


def _key(rows: SeedRows, parameters: Train, places: Ints) -> str:
    """What a training's answers depend on."""
    taken = [[rows.texts[i], rows.labels[i]] for i in places]
    asked = [parameters.model_dump(mode="json"), taken, list(rows.frozen_texts), CUT_TO]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:24]


def _write(file: Path, called: Called) -> None:
    """Written whole or not at all."""
    unfinished, cut = file.with_suffix(".unfinished"), np.array([called.cut[tokens] for tokens in CUT_TO])
    with unfinished.open("wb") as target:
        np.savez_compressed(target, best=called.best, second=called.second, cut=cut)
    unfinished.replace(file)
