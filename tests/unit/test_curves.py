"""Curves, parameters, choice and calibration reach the MLflow run that is active; without one nothing is written anywhere."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from headgate.data.version import DataVersion
from headgate.model import curves
from headgate.model.bundle import open_bundle
from headgate.model.classifier import TransformerClassifier
from headgate.model.saved import read_record
from headgate.model.training_run import log_to_mlflow
from headgate.release.candidate import Candidate
from headgate.release.registering import register
from headgate.release.registry import log_evidence

METRICS = {"accuracy": 0.9, "linear_floor": {"accuracy": 0.7}, "labels": ["a", "b"], "tested_on": "f.jsonl", "train_rows": 12}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tracking store of its own; MLflow takes seconds to make one."""
    folder = tmp_path_factory.mktemp("mlflow")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("curves", artifact_location=(folder / "artifacts").as_uri()))
    yield folder
    mlflow.set_tracking_uri(before)


@pytest.fixture
def client(store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.delenv(curves.RUN_ID, raising=False)
    return MlflowClient()


@pytest.fixture
def classifier(tiny_classifier: Path) -> TransformerClassifier:
    return TransformerClassifier.load(tiny_classifier)


def test_one_line_logs_a_fit_to_the_active_run(client: MlflowClient, classifier: TransformerClassifier) -> None:
    with mlflow.start_run() as run:
        assert curves.log_training(classifier, METRICS) == run.info.run_id
    loss = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in loss] == [(epoch.number, epoch.loss) for epoch in classifier.history_]
    data = client.get_run(run.info.run_id).data
    assert {"loss", "seconds", "examples_per_second", "learning_rate"} <= data.metrics.keys()
    assert data.metrics["temperature"] == classifier.temperature_
    assert (data.metrics["accuracy"], data.metrics["linear_floor.accuracy"], data.metrics["train_rows"]) == (0.9, 0.7, 12)
    assert (data.params["max_length"], data.params["epochs"]) == ("64", "8")


def test_choice_and_calibration_are_logged(client: MlflowClient) -> None:
    record = {
        "parameters": {"epochs": None, "class_weight": None},
        "history": [],
        "temperature": 1.5,
        "choice": {"method": "linear-head", "why": "Few rows.", "class_weight": "balanced", "epochs": None},
        "validation": {"rows": 20, "ece_before": 0.2, "ece_after": 0.01},
    }
    with mlflow.start_run() as run:
        curves.log_training(record)
    data = client.get_run(run.info.run_id).data
    assert data.params == {
        "epochs": "auto",
        "class_weight": "none",
        "chosen_method": "linear-head",
        "chosen_class_weight": "balanced",
        "chosen_epochs": "none",
    }
    assert data.metrics == {"temperature": 1.5, "validation.rows": 20, "validation.ece_before": 0.2, "validation.ece_after": 0.01}
    assert data.tags["headgate.choice"] == "Few rows."


def test_a_saved_record_is_logged_like_the_classifier_and_known_parameters_stay(client: MlflowClient, tiny_classifier: Path) -> None:
    with mlflow.start_run() as run:
        mlflow.log_param("max_length", "as mlflow run wrote it")
        curves.log_training(read_record(tiny_classifier))
    assert client.get_run(run.info.run_id).data.params["max_length"] == "as mlflow run wrote it"
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 8


def test_the_run_that_the_environment_names_is_logged_to_and_stays_as_it_is(
    client: MlflowClient, classifier: TransformerClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = client.create_run(mlflow.get_experiment_by_name("curves").experiment_id)
    monkeypatch.setenv(curves.RUN_ID, run.info.run_id)
    assert curves.log_training(classifier) == run.info.run_id
    found = client.get_run(run.info.run_id)
    assert (found.info.status, "loss" in found.data.metrics) == ("RUNNING", True)


def test_more_epochs_than_mlflow_takes_at_once_are_all_logged(client: MlflowClient) -> None:
    history = [{"number": i, "epochs": 700, "loss": 1 / i, "seconds": 0.1} for i in range(1, 701)]
    with mlflow.start_run() as run:
        curves.log_training({"parameters": {}, "history": history, "temperature": 1.0})
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 700


def test_without_a_run_nothing_is_logged_and_nothing_is_written(tiny_classifier: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from headgate.model import curves; from headgate.model.classifier import TransformerClassifier as C; "
        f"print(curves.log_training(C.load({str(tiny_classifier)!r})), 'mlflow' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (found.stdout, list(tmp_path.iterdir())) == ("None False\n", [])


def test_a_fault_of_mlflow_is_a_warning_once_the_classifier_is_saved(
    client: MlflowClient, classifier: TransformerClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(curves.RUN_ID, "0" * 32)
    told: list[str] = []
    log_to_mlflow(classifier, METRICS, told.append)
    assert told == [f"the classifier is saved, but its curves are not in MLflow: Run with id={'0' * 32} not found"]


def test_a_registered_candidate_has_its_curves_once(client: MlflowClient, tiny_classifier: Path, bundle: Path, tmp_path: Path) -> None:
    data = DataVersion(dataset="replies", version=3, digest="d1", rows=12)
    candidate = Candidate(
        model="curves", key="k", data_version=data, regression_set=data, commit="c0ffee", started_by="person:a", champion=None
    )
    classifier = tmp_path / "classifier"
    shutil.copytree(tiny_classifier, classifier)
    (classifier / "training.json").write_text(json.dumps({"train_seconds": 2.5, "examples_per_second": 40.0}))
    digest = open_bundle(bundle).digest
    registered = register(candidate, classifier, bundle, digest)
    assert register(candidate, classifier, bundle, digest) == registered
    (tmp_path / "evidence").mkdir()
    log_evidence(registered.run_id, tmp_path / "evidence", {"accuracy": 0.9, "linear_floor.accuracy": 0.7})
    assert len(client.get_metric_history(registered.run_id, "loss")) == len(read_record(classifier)["history"])
    data_of_run = client.get_run(registered.run_id).data
    assert (data_of_run.metrics["train_seconds"], data_of_run.metrics["linear_floor.accuracy"]) == (2.5, 0.7)
    assert data_of_run.params["max_length"] == "64"
