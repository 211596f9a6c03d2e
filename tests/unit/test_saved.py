"""A saved classifier is read back as it was, however old, and is refused where it is not what was saved."""

import contextlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from format_1 import HISTORY, LABELS, PARAMETERS, write_format_1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel

import headgate
from headgate.errors import BadInput
from headgate.model import saved
from headgate.model.classifier import TransformerClassifier
from headgate.model.lexical import Lexical, count
from headgate.model.network import Network, without_pooler
from headgate.model.saved import BESIDE, check_free, read_record
from headgate.model.training import Epoch
from headgate.settings import Train

FOLDER = "is not the classifier that was saved"


@pytest.fixture
def copy(tiny_classifier: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_classifier, tmp_path / "c"))


def lexical_features() -> Lexical:
    hashes, _ = count("yes, stop")
    weight = np.arange(2 * len(hashes), dtype=np.float16).reshape(-1, 2)
    return Lexical(hashes, np.ones(len(hashes), dtype=np.float32), weight, np.zeros(2, dtype=np.float32))


def change(folder: Path, **fields: Any) -> None:
    record = json.loads((folder / "classifier.json").read_text()) | fields
    (folder / "classifier.json").write_text(json.dumps(record))


def refusal(folder: Path) -> str:
    with pytest.raises(BadInput) as fault:
        TransformerClassifier.load(folder)
    return str(fault.value)


def test_a_classifier_of_format_1_is_loaded_with_what_it_did_without_saying_so(tiny_encoder: Path, tmp_path: Path) -> None:
    loaded = TransformerClassifier.load(write_format_1(tmp_path / "old", tiny_encoder))
    assert loaded.classes_.tolist() == LABELS
    assert loaded.predict(["yes", "stop"]).tolist() == ["unsubscribe", "unsubscribe"]
    np.testing.assert_allclose(loaded.predict_proba(["yes"]), [[1 / (1 + math.e), math.e / (1 + math.e)]], rtol=1e-6)
    assert loaded.history_ == tuple(Epoch(**epoch) for epoch in HISTORY)
    assert loaded.get_params() == PARAMETERS | {
        "method": "fine-tune",
        "warm_up_share": 0.1,
        "weight_decay": 0.01,
        "label_smoothing": 0.1,
        "dropout": 0.0,
        "frozen_embeddings": True,
        "class_weight": None,
        "label_names": "off",
        "lexical": "off",
        "validation_share": 0.0,
    }


def test_a_classifier_of_format_1_is_saved_again_in_todays_format(tiny_encoder: Path, tmp_path: Path) -> None:
    old = TransformerClassifier.load(write_format_1(tmp_path / "old", tiny_encoder))
    old.save(tmp_path / "new")
    record, new = read_record(tmp_path / "new"), TransformerClassifier.load(tmp_path / "new")
    assert (record["format_version"], record["headgate"]) == (2, headgate.__version__)
    assert (record["choice"], record["validation"]) == (None, None)
    assert new.get_params() == old.get_params()
    assert np.array_equal(new.predict_proba(["yes"]), old.predict_proba(["yes"]))


def test_choice_and_validation_are_kept_as_they_were_told(copy: Path, tmp_path: Path) -> None:
    choice, validation = {"method": "linear-head", "scores": {"a": [0.1, 1]}, "why": "é"}, {"rows": 3, "ece_after": 0.02}
    change(copy, choice=choice, validation=validation)
    TransformerClassifier.load(copy).save(tmp_path / "again")
    record = read_record(tmp_path / "again")
    assert (record["choice"], record["validation"]) == (choice, validation)


