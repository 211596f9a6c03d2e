"""A candidate's training goes on where it was ended, and leaves nothing but the classifier."""

import json
from pathlib import Path

import pytest
from prefect import flow

import tasks.training
from headgate.data.rows import Annotation
from headgate.data.table import DatasetTable
from headgate.lake import open_lake
from headgate.model.classifier import TransformerClassifier
from headgate.model.training import Epoch
from headgate.release.candidate import Candidate
from headgate.settings import load_settings

SETTINGS = """
home = "home"
lake = "lake"
[models.replies]
dataset = "replies"
[models.replies.train]
base_model = "{encoder}"
method = "fine-tune"
epochs = 6
batch_size = 1
validation_share = 0
max_length = 32
"""
ROWS = [("yes please, call me", "positive"), ("stop writing to me", "unsubscribe")] * 20


@pytest.fixture
def candidate(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    (tmp_path / "headgate.toml").write_text(SETTINGS.format(encoder=tiny_encoder))
    load_settings.cache_clear()
    rows = [Annotation(id=str(i), text=f"{text} {i}", label=label) for i, (text, label) in enumerate(ROWS)]
    table = DatasetTable(open_lake("lake"), "replies")
    table.merge(rows)
    data = table.latest()
    yield Candidate(model="replies", key="k", data_version=data, regression_set=data, commit="c", started_by="person:a", champion=None)
    load_settings.cache_clear()


@flow
def train(candidate: Candidate) -> Path:
    return tasks.training.fine_tune(candidate)


def test_a_training_that_was_ended_goes_on_from_its_checkpoint(candidate, tmp_path, monkeypatch, caplog):
    def end_in_epoch_four(epoch: Epoch) -> None:
        if epoch.number == 4:
            raise RuntimeError("the machine is gone")

    with monkeypatch.context() as patch:
        patch.setattr(tasks.training, "_log_epoch", end_in_epoch_four)
        with pytest.raises(RuntimeError, match="the machine is gone"):
            train(candidate)
    work = tmp_path / "home" / "candidates" / "k"
    assert [path.name for path in work.iterdir()] == ["checkpoints"]

    out = train(candidate)
    assert "training continues after step 100, from " in caplog.text
    assert sorted(path.name for path in work.iterdir()) == ["classifier"]
    assert {"train_seconds", "examples_per_second"} == json.loads((out / "training.json").read_text()).keys()
    rows = DatasetTable(open_lake("lake"), "replies").load(candidate.data_version.version)
    alone = TransformerClassifier(**load_settings().model("replies").train.model_dump()).fit(rows["text"].tolist(), rows["label"].tolist())
    alone.save(tmp_path / "alone")
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "alone" / "model.safetensors").read_bytes()
