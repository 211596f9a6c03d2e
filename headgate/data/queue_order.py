"""In which order annotators should label: what helps most first, and nothing twice that says the same.

The texts with the greatest need are taken as candidates, ten for each place; of these one after another is chosen that stands for the most
need which no text before it stands for (greedy facility location). Source: Wei, Iyer and Bilmes, Submodularity in Data Subset Selection and
Active Learning, ICML 2015 (filtered active submodular selection). Chosen by benchmarks/active_learning.py.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

Floats = NDArray[np.float32]
VectorsOf = Callable[[NDArray[np.int64]], Any]
CANDIDATES_A_PLACE = 10
MOST_CANDIDATES = 3_000
LEAST_NEED = 1e-6


def in_order(
    needs: Sequence[float], reasons: Sequence[str], shares: Mapping[str, float], count: int, vectors_of: VectorsOf, away: bool = False
) -> list[int]:
    """The numbers of the `count` rows to label next, the most useful first.

    needs: (rows,), at least 0. reasons: the main one of each row. shares: of the batch by reason; reasons that are not named share what is
    left evenly, and what a reason has no rows for goes to the others. vectors_of: of the rows with these numbers the vectors of length 1,
    dense or sparse; and behind them, with `away`, those of what is with annotators already.
    """
    need = np.maximum(np.asarray(needs, dtype=np.float32), np.float32(LEAST_NEED))
    places = places_of(Counter(reasons), shares, count)
    chosen = _candidates(need, np.array(reasons, dtype=object), Counter(places))
    vectors = vectors_of(chosen)
    alike = _similarity(vectors[: len(chosen)], vectors[: len(chosen)])
    before = _similarity(vectors[: len(chosen)], vectors[len(chosen) :]) if away else np.zeros((len(chosen), 0), dtype=np.float32)
    reason_of = np.array([reasons[number] for number in chosen], dtype=object)
    return [int(chosen[best]) for best in _facilities(alike, need[chosen], before.max(axis=1, initial=0), reason_of, places)]


def _facilities(alike: Floats, need: Floats, stood_for: Floats, reasons: NDArray[Any], places: Sequence[str]) -> Iterator[int]:
    """One after another the row, of the place's reason, that adds the most to the need which is stood for.

    What a row adds only falls, so that what it once would have added bounds it (Minoux 1978): few are counted anew for each place.
    """
    bound = np.maximum(alike - stood_for, 0) @ need
    of_reason = {reason: reasons == reason for reason in dict.fromkeys(places)}
    for reason in places:
        counted = -1
        while (best := int(np.argmax(np.where(of_reason[reason], bound, -2)))) != counted:
            bound[best] = np.maximum(alike[best] - stood_for, 0) @ need
            counted = best
        stood_for = np.maximum(stood_for, alike[best])
        of_reason[reason][best] = False
        yield best


def places_of(rows: Mapping[str, int], shares: Mapping[str, float], count: int) -> list[str]:
    """The reason of each place of a batch, in turns, so that the first places have all reasons too."""
    left, taken, places = dict(rows), Counter[str](), list[str]()
    while left and len(places) < count:
        wanted = _wanted(tuple(left), shares)
        reason = max(left, key=lambda name: wanted[name] * (len(places) + 1) - taken[name])
        places.append(reason)
        taken[reason] += 1
        left[reason] -= 1
        if not left[reason]:
            del left[reason]
    return places


def text_vectors(texts: Sequence[str]) -> Any:
    """TF-IDF of character n-grams, (texts, n-grams), sparse, of length 1: no model is needed, so that any command can tell twins apart."""
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, dtype=np.float32).fit_transform(list(texts))


def _candidates(need: Floats, reasons: NDArray[Any], places: Mapping[str, int]) -> NDArray[np.int64]:
    """The rows of each reason with the greatest need, several for each of its places."""
    room = MOST_CANDIDATES / max(1, CANDIDATES_A_PLACE * sum(places.values()))
    found = []
    for reason, count in places.items():
        rows = np.flatnonzero(reasons == reason)
        most = max(count, round(CANDIDATES_A_PLACE * count * min(1.0, room)))
        found.append(rows[np.argsort(-need[rows], kind="stable")[:most]])
    return np.sort(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)


def _similarity(left: Any, right: Any) -> Floats:
    """Cosines, (left, right), those below 0 as 0."""
    product = left @ right.T
    dense = product.toarray() if hasattr(product, "toarray") else np.asarray(product)
    return np.maximum(dense.astype(np.float32), 0)


def _wanted(reasons: Sequence[str], shares: Mapping[str, float]) -> dict[str, float]:
    """The share of each of these reasons."""
    named = {name: shares[name] for name in reasons if name in shares}
    rest = max(0.0, 1 - sum(named.values())) / max(1, len(reasons) - len(named))
    found = {name: named.get(name, rest) for name in reasons}
    total = sum(found.values()) or 1.0
    return {name: share / total for name, share in found.items()}
