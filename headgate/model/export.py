"""From a saved classifier to its fp32 ONNX file, and what the original answers, to prove that it answers alike."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from headgate.errors import Terminal
from headgate.model.encoder_weights import Encoder, read_encoder
from headgate.model.graph import build
from headgate.model.network import Network
from headgate.model.saved import WEIGHTS, load_network

OPSET = 17
MAX_BYTES = 2_000_000_000


def write_reference(classifier: Path, labels: int, out: Path) -> tuple[Network, Encoder | None]:
    """Write the classifier's network as ONNX in fp32 (input_ids, attention_mask int64 -> logits float32).

    Returns the original, and its weights where the graph was written from them rather than by torch's exporter.
    Rows and tokens are dynamic. The same weights give the same bytes. Raises Terminal where the file would pass ONNX's 2 GB.
    """
    weights = classifier / WEIGHTS
    if weights.stat().st_size > MAX_BYTES:
        raise Terminal(
            f"{weights}: expected less than 2 GB for one ONNX file, found {weights.stat().st_size} bytes; take a smaller base model"
        )
    network = load_network(classifier, labels, "eager")
    encoder = read_encoder(network)
    if encoder is not None:
        out.write_bytes(build(encoder).SerializeToString(deterministic=True))
    else:
        _export(network, classifier, out)
    return network, encoder


def _export(network: Network, classifier: Path, out: Path) -> None:
    try:
        _trace(network, out)
    except (RuntimeError, TypeError, ValueError) as fault:
        raise Terminal(
            f"{classifier}: this encoder cannot be exported to ONNX ({str(fault).splitlines()[0]}); take another base model"
        ) from fault


def _trace(network: Network, out: Path) -> None:
    ids = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    axes = {0: "rows", 1: "tokens"}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (ids, mask),
            str(out),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "rows"}},
            opset_version=OPSET,
            dynamo=False,
        )


def reference_logits(network: Network, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """What the original network answers to each row of token ids, one at a time, in float32."""
    with torch.inference_mode():
        rows = [network(torch.tensor([list(row)]), torch.ones(1, len(row), dtype=torch.int64))[0] for row in ids]
    found: NDArray[np.float32] = torch.stack(rows).numpy()
    return found
