"""A hostile classifier, rightly listed, is refused by what its weights, configuration and tokenizer say, before it takes memory."""

import contextlib
import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_1 import write_format_1
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from headgate.errors import BadInput
from headgate.model import saved
from headgate.model.lexical_file import open_lexical
from headgate.model.weights import read_shapes
from headgate.settings import Train


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def classifier(tiny_encoder: Path, tmp_path: Path) -> Path:
    return write_format_1(tmp_path / "classifier", tiny_encoder)


def relisted(classifier: Path) -> Path:
    """The record as somebody would write it who knows the format."""
    record = json.loads((classifier / "classifier.json").read_text())
    record["files"] = {name: sha256(classifier / name) for name in record["files"]}
    (classifier / "classifier.json").write_text(json.dumps(record))
    return classifier


def refusal(classifier: Path) -> str:
    with pytest.raises(BadInput) as fault:
        saved.load(classifier, Train.model_fields)
    return str(fault.value)


def test_a_classifier_is_loaded(classifier: Path) -> None:
    assert saved.load(classifier, Train.model_fields).labels == ["objection/budget", "unsubscribe"]


def test_a_link_to_a_classifier_is_refused(classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(classifier)
    assert refusal(tmp_path / "link") == f"{tmp_path / 'link'} is a link: name the folder that it leads to"


def test_a_classifier_lists_its_own_files_and_no_others(classifier: Path) -> None:
    record = json.loads((classifier / "classifier.json").read_text())
    (classifier / "code.py").write_text("")
    record["files"] |= {"code.py": sha256(classifier / "code.py"), "../outside": "0"}
    (classifier / "classifier.json").write_text(json.dumps(record))
    assert refusal(classifier) == "\n".join(
        [
            f"{classifier} is not the classifier that was saved, 2 fault(s):",
            "  classifier.json: files: expected model.safetensors, tokenizer.json, encoder/config.json",
            "  '../outside' is no path inside the folder",
        ]
    )


def with_header(header: Any, held: int) -> bytes:
    content = json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + b"\0" * held


def tensor(dtype: str, shape: list[int], first: int, last: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


NO_TENSOR = "tensor 'a': expected dtype, shape and data_offsets, found others"
HUGE = 1 << 40


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the header says that it has 0 bytes, the file has 0"),
        (struct.pack("<Q", 1 << 60), "the header says that it has 1,152,921,504,606,846,976 bytes, the file has 8"),
        (struct.pack("<Q", 4) + b"{}", "the header says that it has 4 bytes, the file has 10"),
        (struct.pack("<Q", 4) + b"!!!!", "the header is no JSON"),
        (struct.pack("<Q", 90_000) + b"[" * 90_000, "the header is no JSON"),
        (with_header([], 0), "the header is no JSON object"),
        (with_header({}, 6), "the tensors take 0 bytes, the file holds 6"),
        (with_header({"a": tensor("F32", [1], 0, 4)}, 0), "the tensors take 4 bytes, the file holds 0"),
        (
            with_header({"a": tensor("F32", [HUGE, HUGE], 0, 4)}, 4),
            f"tensor 'a': shape [{HUGE}, {HUGE}] takes {4 * HUGE**2:,} bytes, its place has 4",
        ),
        (with_header({"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [2], 2, 4)}, 4), "tensor 'b': starts at byte 2, expected 4"),
        (with_header({"a": tensor("F32", [-1], 0, 4)}, 4), NO_TENSOR),
        (with_header({"a": tensor("F32", [10**30], 0, 4)}, 4), NO_TENSOR),
        (with_header({"a": tensor("object", [1], 0, 4)}, 4), NO_TENSOR),
        (with_header({"a": tensor("U8", [1] * 9, 0, 1)}, 1), NO_TENSOR),
        (with_header({"a": []}, 0), NO_TENSOR),
        (with_header({"a": {"dtype": ["F32"], "shape": "ab", "data_offsets": [0, 0]}}, 0), NO_TENSOR),
    ],
)
def test_weights_whose_header_lies_are_refused_before_they_are_loaded(classifier: Path, content: bytes, message: str) -> None:
    file = classifier / "model.safetensors"
    file.write_bytes(content)
    assert refusal(relisted(classifier)) == f"{file} cannot be loaded: {message}"


def test_a_header_that_is_true_is_read(classifier: Path) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in load_file(classifier / "model.safetensors").items()}
    assert read_shapes(classifier / "model.safetensors") == expected


@settings(max_examples=200, deadline=None)
@given(header=st.binary(max_size=60), declared=st.integers(0, 70) | st.integers(0, 2**64 - 1))
def test_whatever_a_weights_file_holds_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, header: bytes, declared: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
    file.write_bytes(struct.pack("<Q", declared) + header)
    with contextlib.suppress(ValueError):
        assert isinstance(read_shapes(file), dict)


OTHER = "it describes another network"
GROWS = "expected steps that make a text at most 64 times longer, found"


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(classifier: Path, number: float) -> None:
    weights = load_file(classifier / "model.safetensors")
    weights["head.bias"][1] = number
    save_file(weights, classifier / "model.safetensors")
    assert (
        refusal(relisted(classifier))
        == f"{classifier / 'model.safetensors'}: expected finite numbers, found others in head.bias; train again"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"auto_map": {"AutoModel": "evil--code.Model"}}, "auto_map: a saved classifier never brings or fetches code"),
        ({"trust_remote_code": True}, "trust_remote_code: a saved classifier never brings or fetches code"),
        ({"text_config": {"auto_map": {}}}, "auto_map: a saved classifier never brings or fetches code"),
        ({"layers": [{"_attn_implementation": "evil/kernel"}]}, "_attn_implementation: a saved classifier never brings or fetches code"),
        ({"attn_implementation": "evil/kernel"}, "attn_implementation: a saved classifier never brings or fetches code"),
        ({"vocab_size": 10**9}, "vocab_size: expected at most 2,000,000, found 1,000,000,000"),
        ({"rope": {"scale": [1, -(10**9)]}}, "scale: expected at most 2,000,000, found -1,000,000,000"),
        ({"num_hidden_layers": 1_000_000}, "it has far more parts than the weights have tensors"),
        ({"hidden_size": 10**6}, f"{OTHER}: encoder.embeddings.LayerNorm.bias (1000000,) where the weights have (32,); "),
        (
            {"intermediate_size": 10**6},
            f"{OTHER}: encoder.encoder.layer.0.intermediate.dense.bias (1000000,) where the weights have (64,); ",
        ),
        ({"num_hidden_layers": 1}, f"{OTHER}: encoder.encoder.layer.1.attention.output.LayerNorm.bias none where the weights have (32,); "),
        ({"num_hidden_layers": 3}, f"{OTHER}: encoder.encoder.layer.2.attention.output.LayerNorm.bias (32,) where the weights have none; "),
        ({"model_type": "evil"}, "it describes no encoder of transformers"),
        ({"model_type": None}, "it describes no encoder of transformers"),
        ({"hidden_act": "evil/kernel"}, "it describes no encoder of transformers"),
        ({"hidden_size": "32"}, "it describes no encoder of transformers"),
        ({"num_attention_heads": 0}, "it describes no encoder of transformers"),
    ],
)
def test_a_configuration_that_is_not_that_of_the_weights_is_refused_before_anything_is_allocated(
    classifier: Path, change: dict[str, Any], message: str
) -> None:
    file = classifier / "encoder" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    found = refusal(relisted(classifier))
    assert found.startswith(f"{file} cannot be loaded: ")
    assert message in found


