"""Lexical features beside the encoder: hashed n-grams of characters and words, and what each says for each label.

An encoder whose tokenizer does not know a language sees little of it; character n-grams see all of it. Their logits are added to
the network's where held-out rows say that it helps. Needs numpy alone, so that serving and evaluation share it.
"""

import json
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FILE = "lexical.safetensors"
CHARACTERS = (2, 3, 4, 5)
READ_CHARACTERS = 8_000
_WORDS = re.compile(r"\w+|[^\w\s]")
_STEP, _MIX, _APART = np.uint32(0x9E3779B1), np.uint32(2_654_435_761), np.uint32(7_919)

Hashes = NDArray[np.uint32]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lexical:
    """hashes: those known, ascending, (n,). idf: (n,). weight: (n, labels), float16. bias: (labels,)."""

    hashes: Hashes
    idf: Floats
    weight: NDArray[np.float16]
    bias: Floats

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """What to add to the network's logits, (texts, labels)."""
        found = np.empty((len(texts), len(self.bias)))
        for number, text in enumerate(texts):
            columns, values = self.features(text)
            found[number] = values @ self.weight[columns].astype(np.float32) + self.bias
        return found

    def features(self, text: str) -> tuple[NDArray[np.int64], Floats]:
        """Columns and values of a text's known n-grams: (1 + log count) * idf, of length 1."""
        return weigh(*count(text), self.hashes, self.idf)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file that the classifier saved; ValueError if it is none."""
        found = _tensors(file.read_bytes())
        try:
            return cls(found["hashes"], found["idf"], found["weight"], found["bias"])
        except KeyError as missing:
            raise ValueError(f"{file}: expected the tensors hashes, idf, weight and bias, {missing} is missing") from None


def count(text: str) -> tuple[Hashes, NDArray[np.int64]]:
    """The distinct n-gram hashes of a text, ascending, and how often each occurs; of a long text its head and tail."""
    if len(text) > READ_CHARACTERS:
        text = f"{text[: READ_CHARACTERS // 2]} {text[-READ_CHARACTERS // 2 :]}"
    words = _WORDS.findall(text.lower())
    letters = np.frombuffer(f" {' '.join(words)} ".encode("utf-32-le", "replace"), dtype=np.uint32)
    distinct, counts = np.unique(np.concatenate([*_of_characters(letters), *_of_words(words)]), return_counts=True)
    return distinct, counts


def weigh(distinct: Hashes, counts: NDArray[np.int64], known: Hashes, idf: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Columns of the known hashes and their values."""
    if not len(known):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    columns = np.searchsorted(known, distinct)
    columns[columns == len(known)] = 0
    here = known[columns] == distinct
    values = (1 + np.log(counts[here])) * idf[columns[here]]
    return columns[here], (values / max(float(np.linalg.norm(values)), 1e-9)).astype(np.float32)


def _of_characters(letters: Hashes) -> list[Hashes]:
    rolled, found = letters.copy(), []
    with np.errstate(over="ignore"):
        for size in range(2, min(max(CHARACTERS), len(letters)) + 1):
            rolled = rolled[:-1] * _STEP + letters[size - 1 :]
            found.append(rolled * _MIX + _APART * np.uint32(size))
    return found


def _of_words(words: Sequence[str]) -> list[Hashes]:
    single = np.array([zlib.crc32(word.encode("utf-8", "replace")) for word in words], dtype=np.uint32)
    with np.errstate(over="ignore"):
        return [single, single[:-1] * _STEP + single[1:]]


def _tensors(content: bytes) -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file whose header has been checked (headgate.model.weights)."""
    (length,) = struct.unpack_from("<Q", content)
    kinds = {"U32": np.uint32, "F32": np.float32, "F16": np.float16}
    found = {}
    for name, told in json.loads(content[8 : 8 + length]).items():
        if name != "__metadata__":
            first, last = told["data_offsets"]
            found[name] = np.frombuffer(content[8 + length + first : 8 + length + last], kinds[told["dtype"]]).reshape(told["shape"])
    return found
