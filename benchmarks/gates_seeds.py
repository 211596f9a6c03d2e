"""Trainings of one model that differ in their seed alone, cheap enough for 77 labels: a small network on the untouched encoder.

`headgate gates calibrate` trains the classifier itself. Here its encoder is left as published and embeds every text once; what is
trained, and differs by seed, is scikit-learn's MLPClassifier on top. Half of the data, and cut texts, go the same way.
The linear floor is left out: these heads are hardly better than it, which says nothing about the classifier's gate.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from headgate.evaluation.planting import Answers
from headgate.evaluation.trained_seeds import CUT_TO, HALF, SeedRows, cut_to
from headgate.model import batching
from headgate.model.compute import choose_compute
from headgate.model.network import Network, load_base_model
from headgate.settings import Train

STEPS, BATCH = 500, 512
Floats = NDArray[np.float32]
Tell = Callable[[str], None]


def head_seeds(rows: SeedRows, seeds: int, folder: Path, tell: Tell = print) -> Answers:
    """Answers of `seeds` heads, of two heads on half of the rows, and of the heads where texts are cut; embeddings are kept in `folder`."""
    names, codes = np.unique(np.array(rows.labels), return_inverse=True)
    place = {str(name): i for i, name in enumerate(names)}
    train = embedded(rows.texts, Train().max_length, folder, tell)
    frozen = embedded(rows.frozen_texts, Train().max_length, folder, tell)
    cut = {tokens: embedded(rows.frozen_texts, tokens, folder, tell) for tokens in CUT_TO}
    heads = [_fitted(train, codes, seed, tell) for seed in range(seeds)]
    order = np.array([np.argsort(-head.predict_proba(frozen), axis=1)[:, :2] for head in heads])
    halves = [_fitted(train[half], codes[half], seed, tell) for seed in range(2) for half in [_half(codes, seed)]]
    degraded = {cut_to(tokens): np.array([head.predict(found) for head in heads]) for tokens, found in cut.items()}
    degraded[HALF] = np.array([head.predict(frozen) for head in halves])
    truth = np.array([place[label] for label in rows.frozen_labels])
    return Answers(tuple(place), truth, order[:, :, 0], order[:, :, 1], None, degraded)


def embedded(texts: Sequence[str], tokens: int, folder: Path, tell: Tell) -> Floats:
    """The untouched encoder's embeddings, (rows, width), each text read up to so many tokens."""
    key = hashlib.sha256(json.dumps([list(texts), tokens]).encode()).hexdigest()[:24]
    file = folder / f"embedded-{key}.npy"
    if not file.is_file():
        tell(f"embedding {len(texts)} texts of at most {tokens} tokens")
        folder.mkdir(parents=True, exist_ok=True)
        compute = choose_compute()
        encoder, tokenizer = load_base_model(Train().base_model, compute.attention)
        network = Network(encoder, 2)
        with torch.inference_mode():
            found = batching.embeddings(network, batching.tokenise(tokenizer, list(texts), tokens), compute)
        np.save(file, found.float().cpu().numpy())
    loaded: Floats = np.load(file, allow_pickle=False)
    return loaded


def _fitted(embeddings: Floats, codes: NDArray[np.int64], seed: int, tell: Tell) -> MLPClassifier:
    tell(f"training a head on {len(codes)} rows with seed {seed}")
    epochs = max(25, STEPS * BATCH // len(codes))
    given = {"batch_size": BATCH, "learning_rate_init": 2e-3, "alpha": 1e-3, "max_iter": epochs, "n_iter_no_change": epochs, "tol": 0}
    head = MLPClassifier((256,), random_state=seed, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is chosen, not awaited
        return head.fit(embeddings, codes)


def _half(codes: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    parts = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    return np.sort(np.concatenate([rng.choice(part, (len(part) + 1) // 2, replace=False) for part in parts]))
