"""Texts to token ids, rows to batches of similar length, and batches through the network without training it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from headgate.model.compute import Compute
from headgate.model.network import Network, in_bf16
from headgate.model.runtime import truncate_ids

SCORED_TOKENS = 1_024
PADDED_TO = 2

Ids = Sequence[int]


def tokenise(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of each text with its special tokens; longer ones keep head and tail."""
    encodings = tokenizer.encode_batch(list(texts))
    return [truncate_ids(encoding.ids, max_length) for encoding in encodings]


def batches(lengths: Sequence[int], batch_size: int, seed: int) -> list[list[int]]:
    """Row numbers of one epoch: ordered by length, in chance order where equally long, then shuffled as batches."""
    generator = np.random.default_rng(seed)
    order = sorted(generator.permutation(len(lengths)).tolist(), key=lengths.__getitem__)
    found = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    generator.shuffle(found)
    return found


def padded(ids: Sequence[Ids], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and attention mask of one batch, int64, padded on the right with 0 to the longest row.

    Widths are multiples of PADDED_TO, since a CPU prepares its kernels anew for each shape.
    """
    longest = -(-max(len(row) for row in ids) // PADDED_TO) * PADDED_TO
    table = np.zeros((2, len(ids), longest), dtype=np.int64)
    for number, row in enumerate(ids):
        table[0, number, : len(row)] = row
        table[1, number, : len(row)] = 1
    tensor = torch.from_numpy(table).to(device, non_blocking=True)
    return tensor[0], tensor[1]


def scoring_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Row numbers by rising length, at most about SCORED_TOKENS padded tokens a batch."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and (len(rows) + 1) * lengths[row] > SCORED_TOKENS:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def embeddings(network: Network, ids: Sequence[Ids], compute: Compute) -> Tensor:
    """The pooled embedding of each row in training's precision; float32 on the device, (rows, hidden)."""
    network.to(compute.device)
    with torch.no_grad():
        weights = in_bf16(dict(network.encoder.named_parameters())) if compute.bf16 else {}
    return _forward(network, partial(network.embed, weights=weights), ids, network.head.in_features, compute)


def logits(network: Network, ids: Sequence[Ids], compute: Compute) -> NDArray[np.float64]:
    """The logits of each row in float32 products, as they are served; float64, (rows, labels)."""
    found: NDArray[np.float64] = _forward(network, network, ids, network.head.out_features, compute).double().cpu().numpy()
    return found


def _forward(network: Network, function: Callable[[Tensor, Tensor], Tensor], ids: Sequence[Ids], width: int, compute: Compute) -> Tensor:
    """Each of torchrun's processes computes its share of the rows, and all get the same numbers."""
    network.to(compute.device).eval()
    found = torch.zeros(len(ids), width, device=compute.device)
    with torch.no_grad():
        for rows in list(scoring_batches([len(i) for i in ids]))[compute.rank :: compute.world]:
            found[rows] = function(*padded([ids[r] for r in rows], compute.device))
    return compute.summed(found)
