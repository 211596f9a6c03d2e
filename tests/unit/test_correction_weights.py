"""What a correction weighs in training: by the settings, up to the classifier, and a part of what makes a candidate new."""

from pathlib import Path
from typing import Any

import pytest

import tasks.training
from headgate.data.rows import parse_row
from headgate.data.table import DatasetTable
from headgate.data.version import DataVersion
from headgate.lake import open_lake
from headgate.model.classifier import TransformerClassifier
from headgate.release.candidate import Candidate, candidate_key
from headgate.settings import ModelSettings, load_settings

SETTINGS = """
home = "home"
lake = "lake"
[models.replies]
dataset = "replies"
[models.replies.feedback]
weight = {weight}
"""
DATA = DataVersion(dataset="replies", version=0, digest="0" * 32, rows=2)
CANDIDATE: dict[str, Any] = {"model": "replies", "key": "k", "commit": "c", "started_by": "person:a", "champion": None}


def weights_of(folder: Path, monkeypatch: pytest.MonkeyPatch, weight: float) -> Any:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HEADGATE_TOML", str(folder / "headgate.toml"))
    (folder / "headgate.toml").write_text(SETTINGS.format(weight=weight))
    load_settings.cache_clear()
    rows = [{"id": "a", "text": "a", "source": "correction"}, {"id": "b", "text": "b"}, {"id": "c", "text": "c", "source": "import"}]
    table = DatasetTable(open_lake("lake"), "replies")
    table.merge([parse_row(row | {"label": "other"}) for row in rows])
    data = table.latest()
    found = tasks.training.training_weights(Candidate(data_version=data, regression_set=data, **CANDIDATE))
    load_settings.cache_clear()
    return found


def test_corrections_weigh_what_the_settings_say_and_all_else_weighs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights_of(tmp_path, monkeypatch, 0.25) == [0.25, 1.0, 1.0]


def test_without_a_weight_of_their_own_nothing_is_weighed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights_of(tmp_path, monkeypatch, 1) is None


@pytest.mark.parametrize(("weight", "label"), [(0.05, "positive"), (20, "negative")])
def test_where_corrections_contradict_annotations_the_heavier_ones_win(tiny_encoder: Path, weight: float, label: str) -> None:
    texts = ["call me", "call me", "go away", "no thanks"] * 6
    labels = ["positive", "negative", "negative", "negative"] * 6
    weights = [1.0, weight, 1.0, 1.0] * 6
    classifier = TransformerClassifier(str(tiny_encoder), method="linear-head", validation_share=0, lexical="off", class_weight=None)
    assert classifier.fit(texts, labels, weights).predict(["call me"]).tolist() == [label]


def test_another_weight_makes_another_candidate_and_none_leaves_the_keys_as_they_were() -> None:
    plain = ModelSettings(dataset="replies")
    keys = {
        weight: candidate_key(DATA, DATA, ModelSettings.model_validate({"dataset": "replies", "feedback": {"weight": weight}}))
        for weight in (1.0, 0.5, 2.0)
    }
    assert len(set(keys.values())) == 3
    assert keys[1.0] == candidate_key(DATA, DATA, plain)
