"""Eight-bit weights and fixed activation scales, smoothed over channels, from what a few hundred texts show.

Static scales: what a text is answered cannot depend on the texts that share its batch. SmoothQuant (Xiao et al. 2023, arXiv:2211.10438):
a channel with large activations is divided by a factor that its weights are multiplied with.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headgate.model.encoder_weights import Encoder, Floats, Layer, Linear

ALPHA = 0.8
SMALLEST = np.float32(1e-5)
HIGHEST_S8, HIGHEST_U8 = 127, 255


@dataclass(frozen=True, slots=True)
class Range:
    """The lowest and highest value that each channel of a linear layer's input took, (in,)."""

    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Quantised:
    """A linear layer in eight bits: weight (in, out) int8 with a scale for each output; input * shrink -> uint8 by scale and zero.

    shrink: None where the layer before already did it.
    """

    weight: NDArray[np.int8]
    weight_scale: Floats
    bias: Floats
    shrink: Floats | None
    scale: np.float32
    zero: np.uint8


def quantise(encoder: Encoder, ranges: Mapping[str, Range], skipped: tuple[str, ...] = ()) -> dict[str, Quantised]:
    """The linear layers in eight bits by name (`0.qkv`, `0.out`, `0.up`, `0.down`, ...), those called as in `skipped` left out."""
    found: dict[str, Quantised] = {}
    for number, layer in enumerate(encoder.layers):
        found |= {f"{number}.{name}": made for name, made in _layer(layer, number, ranges).items() if name not in skipped}
    return found


def quantise_rows(table: Floats) -> tuple[NDArray[np.int8], Floats]:
    """A table of embeddings in eight bits with a scale for each row: (rows, hidden), (rows, 1)."""
    scale = np.maximum(np.abs(table).max(axis=1, keepdims=True), SMALLEST) / np.float32(HIGHEST_S8)
    return _round(table / scale), scale.astype(np.float32)


def _layer(layer: Layer, number: int, ranges: Mapping[str, Range]) -> dict[str, Quantised]:
    """The smoothing of the output projection's input is folded into the value projection, which makes it."""
    seen = {name: ranges[f"{number}.{name}"] for name in ("qkv", "out", "up", "down")}
    factor = _smoothing(layer.out, seen["out"])
    shrink = np.concatenate([np.ones(layer.qkv.bias.size - factor.size, dtype=np.float32), 1 / factor])
    qkv = Linear(layer.qkv.weight * shrink, layer.qkv.bias * shrink)
    return {
        "qkv": _linear(qkv, seen["qkv"], _smoothing(layer.qkv, seen["qkv"])),
        "out": _linear(layer.out, seen["out"], factor, folded=True),
        "up": _linear(layer.up, seen["up"], _smoothing(layer.up, seen["up"])),
        "down": _linear(layer.down, seen["down"], _smoothing(layer.down, seen["down"])),
    }


def _smoothing(linear: Linear, seen: Range) -> Floats:
    """What each input channel is divided by: max|activation|^alpha / max|weight|^(1 - alpha)."""
    activation = np.maximum(np.maximum(np.abs(seen.low), np.abs(seen.high)), SMALLEST)
    weight = np.maximum(np.abs(linear.weight).max(axis=1), SMALLEST)
    factor: Floats = (activation**ALPHA / weight ** (1 - ALPHA)).astype(np.float32)
    return factor


def _linear(linear: Linear, seen: Range, factor: Floats, folded: bool = False) -> Quantised:
    weight = linear.weight * factor[:, None]
    weight_scale = np.maximum(np.abs(weight).max(axis=0), SMALLEST) / np.float32(HIGHEST_S8)
    low, high = min(float((seen.low / factor).min()), 0.0), max(float((seen.high / factor).max()), 0.0)
    scale = np.float32(max(high - low, float(SMALLEST)) / HIGHEST_U8)
    return Quantised(
        weight=_round(weight / weight_scale),
        weight_scale=weight_scale.astype(np.float32),
        bias=linear.bias.astype(np.float32),
        shrink=None if folded else (1 / factor).astype(np.float32),
        scale=scale,
        zero=np.uint8(round(-low / float(scale))),
    )


def _round(values: Floats) -> NDArray[np.int8]:
    return np.clip(np.rint(values), -HIGHEST_S8, HIGHEST_S8).astype(np.int8)
