"""Decisions that linear models can make in seconds, before anything is trained: class weights, label names, lexical features.

Each is asked of rows that were held out, and only where the answer was left to the recipe.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from headgate.model.choice import Tried
from headgate.model.compute import agreed
from headgate.model.lexical_fit import fit_lexical
from headgate.model.probes import Integers, Rows, balanced, by_embeddings, fold_of, macro_f1
from headgate.settings import Train

FEW_ROWS, FEW_ROWS_A_LABEL, MOST_FEW_ROWS = 300, 20, 2_000
FOLDS, FOLDS_OF_MANY = 5, 3  # of many rows only the first third is held out
PROBED_ROWS, CENTROID_ROWS = 2_000, 10
UNEVEN, UNEVEN_GAIN = 3.0, 0.01
PROBE = "macro-F1 of a linear model"
NAMES = {"class_weight": "embeddings, labels weighing the same", "label_names": "embeddings, label names as rows", "lexical": "n-grams"}

Labeller = Callable[[Rows, Rows], Integers]


@dataclass(frozen=True, slots=True)
class Settled:
    """What was decided: whether labels weigh the same, whether their names are rows, whether lexical features are worth fitting."""

    balanced: bool
    label_names: bool
    lexical: bool
    candidates: tuple[Tried, ...]


def is_few(rows: int, labels: int) -> bool:
    """Whether so few rows are there that methods are compared by cross-validation."""
    return rows < FEW_ROWS or rows < min(FEW_ROWS_A_LABEL * labels, MOST_FEW_ROWS)


def looked_at(targets: Integers, seed: int) -> Integers:
    """Numbers of the rows to embed before a fine-tune: those that `settle` asks, and CENTROID_ROWS of each label as far as it has them."""
    order = np.random.default_rng(seed).permutation(len(targets))
    by_label = order[np.argsort(targets[order], kind="stable")]
    counts = np.bincount(targets)
    place = np.arange(len(targets)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.union1d(_asked(len(targets), seed), by_label[place < CENTROID_ROWS])


def settle(parameters: Train, rows: Rows, names: Rows, few: bool) -> Settled:
    """Decide on at most PROBED_ROWS of the rows; names: one row a label, its name as words."""
    sample = rows.take(_asked(len(rows), parameters.seed))
    folds = fold_of(sample.targets, sample.texts, FOLDS if few else FOLDS_OF_MANY, parameters.seed, sample.groups)
    tried = FOLDS if few else 1
    if (folds < 0).all():
        return Settled(parameters.class_weight == "balanced", parameters.label_names == "on", parameters.lexical == "on", ())
    plain = _score(sample, folds, tried, by_embeddings)
    asked: dict[str, tuple[bool, Labeller, float]] = {
        "class_weight": (_asks_weights(parameters, rows), _by_balanced, UNEVEN_GAIN),
        "label_names": (parameters.label_names == "auto" and few, partial(_by_names, names), 0.0),
        "lexical": (parameters.lexical == "auto", partial(_by_words, len(names)), 0.0),
    }
    scores = {name: _score(sample, folds, tried, labeller) for name, (ask, labeller, _) in asked.items() if ask}
    won = agreed([name for name, score in scores.items() if score > plain + asked[name][2]])
    return Settled(
        balanced=parameters.class_weight == "balanced" or "class_weight" in won,
        label_names=parameters.label_names == "on" or "label_names" in won,
        lexical=parameters.lexical == "on" or "lexical" in won,
        candidates=(Tried("embeddings", PROBE, plain), *(Tried(NAMES[name], PROBE, score) for name, score in scores.items())),
    )


def _asks_weights(parameters: Train, rows: Rows) -> bool:
    counts = np.bincount(rows.targets)
    return parameters.class_weight == "auto" and bool(counts.max() >= UNEVEN * counts[counts > 0].min())


def _by_balanced(kept: Rows, held: Rows) -> Integers:
    return by_embeddings(kept.weighted(balanced(kept.targets)), held)


def _by_names(names: Rows, kept: Rows, held: Rows) -> Integers:
    return by_embeddings(kept.joined(names), held)


def _by_words(labels: int, kept: Rows, held: Rows) -> Integers:
    found: Integers = fit_lexical(kept.texts, kept.targets, labels, kept.weights).logits(held.texts).argmax(axis=1)
    return found


def _score(rows: Rows, folds: Integers, tried: int, label: Labeller) -> float:
    """Macro-F1 of the rows that the first `tried` folds hold out."""
    found, truth = [], []
    for fold in range(tried):
        kept, held = rows.take(np.flatnonzero(folds != fold)), rows.take(np.flatnonzero(folds == fold))
        if len(held) and len(set(kept.targets.tolist())) > 1:
            found.append(label(kept, held))
            truth.append(held.targets)
    return macro_f1(np.concatenate(truth), np.concatenate(found)) if truth else 0.0


def _asked(rows: int, seed: int) -> Integers:
    return np.sort(np.random.default_rng(seed).permutation(rows)[:PROBED_ROWS])