SMALL = {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
KINDS = ("albert", "camembert", "convbert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta", "xlm-roberta")


@pytest.mark.parametrize("kind", KINDS)
def test_encoders_of_other_kinds_come_back_as_they_were(kind: str, tiny_encoder: Path, tmp_path: Path) -> None:
    old = saved.load(write_format_1(tmp_path / "old", tiny_encoder), Train.model_fields)
    config = AutoConfig.for_model(kind, **SMALL, embedding_size=32, pad_token_id=0)
    with torch.random.fork_rng():
        network = Network(without_pooler(AutoModel.from_config(config, attn_implementation="eager")), 2).eval()
    saved.save(replace(old, network=network), tmp_path / "new")
    loaded = saved.load(tmp_path / "new", Train.model_fields).network
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.inference_mode():
        assert torch.equal(loaded(ids, torch.ones_like(ids)), network(ids, torch.ones_like(ids)))


def test_lexical_features_are_kept_and_listed_and_leave_with_their_classifier(tiny_encoder: Path, tmp_path: Path) -> None:
    old = saved.load(write_format_1(tmp_path / "old", tiny_encoder), Train.model_fields)
    saved.save(replace(old, lexical=lexical_features()), tmp_path / "new")
    loaded = saved.load(tmp_path / "new", Train.model_fields).lexical
    assert loaded is not None
    assert np.array_equal(loaded.logits(["yes, stop"]), lexical_features().logits(["yes, stop"]))
    assert "lexical.safetensors" in read_record(tmp_path / "new")["files"]
    saved.save(old, tmp_path / "new")
    assert saved.load(tmp_path / "new", Train.model_fields).lexical is None


def test_a_newer_format_names_the_headgate_that_wrote_it(copy: Path) -> None:
    change(copy, format_version=3, headgate="9.1")
    assert refusal(copy) == f"{copy / 'classifier.json'}: expected format_version 1 to 2, found 3; load it with headgate 9.1"


@pytest.mark.parametrize("version", [0, True, "2", None, 1.0])
def test_another_format_version_is_refused(copy: Path, version: object) -> None:
    change(copy, format_version=version, headgate="9.1")
    assert refusal(copy).endswith(f"expected format_version 1 to 2, found {version!r}; load it with headgate 9.1")


def test_parameters_that_this_headgate_does_not_know_name_the_one_that_does(copy: Path) -> None:
    record = json.loads((copy / "classifier.json").read_text())
    change(copy, headgate="9.1", parameters=record["parameters"] | {"warp": 9, "mood": "good"})
    assert refusal(copy) == (
        f"{copy / 'classifier.json'}: this is headgate {headgate.__version__}, which has no mood, warp; "
        "load the classifier with headgate 9.1, which wrote it"
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "classifier.json").unlink(), "(No such file or directory)"),
        (
            lambda f: (f / "classifier.json").write_text("{"),
            "(Expecting property name enclosed in double quotes: line 1 column 2 (char 1))",
        ),
        (lambda f: (f / "classifier.json").write_text("[" * 100_000), "(it is nested too deeply)"),
        (lambda f: (f / "classifier.json").write_text(" " * 5_000_000), "(expected at most 4,194,304 bytes, found 5,000,000)"),
        (lambda f: (f / "classifier.json").write_bytes(b'{"a": "\xff"}'), "invalid start byte)"),
    ],
)
def test_a_folder_without_a_readable_record_is_no_classifier(copy: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(copy)
    found = refusal(copy)
    assert found.startswith(f"{copy} is not a saved classifier: expected a readable classifier.json in it (")
    assert found.endswith(message)


def test_a_folder_that_is_not_there_is_no_classifier(tmp_path: Path) -> None:
    expected = "is not a saved classifier: expected a readable classifier.json in it (No such file or directory)"
    assert refusal(tmp_path / "none") == f"{tmp_path / 'none'} {expected}"


def test_a_record_that_is_no_object_is_refused(copy: Path) -> None:
    (copy / "classifier.json").write_text("[1]")
    assert refusal(copy) == f"{copy} is not a saved classifier: expected an object in classifier.json, found list"


def test_a_changed_file_is_refused(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}")
    assert refusal(copy) == f"{copy} {FOLDER}, 1 fault(s):\n  tokenizer.json is changed: its sha256 is not the listed one"


def test_all_faults_are_told_at_once(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    (copy / "notes.txt").write_text("hi")
    change(copy, labels=["one"], temperature=-1, parameters=[], history=[{"number": 1}], choice=[], validation="x")
    assert refusal(copy) == "\n".join(
        [
            f"{copy} {FOLDER}, 8 fault(s):",
            "  classifier.json: labels: expected at least two different texts, whole numbers or bools",
            "  classifier.json: temperature: expected a positive number",
            "  classifier.json: parameters: expected an object",
            "  classifier.json: history: expected a list of epochs",
            "  classifier.json: choice: expected an object or null",
            "  classifier.json: validation: expected an object or null",
            "  tokenizer.json is missing",
            "  notes.txt is extra: it is not in classifier.json",
        ]
    )


@pytest.mark.parametrize("labels", [[["a"], ["b"]], ["a", "a"], ["a", 1], [True, 1], {"a": 1}, None, [None, None]])
def test_labels_that_are_none_are_refused(copy: Path, labels: object) -> None:
    change(copy, labels=labels)
    assert "  classifier.json: labels: expected at least two different texts, whole numbers or bools" in refusal(copy).splitlines()


@pytest.mark.parametrize("temperature", [0, -1, math.nan, math.inf, True, "1", None])
def test_a_temperature_that_cannot_be_divided_by_is_refused(copy: Path, temperature: object) -> None:
    change(copy, temperature=temperature)
    assert refusal(copy) == f"{copy} {FOLDER}, 1 fault(s):\n  classifier.json: temperature: expected a positive number"


@pytest.mark.parametrize("name", BESIDE)
def test_what_a_training_writes_beside_the_classifier_may_be_there(copy: Path, name: str) -> None:
    (copy / name).write_text("{}")
    assert read_record(copy)["labels"]


def test_a_classifier_is_not_saved_among_other_files(tiny_classifier: Path, tmp_path: Path) -> None:
    loaded = TransformerClassifier.load(tiny_classifier)
    for name in ("thesis.tex", "data", "b", "a"):
        (tmp_path / name).mkdir()
    with pytest.raises(BadInput) as fault:
        loaded.save(tmp_path)
    assert str(fault.value) == f"{tmp_path}: expected a folder for the classifier alone, found a, b, data, ... in it; name a new folder"
    assert len(list(tmp_path.iterdir())) == 4


def test_a_classifier_may_be_saved_over_another(copy: Path, tmp_path: Path) -> None:
    check_free(copy)
    check_free(tmp_path / "new")
    TransformerClassifier.load(copy).save(copy)
    assert TransformerClassifier.load(copy).predict(["stop"]).tolist() == ["unsubscribe"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["format_version", "labels", "parameters", "temperature", "history", "files", "choice", "validation"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(fields, json_values, min_size=1))
def test_whatever_a_record_says_it_is_read_or_refused_and_never_crashes(
    tiny_classifier: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    copy = tmp_path / "c"
    if not copy.exists():
        shutil.copytree(tiny_classifier, copy)
    shutil.copyfile(tiny_classifier / "classifier.json", copy / "classifier.json")
    change(copy, **changes)
    with contextlib.suppress(BadInput):
        assert set(read_record(copy)["files"]) - {"lexical.safetensors"} == {"model.safetensors", "tokenizer.json", "encoder/config.json"}


def test_a_folder_that_cannot_be_written_is_told_and_loses_nothing(tiny_classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    classifier = TransformerClassifier.load(tiny_classifier)
    with pytest.raises(BadInput) as fault:
        classifier.save(tmp_path / "file" / "c")
    assert (
        str(fault.value)
        == f"{tmp_path / 'file' / 'c'}: expected a folder that can be written, found: Not a directory; nothing is lost, name another"
    )
    classifier.save(tmp_path / "c")
