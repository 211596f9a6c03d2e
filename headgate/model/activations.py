"""What the inputs of an encoder's linear layers look like on real texts: the ranges that fixed scales are made from."""

from collections.abc import Sequence

import numpy as np

from headgate.model.encoder_weights import Encoder
from headgate.model.graph import build, watched_inputs
from headgate.model.quantise import Range
from headgate.model.runtime import open_session


def observe(encoder: Encoder, ids: Sequence[Sequence[int]]) -> dict[str, Range]:
    """Lowest and highest input of each linear layer, by channel, over texts given as token ids and run one at a time."""
    session = open_session(build(encoder, watched=True).SerializeToString(), threads=1)
    names, found = watched_inputs(encoder), dict[str, Range]()
    for row in ids:
        tokens = np.array([row], dtype=np.int64)
        outputs = session.run(None, {"input_ids": tokens, "attention_mask": np.ones_like(tokens)})[1:]
        for name, output in zip(names, outputs, strict=True):
            before = found.get(name, Range(output[0, 0], output[0, 0]))
            found[name] = Range(np.minimum(before.low, output[0].min(axis=0)), np.maximum(before.high, output[0].max(axis=0)))
    return found
