"""The engine's graph, written node by node from the weights: no exporter, and the same weights give the same bytes.

input_ids, attention_mask int64 (rows, tokens) -> logits float32 (rows, labels). Padding is on the right and changes no answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from headgate.model.encoder_weights import Encoder, Floats, Layer, Linear, Norm
from headgate.model.quantise import Quantised, quantise_rows

OPSET, IR_VERSION = 17, 8
FUSED = "com.microsoft"

# Padding is a copy of the first token whose score is lowered by this much, so its weight is at most exp(-60) of the largest: less than
# float32 can add to it. Minus infinity would do the same with subnormal numbers, which are a hundred times slower to compute with.
UNSEEN = np.float32(60)


def build(encoder: Encoder, quantised: Mapping[str, Quantised] | None = None, watched: bool = False) -> onnx.ModelProto:
    """The graph of an encoder; quantised: its layers in eight bits, by name; watched: the input of each linear layer is an output too."""
    graph = _Graph(encoder, quantised or {})
    logits = graph.network()
    outputs = [helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["rows", encoder.head.bias.size])]
    if watched:
        outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in graph.linear_inputs]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"]) for name in ("input_ids", "attention_mask")]
    made = helper.make_graph(graph.nodes, "classifier", inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION, producer_name="headgate")


def watched_inputs(encoder: Encoder) -> list[str]:
    """The linear layers whose inputs `build(watched=True)` puts out after the logits, in that order."""
    return [f"{number}.{name}" for number in range(len(encoder.layers)) for name in ("qkv", "out", "up", "down")]


class _Graph:
    """Nodes and constants of one graph, in the order of the computation; a method adds what it is called after."""

    def __init__(self, encoder: Encoder, quantised: Mapping[str, Quantised]) -> None:
        self.encoder, self.quantised = encoder, quantised
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.linear_inputs: list[str] = []

    def network(self) -> str:
        mask = self.add("Cast", ["attention_mask"], to=TensorProto.FLOAT)
        real = self.add("Cast", ["attention_mask"], to=TensorProto.BOOL)
        hidden = self.norm("embeddings.norm", self.embeddings(real), self.encoder.norm)
        shift = self.add("Mul", [self.add("Sub", [mask, self.constant("one", np.float32(1))]), self.constant("unseen", UNSEEN)])
        bias = self.add("Unsqueeze", [shift, self.constant("heads_and_queries", np.array([1, 2]))])
        for number, layer in enumerate(self.encoder.layers):
            hidden = self.layer(f"{number}.", hidden, bias, layer)
        return self.head(hidden, mask)

    def embeddings(self, real: str) -> str:
        """Word and place of each token; padding is read as the first token once more, in its place."""
        first = self.add("Gather", ["input_ids", self.constant("first", np.array([0]))], axis=1)
        tokens = self.add("Where", [real, "input_ids", first])
        places = self.places(tokens, real)
        return self.add("Add", [self.words(tokens), self.add("Gather", [self.constant("positions", self.encoder.positions), places])])

    def words(self, tokens: str) -> str:
        if not self.quantised:
            return self.add("Gather", [self.constant("words", self.encoder.words), tokens])
        table, scale = quantise_rows(self.encoder.words)
        rows = self.add("Cast", [self.add("Gather", [self.constant("words", table), tokens])], to=TensorProto.FLOAT)
        return self.add("Mul", [rows, self.add("Gather", [self.constant("words.scale", scale), tokens])])

    def places(self, tokens: str, real: str) -> str:
        """Rows of the position table: counted from 0, or from after the padding id over tokens that are not it."""
        if self.encoder.padding is None:
            counted, start = real, -1
        else:
            padding = self.constant("padding", np.array(self.encoder.padding))
            counted, start = self.add("Not", [self.add("Equal", [tokens, padding])]), self.encoder.padding
        ones = self.add("Cast", [counted], to=TensorProto.INT64)
        count = self.add("Mul", [self.add("CumSum", [ones, self.constant("tokens_axis", np.array(1))]), ones])
        placed = self.add("Add", [count, self.constant("start", np.array(start))])
        return self.add("Where", [real, placed, self.constant("first_place", np.array(start + 1))])

    def layer(self, place: str, hidden: str, bias: str, layer: Layer) -> str:
        context = self.attention(self.linear(f"{place}qkv", hidden, layer.qkv), bias, layer.out.bias.size)
        hidden = self.norm(
            f"{place}attention_norm", self.add("Add", [self.linear(f"{place}out", context, layer.out), hidden]), layer.attention_norm
        )
        domain = "" if self.encoder.activation == "Relu" else FUSED
        inner = self.add(self.encoder.activation, [self.linear(f"{place}up", hidden, layer.up)], domain)
        return self.norm(
            f"{place}output_norm", self.add("Add", [self.linear(f"{place}down", inner, layer.down), hidden]), layer.output_norm
        )

    def attention(self, qkv: str, bias: str, width: int) -> str:
        """Softmax(query key^T + bias) value of every head; (rows, tokens, width)."""
        heads = self.encoder.heads
        apart = self.add("Reshape", [qkv, self.constant("apart", np.array([0, 0, 3 * heads, width // heads]))])
        by_head = self.add("Transpose", [apart], perm=[0, 2, 1, 3])
        query, key, value = self.add_all("Split", [by_head, self.constant("thirds", np.array([heads] * 3))], 3, axis=1)
        scores = self.add("Add", [self.add("FusedMatMul", [query, key], FUSED, transB=1), bias])
        context = self.add("MatMul", [self.add("Softmax", [scores], axis=-1), value])
        together = self.constant("together", np.array([0, 0, width]))
        return self.add("Reshape", [self.add("Transpose", [context], perm=[0, 2, 1, 3]), together])

    def linear(self, name: str, given: str, linear: Linear) -> str:
        self.linear_inputs.append(given)
        if name in self.quantised:
            return self.quantised_linear(name, given, self.quantised[name])
        product = self.add("MatMul", [given, self.constant(f"{name}.weight", linear.weight)])
        return self.add("Add", [product, self.constant(f"{name}.bias", linear.bias)])

    def quantised_linear(self, name: str, given: str, linear: Quantised) -> str:
        scale, zero = self.constant(f"{name}.scale", linear.scale), self.constant(f"{name}.zero", linear.zero)
        if linear.shrink is not None:
            given = self.add("Mul", [given, self.constant(f"{name}.shrink", linear.shrink)])
        small = self.add("QuantizeLinear", [given, scale, zero])
        weight, weight_scale = self.constant(f"{name}.weight", linear.weight), self.constant(f"{name}.weight_scale", linear.weight_scale)
        bias = self.constant(f"{name}.bias", linear.bias)
        return self.add("MatMulIntegerToFloat", [small, weight, scale, weight_scale, zero, "", bias], FUSED)

    def norm(self, name: str, given: str, norm: Norm) -> str:
        scale, bias = self.constant(f"{name}.scale", norm.scale), self.constant(f"{name}.bias", norm.bias)
        return self.add("LayerNormalization", [given, scale, bias], axis=-1, epsilon=self.encoder.epsilon)

    def head(self, hidden: str, mask: str) -> str:
        """The mean over real tokens, and the classifier on it."""
        tokens = self.add(
            "Clip", [self.add("ReduceSum", [mask, self.constant("columns", np.array([1]))]), self.constant("one", np.float32(1))]
        )
        summed = self.add("MatMul", [self.add("Unsqueeze", [mask, self.constant("columns", np.array([1]))]), hidden])
        mean = self.add("Div", [self.add("Squeeze", [summed, self.constant("columns", np.array([1]))]), tokens])
        weight, bias = self.constant("head.weight", self.encoder.head.weight), self.constant("head.bias", self.encoder.head.bias)
        self.nodes.append(helper.make_node("Gemm", [mean, weight, bias], ["logits"]))
        return "logits"

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        """A named constant, kept once."""
        if all(known.name != name for known in self.constants):
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], domain: str = "", **attributes: Any) -> str:
        return self.add_all(operator, inputs, 1, domain, **attributes)[0]

    def add_all(self, operator: str, inputs: Sequence[str], outputs: int, domain: str = "", **attributes: Any) -> list[str]:
        names = [f"{len(self.nodes)}.{operator}" + (f".{number}" if number else "") for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, domain=domain, **attributes))
        return names


__all__ = ["Floats", "build", "watched_inputs"]
