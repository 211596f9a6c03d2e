"""Fitting the lexical features: which n-grams are known, and a linear model on them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.svm import LinearSVC

from headgate.model.lexical import Lexical, count, weigh

SEEN_IN_ROWS = 2
TOLERANCE = 0.05


def fit_lexical(texts: Sequence[str], targets: NDArray[np.int64], labels: int, weights: NDArray[np.float64] | None) -> Lexical:
    """A linear support vector machine, one label against the rest, on n-grams that at least two rows have."""
    counted = [count(text) for text in texts]
    hashes, seen = np.unique(np.concatenate([distinct for distinct, _ in counted]), return_counts=True)
    hashes, seen = hashes[seen >= SEEN_IN_ROWS], seen[seen >= SEEN_IN_ROWS]
    idf = (np.log((1 + len(texts)) / (1 + seen)) + 1).astype(np.float32)
    model = LinearSVC(random_state=0, tol=TOLERANCE).fit(_matrix(counted, hashes, idf), targets, sample_weight=weights)
    rows, bias = (model.coef_, model.intercept_) if len(model.classes_) > 2 else _both(model.coef_, model.intercept_)
    weight, offset = np.zeros((len(hashes), labels), dtype=np.float16), np.full(labels, -1.0, dtype=np.float32)
    weight[:, model.classes_], offset[model.classes_] = rows.T, bias
    return Lexical(hashes, idf, weight, offset)


def scaled(lexical: Lexical, factor: float) -> Lexical:
    """The same, its logits multiplied by a factor."""
    return Lexical(lexical.hashes, lexical.idf, (lexical.weight * np.float32(factor)).astype(np.float16), lexical.bias * np.float32(factor))


def _both(coefficients: NDArray[np.float64], intercept: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.concatenate([-coefficients, coefficients]) / 2, np.concatenate([-intercept, intercept]) / 2


def _matrix(
    counted: Sequence[tuple[NDArray[np.uint32], NDArray[np.int64]]], hashes: NDArray[np.uint32], idf: NDArray[np.float32]
) -> csr_matrix:
    rows = [weigh(distinct, counts, hashes, idf) for distinct, counts in counted]
    ends = np.cumsum([0, *(len(columns) for columns, _ in rows)])
    columns, values = (np.concatenate([row[part] for row in rows]) for part in (0, 1))
    return csr_matrix((values, columns, ends), shape=(len(rows), len(hashes)))