@pytest.mark.parametrize(("content", "message"), [("[]", "expected an object, found list"), ("[" * 100_000, "it is nested too deeply")])
def test_a_configuration_that_is_no_object_is_refused(classifier: Path, content: str, message: str) -> None:
    (classifier / "encoder" / "config.json").write_text(content)
    assert refusal(relisted(classifier)) == f"{classifier / 'encoder' / 'config.json'} cannot be loaded: {message}"


def test_labels_of_another_head_cost_nothing(classifier: Path) -> None:
    file = classifier / "encoder" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_labels": 2_000_000}))
    assert saved.load(relisted(classifier), Train.model_fields).network.head.out_features == 2


def replaced(times: int, by: str) -> dict[str, Any]:
    steps = [{"type": "Replace", "pattern": {"String": "a"}, "content": by} for _ in range(times)]
    return {"type": "Sequence", "normalizers": steps}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalizer": replaced(20, "aaaaaaaaaa")}, f"{GROWS} 100,000,000,000,000,000,000 times"),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": ""}, "content": "a" * 100}}, f"{GROWS} 101 times"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "ByteLevel"}] * 40}}, f"{GROWS} 1,099,511,627,776 times"),
        ({"normalizer": replaced(500, "a")}, "expected at most 2,000 values in normalizer, pre_tokenizer, post_processor, found 2,5"),
        ({"model": {"type": "Evil"}}, "data did not match any variant"),
        ({"version": "9.0"}, "Unknown tokenizer version"),
    ],
)
def test_a_tokenizer_that_would_make_a_text_endless_is_refused(classifier: Path, change: dict[str, Any], message: str) -> None:
    file = classifier / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    found = refusal(relisted(classifier))
    assert found.startswith(f"{file} cannot be loaded: ")
    assert message in found


