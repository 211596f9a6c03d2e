"""Texts that are nearly the same: equal but for case, punctuation and numbers, or sharing most of their character 4-grams.

Candidates come from MinHash (Broder 1997) with locality-sensitive hashing, by the library rensa; each is then checked exactly by the
Jaccard similarity of its 4-grams, so that what is told here is so. What the hashing misses of pairs at the bound is below 1 in 1,000.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash, RMinHashLSH
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from headgate.data.rows import normalised

Integers = NDArray[np.int64]
ALIKE = 0.7
SHORTEST = 20  # characters; people write "not interested, thanks" independently of one another
GRAM, PERMUTATIONS, BANDS, SEED, CHUNK = 4, 128, 32, 1, 5_000
_NUMBER, _REST = re.compile(r"\d+"), re.compile(r"[\W_]+")


def gist(text: str) -> str:
    """What near copies share at least: letters and words, without case, punctuation and white space; in long texts every number is 0."""
    plain = normalised(text)
    found = _REST.sub(" ", _NUMBER.sub("0", plain)).strip()
    return found if len(found) >= SHORTEST else _REST.sub(" ", plain).strip()[: SHORTEST - 1]


class NearTexts:
    """An index of texts that answers which of them a text is nearly the same as. Short texts are in it, but like nothing."""

    def __init__(self, texts: Iterable[str], alike: float = ALIKE) -> None:
        self.alike = alike
        self.gists = [gist(text) for text in texts]
        self.rows_of: dict[str, list[int]] = defaultdict(list)
        for row, found in enumerate(self.gists):
            self.rows_of[found].append(row)
        self.distinct = [found for found in self.rows_of if len(found) >= SHORTEST]
        self._index = RMinHashLSH(alike, PERMUTATIONS, BANDS)
        for start, hashed in _hashed(self.distinct):
            self._index.insert_many(hashed, start)

    def like(self, texts: Sequence[str]) -> list[int | None]:
        """The row, from 0, of a text in the index that each text is nearly the same as; None if there is none."""
        gists = [gist(text) for text in texts]
        different = sorted({found for found in gists if len(found) >= SHORTEST})
        found: dict[str, int] = {}
        for start, hashed in _hashed(different):
            for text, own in zip(different[start:], hashed, strict=False):
                if (row := self._one_like(text, own)) is not None:
                    found[text] = row
        return [found.get(text) for text in gists]

    def _one_like(self, text: str, hashed: RMinHash) -> int | None:
        if text in self.rows_of:
            return self.rows_of[text][0]
        grams = _grams(text)
        near = (other for other in self._index.query(hashed) if _jaccard(grams, _grams(self.distinct[other])) >= self.alike)
        best = next(near, None)
        return None if best is None else self.rows_of[self.distinct[best]][0]

    def groups(self) -> Integers:
        """A number for each text, (rows,); texts that are nearly the same, directly or by way of others, have one number."""
        parents = list(range(len(self.distinct)))
        for start, hashed in _hashed(self.distinct):
            for offset, own in enumerate(hashed):
                self._join(parents, start + offset, own)
        key_of: dict[str, str | int] = {found: _root(parents, text) for text, found in enumerate(self.distinct)}
        numbers: dict[str | int, int] = {}
        return np.array([numbers.setdefault(key_of.get(found, found), len(numbers)) for found in self.gists], dtype=np.int64)

    def _join(self, parents: list[int], text: int, hashed: RMinHash) -> None:
        grams = _grams(self.distinct[text])
        for other in self._index.query(hashed):
            mine, theirs = _root(parents, text), _root(parents, other)
            if mine != theirs and other < text and _jaccard(grams, _grams(self.distinct[other])) >= self.alike:
                parents[max(mine, theirs)] = min(mine, theirs)


def near_groups(texts: Sequence[str], groups: Sequence[str] | None = None) -> Integers:
    """A number for each row, (rows,): rows of one group, or whose texts are nearly the same, have one number."""
    near = NearTexts(texts).groups()
    if groups is None:
        return near
    return joined(near, np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1])


def joined(first: Integers, second: Integers) -> Integers:
    """The finest grouping in which rows that share a group in either are together, (rows,)."""
    size = int(first.max(initial=-1)) + 1
    nodes = size + int(second.max(initial=-1)) + 1
    edges = coo_matrix((np.ones(len(first), dtype=bool), (first, size + second)), shape=(nodes, nodes))
    numbers: Integers = connected_components(edges, directed=False)[1][first].astype(np.int64)
    return numbers


def near_copies(texts: Sequence[str], of: Collection[str]) -> NDArray[np.bool_]:
    """Whether each text is nearly the same as one of the others, (rows,)."""
    return np.array([found is not None for found in NearTexts(of).like(texts)], dtype=bool)


def _grams(text: str) -> set[str]:
    return {text[start : start + GRAM] for start in range(max(1, len(text) - GRAM + 1))}


def _hashed(texts: Sequence[str]) -> Iterator[tuple[int, list[RMinHash]]]:
    """The MinHashes of some thousand texts at a time, with the number of the first."""
    for start in range(0, len(texts), CHUNK):
        grams = [list(_grams(text)) for text in texts[start : start + CHUNK]]
        yield start, RMinHash.from_token_sets(grams, PERMUTATIONS, SEED)


def _jaccard(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second)


def _root(parents: list[int], text: int) -> int:
    while parents[text] != text:
        parents[text] = parents[parents[text]]
        text = parents[text]
    return text
