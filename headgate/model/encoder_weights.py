"""The weights of an encoder in one shape, whichever of four architectures it is: what the engine's graph is built from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headgate.model.network import Network

Floats = NDArray[np.float32]

ACTIVATIONS = {"gelu": "Gelu", "gelu_new": "FastGelu", "gelu_pytorch_tanh": "FastGelu", "relu": "Relu"}
_BERT = {
    "layers": "encoder.encoder.layer",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "output_norm": "output.LayerNorm",
}
_DISTILBERT = {
    "layers": "encoder.transformer.layer",
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "out": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "up": "ffn.lin1",
    "down": "ffn.lin2",
    "output_norm": "output_layer_norm",
}
NAMES = {"bert": _BERT, "roberta": _BERT, "xlm-roberta": _BERT, "camembert": _BERT, "distilbert": _DISTILBERT}
POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert")


@dataclass(frozen=True, slots=True)
class Linear:
    """weight: (in, out). bias: (out,)."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True, slots=True)
class Norm:
    """Scale and bias of a layer normalisation, (hidden,)."""

    scale: Floats
    bias: Floats


@dataclass(frozen=True, slots=True)
class Layer:
    """qkv: query, key and value side by side, the query already divided by the root of a head's width."""

    qkv: Linear
    out: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    output_norm: Norm


@dataclass(frozen=True, slots=True)
class Encoder:
    """words: (vocabulary, hidden). positions: (places, hidden), the only token type added; padding: set where places count from it.

    activation: an ONNX operator. head: the classifier on top of the mean.
    """

    words: Floats
    positions: Floats
    padding: int | None
    norm: Norm
    layers: tuple[Layer, ...]
    head: Linear
    heads: int
    activation: str
    epsilon: float


def read_encoder(network: Network) -> Encoder | None:
    """The weights of a BERT (MiniLM), RoBERTa, XLM-R or DistilBERT network; None for any other architecture or a rare variant of these."""
    config = network.encoder.config
    kind = config.model_type
    activation = ACTIVATIONS.get(str(getattr(config, "hidden_act", None) or getattr(config, "activation", None)))
    if kind not in NAMES or activation is None or getattr(config, "is_decoder", False) or not _plain_positions(config):
        return None
    weights = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}
    layers = tuple(_layer(weights, NAMES[kind], number, config.num_attention_heads) for number in range(config.num_hidden_layers))
    return Encoder(
        words=weights["encoder.embeddings.word_embeddings.weight"],
        positions=_positions(weights),
        padding=int(config.pad_token_id) if kind in POSITIONS_AFTER_PADDING else None,
        norm=_norm(weights, "encoder.embeddings.LayerNorm"),
        layers=layers,
        head=_linear(weights, "head"),
        heads=int(config.num_attention_heads),
        activation=activation,
        epsilon=float(getattr(config, "layer_norm_eps", 1e-12)),
    )


def _plain_positions(config: Any) -> bool:
    return getattr(config, "position_embedding_type", "absolute") == "absolute"


def _positions(weights: Mapping[str, Floats]) -> Floats:
    positions = weights["encoder.embeddings.position_embeddings.weight"]
    types = weights.get("encoder.embeddings.token_type_embeddings.weight")
    return positions if types is None else positions + types[0]


def _layer(weights: Mapping[str, Floats], names: Mapping[str, str], number: int, heads: int) -> Layer:
    place = f"{names['layers']}.{number}."
    query, key, value = (_linear(weights, place + names[part]) for part in ("query", "key", "value"))
    share = np.float32((query.weight.shape[1] / heads) ** -0.5)
    parts = (Linear(query.weight * share, query.bias * share), key, value)
    return Layer(
        qkv=Linear(np.concatenate([part.weight for part in parts], axis=1), np.concatenate([part.bias for part in parts])),
        out=_linear(weights, place + names["out"]),
        attention_norm=_norm(weights, place + names["attention_norm"]),
        up=_linear(weights, place + names["up"]),
        down=_linear(weights, place + names["down"]),
        output_norm=_norm(weights, place + names["output_norm"]),
    )


def _linear(weights: Mapping[str, Floats], name: str) -> Linear:
    return Linear(np.ascontiguousarray(weights[f"{name}.weight"].T), weights[f"{name}.bias"])


def _norm(weights: Mapping[str, Floats], name: str) -> Norm:
    return Norm(weights[f"{name}.weight"], weights[f"{name}.bias"])