@pytest.mark.parametrize(("content", "message"), [("[]", "expected an object, found list"), ("[" * 100_000, "it is nested too deeply")])
def test_a_tokenizer_that_is_none_is_refused(classifier: Path, content: str, message: str) -> None:
    (classifier / "tokenizer.json").write_text(content)
    assert refusal(relisted(classifier)) == f"{classifier / 'tokenizer.json'} cannot be loaded: {message}"


def test_padding_to_a_billion_tokens_is_ignored(classifier: Path) -> None:
    file = classifier / "tokenizer.json"
    padding = {
        "strategy": {"Fixed": 10**9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    file.write_text(json.dumps(json.loads(file.read_text()) | {"padding": padding}))
    assert len(saved.load(relisted(classifier), Train.model_fields).tokenizer.encode("yes").ids) == 3


def lexical(**changes: Any) -> dict[str, Any]:
    hashes, idf, bias = np.array([1, 5, 9], dtype=np.uint32), np.ones(3, dtype=np.float32), np.zeros(2, dtype=np.float32)
    return {"hashes": hashes, "idf": idf, "weight": np.zeros((3, 2), dtype=np.float16), "bias": bias} | changes


def test_lexical_features_are_read(tmp_path: Path) -> None:
    save_arrays(lexical(), tmp_path / "good.safetensors")
    assert open_lexical(tmp_path / "good.safetensors", 2).hashes.tolist() == [1, 5, 9]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"hashes": np.zeros(3, dtype=np.uint32)}, "expected hashes, idf, weight and bias of 2 labels, found {'hashes': (3,)}"),
        (lexical(extra=np.zeros(1)), "expected hashes, idf, weight and bias of 2 labels, found "),
        (lexical(weight=np.zeros((3, 3), dtype=np.float16)), "expected hashes, idf, weight and bias of 2 labels, found "),
        (lexical(bias=np.zeros(2, dtype=np.float64)), "expected the kinds uint32, float32, float16, float32, found 'F64'"),
        (lexical(idf=np.zeros(3, dtype=np.float16)), "expected the kinds uint32, float32, float16, float32, found {'idf': 'float16'}"),
        (lexical(idf=np.array([1, np.nan, 1], dtype=np.float32)), "expected finite numbers, found others; train again"),
        (lexical(hashes=np.array([1, 9, 9], dtype=np.uint32)), "expected ascending hashes, found others; train again"),
    ],
)
def test_lexical_features_of_other_labels_or_of_no_numbers_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    save_arrays(arrays, tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match=re.escape(message)):
        open_lexical(tmp_path / "bad.safetensors", 2)
