"""The MLflow flavor keeps a folder as it is and answers through pyfunc; a real server is in tests/contract/test_mlflow_server.py."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from format_1 import LABELS, write_format_1

import headgate
from headgate.errors import BadInput
from headgate.model import flavor
from headgate.model.classifier import TransformerClassifier
from headgate.model.runtime import Message, Runtime

TEXTS = ["yes please", "stop", "too expensive for us"]
PICKLES = {".pkl", ".pickle", ".pt", ".bin", ".joblib"}


@pytest.fixture
def tracking(tmp_path: Path) -> Iterator[None]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("replies", artifact_location=(tmp_path / "artifacts").as_uri()))
    yield
    mlflow.set_tracking_uri(before)


def test_a_classifier_answers_through_pyfunc_as_it_does_itself(tiny_classifier: Path, tmp_path: Path) -> None:
    flavor.save_model(tiny_classifier, str(tmp_path / "m"))
    loaded = TransformerClassifier.load(tiny_classifier)
    found = mlflow.pyfunc.load_model(str(tmp_path / "m")).predict(pd.DataFrame({"text": TEXTS}))
    assert found["label"].tolist() == loaded.predict(TEXTS).tolist()
    assert found["score"].tolist() == pytest.approx(loaded.predict_proba(TEXTS).max(axis=1).tolist())


def test_a_bundle_answers_through_pyfunc_as_its_runtime_does(bundle: Path, tmp_path: Path) -> None:
    flavor.save_model(bundle, str(tmp_path / "m"))
    expected = Runtime.load(bundle).score([Message(text) for text in [*TEXTS, ""]])
    found = mlflow.pyfunc.load_model(str(tmp_path / "m")).predict(pd.DataFrame({"text": [*TEXTS, ""]}))
    assert found["label"].tolist()[:3] == [one.label for one in expected[:3]]
    assert found["label"].isna().tolist() == [False, False, False, True]


def test_a_fitted_classifier_can_be_saved_without_a_folder_of_its_own(tiny_classifier: Path, tmp_path: Path) -> None:
    flavor.save_model(TransformerClassifier.load(tiny_classifier), str(tmp_path / "m"))
    loaded = flavor.load_model(str(tmp_path / "m"))
    assert isinstance(loaded, TransformerClassifier)
    assert loaded.predict(TEXTS).tolist() == TransformerClassifier.load(tiny_classifier).predict(TEXTS).tolist()


def test_a_saved_model_has_signature_example_and_pins_and_no_pickle(bundle: Path, tmp_path: Path) -> None:
    flavor.save_model(bundle, str(tmp_path / "m"))
    described = mlflow.models.Model.load(str(tmp_path / "m"))
    assert described.signature.inputs.input_names() == ["text"]
    assert described.load_input_example(str(tmp_path / "m"))["text"].tolist() == flavor.EXAMPLE["text"].tolist()
    lines = (tmp_path / "m" / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if "==" not in line] == [f"headgate/wheels/{wheel.name}" for wheel in (bundle / "wheels").iterdir()]
    assert not [path for path in (tmp_path / "m").rglob("*") if path.suffix in PICKLES]


@pytest.mark.usefixtures("tracking")
def test_a_registered_bundle_is_loaded_by_name_and_version(bundle: Path, tmp_path: Path) -> None:
    with mlflow.start_run():
        info = flavor.log_model(bundle, name="bundle", registered_model_name="replies")
    loaded = flavor.load_model(f"models:/replies/{info.registered_model_version}", str(tmp_path))
    assert isinstance(loaded, Runtime)
    assert loaded.bundle.digest == Runtime.load(bundle).bundle.digest


@pytest.mark.usefixtures("tracking")
def test_a_version_of_the_first_format_is_loaded_after_newer_ones(tiny_classifier: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    with mlflow.start_run():
        flavor.log_model(write_format_1(tmp_path / "old", tiny_encoder), name="old", registered_model_name="replies")
        flavor.log_model(tiny_classifier, name="new", registered_model_name="replies")
    assert headgate.load("replies", 1).predict(["yes"]).tolist() == [LABELS[1]]
    assert headgate.load("replies", 2).predict(["stop"]).tolist() == ["unsubscribe"]


@pytest.mark.usefixtures("tracking")
def test_what_was_downloaded_lasts_as_long_as_the_model(bundle: Path) -> None:
    with mlflow.start_run():
        flavor.log_model(bundle, name="bundle", registered_model_name="replies")
    loaded = headgate.load("replies", 1)
    assert isinstance(loaded, Runtime)
    folder = loaded.bundle.path
    assert loaded.bundle.labels == ["objection/budget", "positive", "unsubscribe"]
    del loaded
    assert not folder.exists()


def test_importing_headgate_alone_loads_no_other_package() -> None:
    program = "import sys; before = set(sys.modules); import headgate; print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) - sys.stdlib_module_names == {"headgate"}


def test_a_damaged_model_is_refused_by_pyfunc_too(tiny_classifier: Path, tmp_path: Path) -> None:
    flavor.save_model(tiny_classifier, str(tmp_path / "m"))
    shutil.rmtree(tmp_path / "m" / "headgate" / "encoder")
    (tmp_path / "m" / "headgate" / "encoder").symlink_to(tiny_classifier / "encoder")
    with pytest.raises(BadInput) as fault:
        mlflow.pyfunc.load_model(str(tmp_path / "m"))
    assert str(fault.value).splitlines()[1:] == ["  encoder is a link", "  encoder/config.json is missing"]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(BadInput, match=r"is not a saved classifier: expected a readable classifier.json in it"):
        flavor.save_model(tmp_path / "other", str(tmp_path / "m"))


def test_a_frame_without_texts_is_refused(tiny_classifier: Path) -> None:
    model = flavor.TextModel(TransformerClassifier.load(tiny_classifier))
    with pytest.raises(BadInput, match="expected a column `text`, found body"):
        model.predict(pd.DataFrame({"body": ["x"]}))
    assert model.predict(["stop"])["label"].tolist() == ["unsubscribe"]
