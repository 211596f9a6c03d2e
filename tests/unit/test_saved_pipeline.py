"""A saved pipeline is what was written, or it is refused."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from headgate.errors import BadInput
from headgate.model import flavor
from headgate.model.artifact import sha256_file
from headgate.model.classifier import TransformerClassifier
from headgate.model.filters import FilterConfig
from headgate.model.saved_pipeline import load_pipeline, save_pipeline

QUOTED = "yes please\n\nOn Tue, 3 Mar 2026 at 10:12, Kim Lee <kim@example.com> wrote:\n> stop stop stop remove me"


@pytest.fixture
def saved(tiny_classifier: Path, tmp_path: Path) -> Path:
    save_pipeline(tiny_classifier, FilterConfig(min_confidence=0.2), tmp_path / "pipeline")
    return tmp_path / "pipeline"


def relist(folder: Path, name: str) -> None:
    record = json.loads((folder / "pipeline.json").read_text())
    record["files"][name] = sha256_file(folder / name)
    (folder / "pipeline.json").write_text(json.dumps(record))


def test_it_reads_what_its_classifier_reads_after_the_filters(saved: Path, tiny_classifier: Path) -> None:
    loaded = load_pipeline(saved)
    assert json.dumps(asdict(loaded.filter_config)) == json.dumps(asdict(FilterConfig(min_confidence=0.2)))
    alone = TransformerClassifier.load(tiny_classifier)
    assert loaded.predict_proba([QUOTED]).tolist() == alone.predict_proba(["yes please"]).tolist()


def test_it_answers_through_pyfunc(saved: Path, tmp_path: Path) -> None:
    flavor.save_model(saved, str(tmp_path / "m"))
    found = mlflow.pyfunc.load_model(str(tmp_path / "m")).predict(pd.DataFrame({"text": [QUOTED]}))
    assert found["label"].tolist() == load_pipeline(saved).predict([QUOTED]).tolist()


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda f: (f / "pipeline.json").write_text("{"), "is not a saved pipeline: expected a readable pipeline.json in it"),
        (lambda f: (f / "pipeline.json").write_text('{"format_version": 9, "files": {}}'), "expected format_version 1 and files"),
        (lambda f: (f / "pipeline.json").write_text('{"format_version": 1, "files": {}}'), "filters.json is not listed"),
        (lambda f: (f / "filters.json").write_text("{}"), "filters.json is changed: its sha256 is not the listed one"),
        (lambda f: (f / "classifier" / "tokenizer.json").unlink(), "classifier/tokenizer.json is missing"),
        (lambda f: (f / "weights.pkl").write_bytes(b"\x80\x04N."), "weights.pkl is extra: it is not in pipeline.json"),
    ],
)
def test_one_that_was_touched_is_refused(saved: Path, damage: Callable[[Path], object], fault: str) -> None:
    damage(saved)
    with pytest.raises(BadInput) as refused:
        load_pipeline(saved)
    assert fault in str(refused.value)


def test_filters_with_other_fields_are_refused(saved: Path) -> None:
    (saved / "filters.json").write_text('{"shout": true}')
    relist(saved, "filters.json")
    with pytest.raises(BadInput, match=r"filters.json: expected the fields of FilterConfig, found others: "):
        load_pipeline(saved)
