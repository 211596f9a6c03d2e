"""Opening lexical.safetensors of somebody else: only what adds finite numbers to the logits of these labels is let through."""

from pathlib import Path

import numpy as np

from headgate.model.lexical import Lexical
from headgate.model.weights import read_shapes

KINDS = {"hashes": "uint32", "idf": "float32", "weight": "float16", "bias": "float32"}


def open_lexical(file: Path, labels: int) -> Lexical:
    """The lexical features of a file, for so many labels; ValueError says what is wrong with it."""
    shapes = read_shapes(file)
    known = shapes.get("hashes", ())
    if len(known) != 1 or shapes != {"hashes": known, "idf": known, "weight": (*known, labels), "bias": (labels,)}:
        raise ValueError(f"expected hashes, idf, weight and bias of {labels} labels, found {shapes}")
    try:
        found = Lexical.read(file)
    except KeyError as kind:
        raise ValueError(f"expected the kinds {', '.join(KINDS.values())}, found {kind}") from None
    if others := {name: str(getattr(found, name).dtype) for name, kind in KINDS.items() if getattr(found, name).dtype != kind}:
        raise ValueError(f"expected the kinds {', '.join(KINDS.values())}, found {others}")
    if not all(np.isfinite(getattr(found, name)).all() for name in KINDS):
        raise ValueError("expected finite numbers, found others; train again")
    if (found.hashes[1:] <= found.hashes[:-1]).any():
        raise ValueError("expected ascending hashes, found others; train again")
    return found
