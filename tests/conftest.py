"""Fixtures that every lane shares."""

import os
from pathlib import Path
from typing import Any

import pytest

# Tests that are subclassed elsewhere: pytest explains the asserts of modules that it is told of before they are imported.
pytest.register_assert_rewrite("target_contract", "target_ground", "target_kills")

# Before anything imports torch: threads that spin while they wait make the tests many times slower on a shared machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public data and test tools; absent: a loud skip for a person, a failure in CI."""
    folder = Path(os.environ.get("HEADGATE_SHARED", "../shared")).absolute()
    if not folder.is_dir():
        message = f"public data not found: expected {folder}; set HEADGATE_SHARED"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def provenance() -> dict[str, Any]:
    """What the fixture `bundle` says it was made from."""
    return {"model": "replies", "commit": "c0ffee", "data_version": {"dataset": "replies", "version": 3, "digest": "d1", "rows": 12}}


@pytest.fixture(scope="session")
def bundle(tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory, provenance: dict[str, Any]) -> Path:
    """A tiny real bundle, which abstains from nothing; treat it as read-only."""
    from headgate.model.filters import FilterConfig
    from headgate.model.wrapping import wrap

    return wrap(
        tiny_classifier, tmp_path_factory.mktemp("bundle") / "bundle", FilterConfig(min_confidence=0.0, out_of_scope_share=0.0), provenance
    ).path


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model folder: a random BERT of a few thousand weights with a tokenizer of letters and common words."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    words = ["yes", "no", "please", "stop", "budget", "price", "expensive", "call", "thursday", "remove", "list", "me"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters), *words]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    folder = tmp_path_factory.mktemp("encoder") / "tiny"
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_classifier(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved classifier of three labels on `tiny_encoder`; treat it as read-only."""
    from headgate.model.classifier import TransformerClassifier

    texts = {
        "positive": ["yes please, call me thursday", "ok, call me", "sure, thursday at three", "yes, send it"],
        "objection/budget": ["too expensive for us", "no budget left this year", "the price is too high", "we have no budget"],
        "unsubscribe": ["stop", "remove me from the list", "stop writing to me", "take me off your list please"],
    }
    rows = [(text, label) for label, of_label in texts.items() for text in of_label]
    folder = tmp_path_factory.mktemp("classifier") / "tiny"
    classifier = TransformerClassifier(
        str(tiny_encoder), method="fine-tune", lexical="off", epochs=8, batch_size=4, learning_rate=2e-3, max_length=64
    )
    classifier.fit([text for text, _ in rows], [label for _, label in rows]).save(folder)
    return folder
