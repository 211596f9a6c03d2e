"""A classifier folder as headgate wrote it at first (format 1), built by hand: without today's writer, whatever that becomes."""

import hashlib
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

LABELS = ["objection/budget", "unsubscribe"]
PARAMETERS = {"base_model": "tiny", "epochs": 3, "batch_size": 4, "learning_rate": 0.002, "max_length": 32, "seed": 7}
HISTORY = [{"number": 1, "epochs": 1, "loss": 0.5, "seconds": 0.1, "examples_per_second": 80.0}]
ENCODER = {
    "add_cross_attention": False,
    "architectures": ["BertModel"],
    "attention_probs_dropout_prob": 0.1,
    "bos_token_id": None,
    "classifier_dropout": None,
    "dtype": "float32",
    "eos_token_id": None,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 64,
    "is_decoder": False,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
    "type_vocab_size": 2,
    "use_cache": True,
}


def write_format_1(folder: Path, encoder: Path) -> Path:
    """Save the fixture `tiny_encoder` under a head whose logits are 0 and 2 for every text, at temperature 2."""
    (folder / "encoder").mkdir(parents=True)
    weights = {f"encoder.{name}": tensor for name, tensor in load_file(encoder / "model.safetensors").items() if "pooler" not in name}
    weights |= {"head.weight": torch.zeros(2, 32), "head.bias": torch.tensor([0.0, 2.0])}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(encoder / "tokenizer.json", folder / "tokenizer.json")
    config = ENCODER | {"vocab_size": len(weights["encoder.embeddings.word_embeddings.weight"])}
    (folder / "encoder" / "config.json").write_text(json.dumps(config, indent=2))
    files = ("model.safetensors", "tokenizer.json", "encoder/config.json")
    record = {
        "format_version": 1,
        "labels": LABELS,
        "parameters": PARAMETERS,
        "temperature": 2.0,
        "history": HISTORY,
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files},
    }
    (folder / "classifier.json").write_text(json.dumps(record, indent=2) + "\n")
    return folder
