"""The graph written from the weights answers as the network does, for each architecture, whatever pads a text."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel, BertConfig, DistilBertConfig, ElectraConfig, RobertaConfig, XLMRobertaConfig

from headgate.model.encoder_weights import Encoder, read_encoder
from headgate.model.graph import build
from headgate.model.network import Network, without_pooler
from headgate.model.runtime import open_session

SIZES = {
    "vocab_size": 60,
    "max_position_embeddings": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
CONFIGS = {
    "bert": BertConfig(**SIZES),
    "minilm": BertConfig(**SIZES | {"num_hidden_layers": 3, "hidden_size": 24, "num_attention_heads": 3}),
    "tanh-gelu": BertConfig(**SIZES, hidden_act="gelu_new"),
    "relu": BertConfig(**SIZES, hidden_act="relu"),
    "roberta": RobertaConfig(**SIZES, pad_token_id=1, type_vocab_size=1, layer_norm_eps=1e-5),
    "xlm-roberta": XLMRobertaConfig(**SIZES, pad_token_id=1, type_vocab_size=1),
    "distilbert": DistilBertConfig(vocab_size=60, max_position_embeddings=40, dim=32, n_layers=2, n_heads=2, hidden_dim=64),
}
LENGTHS = (9, 1, 14, 6)


def network(config: Any) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Network(without_pooler(AutoModel.from_config(config, attn_implementation="eager")), labels=5).eval()
        with torch.no_grad():
            for parameter in made.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return made


def encoder(config: Any) -> Encoder:
    found = read_encoder(network(config))
    assert found is not None
    return found


def batch(pad: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    mask = (np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]).astype(np.int64)
    ids = np.random.default_rng(0).integers(3, 60, mask.shape)
    ids[0, 4] = 1  # a text may hold RoBERTa's padding token
    return np.where(mask == 1, ids, pad), mask


def answers(model: onnx.ModelProto, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = open_session(model.SerializeToString(), threads=1).run(None, {"input_ids": ids, "attention_mask": mask})[0]
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_the_graph_answers_as_the_network_does(name: str) -> None:
    original = network(CONFIGS[name])
    ids, mask = batch(CONFIGS[name].pad_token_id)
    with torch.inference_mode():
        expected = original(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    model = build(encoder(CONFIGS[name]))
    onnx.checker.check_model(model)
    np.testing.assert_allclose(answers(model, ids, mask), expected, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("pad", [0, 1, 59])
def test_padding_of_any_token_changes_no_answer(name: str, pad: int) -> None:
    model = build(encoder(CONFIGS[name]))
    ids, mask = batch(pad)
    alone = [answers(model, ids[[row], :length], mask[[row], :length])[0] for row, length in enumerate(LENGTHS)]
    np.testing.assert_allclose(answers(model, ids, mask), alone, atol=2e-6)


def test_the_same_weights_give_the_same_bytes() -> None:
    first, second = (build(encoder(CONFIGS["bert"])).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "config",
    [ElectraConfig(**SIZES, embedding_size=32), BertConfig(**SIZES, is_decoder=True), BertConfig(**SIZES, hidden_act="silu")],
    ids=["electra", "decoder", "silu"],
)
def test_no_graph_is_written_for_another_architecture(config: Any) -> None:
    assert read_encoder(network(config)) is None
