"""In which order annotators should label: what helps most first, and nothing twice that says the same.

Greedy k-center weighted by need: the next text is the one whose need times its distance to every text before it is the largest.
Sources: Sener and Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach, ICLR 2018 (greedy k-center);
Zhdanov, Diverse mini-batch Active Learning, 2019, arXiv:1901.05954 (need and diversity together). Chosen by benchmarks/active_learning.py.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer

Floats = NDArray[np.float32]
WIDTH = 2**12
FARTHEST = 1.0


def in_order(
    needs: Sequence[float], vectors: Floats, reasons: Sequence[str], shares: Mapping[str, float], count: int, before: Floats | None = None
) -> list[int]:
    """The numbers of the `count` rows to label next, the most useful first.

    needs: (rows,), at least 0. vectors: (rows, width) of length 1. reasons: the main one of each row. shares: of the batch by reason;
    reasons that are not named share what is left, and what a reason has no rows for goes to the others. before: vectors of what is with
    annotators already.
    """
    need = np.asarray(needs, dtype=np.float32) + np.float32(1e-6)
    far = _distance(vectors, before)
    rows = {reason: np.flatnonzero([one == reason for one in reasons]) for reason in dict.fromkeys(reasons)}
    wanted, taken, order = _wanted(rows, shares), dict.fromkeys(rows, 0), []
    for _ in range(min(count, len(need))):
        reason = max(rows, key=lambda name: (wanted[name] * (len(order) + 1) - taken[name], -list(rows).index(name)))
        best = int(rows[reason][np.argmax((need * far)[rows[reason]])])
        order.append(best)
        taken[reason] += 1
        far = np.minimum(far, np.maximum(1 - vectors @ vectors[best], 0))
        far[best] = -1
        if taken[reason] == len(rows[reason]):
            del rows[reason]
            if rows:
                wanted, taken = _wanted(rows, shares), {name: taken[name] for name in rows}
    return order


def text_vectors(texts: Sequence[str]) -> Floats:
    """Hashed character n-grams of texts, (texts, WIDTH) of length 1: no model and no fit, so that any command can tell twins apart."""
    hashed = HashingVectorizer(n_features=WIDTH, analyzer="char_wb", ngram_range=(3, 5), alternate_sign=False)
    found: Floats = hashed.transform(list(texts)).toarray().astype(np.float32)
    return found


def _distance(vectors: Floats, before: Floats | None) -> Floats:
    """The cosine distance of each row to the nearest that is taken already, (rows,)."""
    far = np.full(len(vectors), FARTHEST, dtype=np.float32)
    for vector in () if before is None else before:
        far = np.minimum(far, np.maximum(1 - vectors @ vector, 0))
    return far


def _wanted(rows: Mapping[str, NDArray[np.int64]], shares: Mapping[str, float]) -> dict[str, float]:
    """The share of each reason that has rows."""
    named = {name: shares[name] for name in rows if name in shares}
    rest = max(0.0, 1 - sum(named.values())) / max(1, len(rows) - len(named))
    found = {name: named.get(name, rest) for name in rows}
    total = sum(found.values()) or 1.0
    return {name: share / total for name, share in found.items()}
