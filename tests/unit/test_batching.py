"""Rows become batches of similar length, each row once, and come back from the network in their own order."""

from pathlib import Path

import numpy as np
import torch

from headgate.model.batching import batches, embeddings, logits, padded, scoring_batches, tokenise
from headgate.model.compute import choose_compute
from headgate.model.network import Network, load_base_model


def test_an_epoch_visits_every_row_once_in_batches_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(3, 200, 1000).tolist()
    found = batches(lengths, 16, seed=3)
    assert sorted(row for rows in found for row in rows) == list(range(1000))
    assert {len(rows) for rows in found} <= {16, 1000 % 16}
    padding = sum(max(lengths[r] for r in rows) * len(rows) for rows in found) / sum(lengths)
    assert padding < 1.1
    assert batches(lengths, 16, seed=3) == found != batches(lengths, 16, seed=4)


def test_scoring_visits_every_row_once_whatever_its_length() -> None:
    lengths = [100_000, 3, 5, 200, 7]
    assert sorted(row for rows in scoring_batches(lengths) for row in rows) == [0, 1, 2, 3, 4]
    assert list(scoring_batches([])) == []


def test_a_batch_is_padded_on_the_right_to_an_even_width() -> None:
    ids, mask = padded([[5, 6, 7], [8, 9, 1, 2, 3]], torch.device("cpu"))
    assert ids.tolist() == [[5, 6, 7, 0, 0, 0], [8, 9, 1, 2, 3, 0]]
    assert mask.tolist() == [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]]


def test_long_texts_keep_head_and_tail(tiny_encoder: Path) -> None:
    _, tokenizer = load_base_model(str(tiny_encoder), "eager")
    whole, cut = (tokenise(tokenizer, ["yes " + "no " * 30 + "stop"], length)[0] for length in (64, 8))
    assert cut == whole[:4] + whole[-4:]


def test_each_row_gets_its_own_numbers_whatever_the_batches(tiny_encoder: Path) -> None:
    encoder, tokenizer = load_base_model(str(tiny_encoder), "eager")
    network, compute = Network(encoder, 3), choose_compute()
    ids = tokenise(tokenizer, ["yes please call me", "stop", "no " * 100, "remove me"], 128)
    together, pooled = logits(network, ids, compute), embeddings(network, ids, compute)
    alone = np.concatenate([logits(network, [row], compute) for row in ids])
    assert together.shape == (4, 3)
    assert together.dtype == np.float64
    assert pooled.shape == (4, 32)
    np.testing.assert_allclose(together, alone, atol=1e-5)
