"""The flavor through a real MLflow server: logged, registered, loaded, analysed offline and served, without a pickle."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

import headgate
from headgate.data.version import DataVersion
from headgate.errors import BadBundle, BadInput, NotFound
from headgate.model import flavor
from headgate.model.classifier import TransformerClassifier
from headgate.model.pipeline import MailPipeline
from headgate.model.runtime import Message, Runtime
from headgate.release.candidate import Candidate
from headgate.release.registering import register

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # on a busy machine the imports of three servers alone take minutes

TEXTS = ["yes please", "stop", "too expensive for us"]
QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(command: list[str], url: str, log: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """A program with its children, until it answers at `url`; all of them are gone afterwards."""
    environment = {**os.environ, **QUIET, **variables, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True) as process:
        try:
            wait_for(url, process, log)
            yield url.rpartition("/")[0]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, timeout_s: float = 240) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow server")


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[str]:
    port = free_port()
    store = ["--backend-store-uri", f"sqlite:///{place / 'mlflow.db'}", "--artifacts-destination", str(place / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *store]
    with running(command, f"http://127.0.0.1:{port}/health", place / "server.log", {}) as url:
        yield url


@pytest.fixture(scope="module", autouse=True)
def registered(server: str, tiny_classifier: Path, bundle: Path) -> Iterator[None]:
    """Model `replies`: version 1 a classifier, version 2 a bundle with the alias champion."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(server)
    mlflow.set_experiment("replies")
    with mlflow.start_run():
        flavor.log_model(tiny_classifier, name="classifier", registered_model_name="replies")
        flavor.log_model(bundle, name="bundle", registered_model_name="replies")
    MlflowClient().set_registered_model_alias("replies", "champion", "2")
    yield
    mlflow.set_tracking_uri(before)


@pytest.mark.parametrize("version", [1, "1"])
def test_a_registered_classifier_is_loaded_by_its_number(version: int | str, tiny_classifier: Path) -> None:
    loaded, original = headgate.load("replies", version), TransformerClassifier.load(tiny_classifier)
    assert isinstance(loaded, TransformerClassifier)
    assert np.array_equal(loaded.predict_proba(TEXTS), original.predict_proba(TEXTS))
    assert loaded.get_params() == original.get_params()


@pytest.mark.parametrize("version", [2, "champion"])
def test_a_registered_bundle_is_loaded_by_its_number_or_alias(version: int | str, bundle: Path) -> None:
    loaded, original = headgate.load("replies", version), Runtime.load(bundle)
    assert isinstance(loaded, Runtime)
    assert loaded.bundle.digest == original.bundle.digest
    assert loaded.score([Message(text) for text in TEXTS]) == original.score([Message(text) for text in TEXTS])


def test_both_kinds_answer_the_same_call_and_a_bundle_says_what_it_skips() -> None:
    assert headgate.load("replies", 1).predict(TEXTS).tolist() == headgate.load("replies", 2).predict(TEXTS).tolist()
    assert headgate.load("replies", "champion").predict(["stop", " "]).tolist() == ["unsubscribe", None]


def test_pyfunc_answers_from_the_server_with_signature_and_example(tiny_classifier: Path) -> None:
    loaded = mlflow.pyfunc.load_model("models:/replies/1")
    assert loaded.metadata.signature == flavor.SIGNATURE
    assert loaded.input_example["text"].tolist() == flavor.EXAMPLE["text"].tolist()
    found = loaded.predict(pd.DataFrame({"text": TEXTS}))
    assert found["label"].tolist() == TransformerClassifier.load(tiny_classifier).predict(TEXTS).tolist()


@pytest.mark.parametrize("version", [1, 2])
def test_the_server_keeps_no_pickle(version: int, tmp_path: Path) -> None:
    fetched = Path(mlflow.artifacts.download_artifacts(f"models:/replies/{version}", dst_path=str(tmp_path)))
    suffixes = {file.suffix for file in fetched.rglob("*") if file.is_file()}
    assert suffixes <= {"", ".json", ".jsonl", ".md", ".onnx", ".safetensors", ".txt", ".whl", ".yaml"}


@pytest.mark.parametrize(("version", "named"), [(7, "7"), ("7", "'7'"), ("challenger", "'challenger'")])
def test_a_version_that_is_not_there_is_told_with_those_that_are(version: int | str, named: str) -> None:
    with pytest.raises(NotFound) as fault:
        headgate.load("replies", version)
    assert str(fault.value) == f"model 'replies' has no version {named}; MLflow has versions 2, 1, aliases champion (2)"


def test_a_model_that_is_not_there_is_told() -> None:
    with pytest.raises(NotFound) as fault:
        headgate.load("nothing", 1)
    assert str(fault.value) == "model 'nothing' has no version 1; MLflow has no model of that name"


def test_a_model_of_another_flavor_is_not_even_downloaded() -> None:
    with mlflow.start_run():
        pickled = {"python_model": lambda model_input: model_input, "pip_requirements": ["mlflow"]}
        mlflow.pyfunc.log_model(name="foreign", registered_model_name="foreign", **pickled)
    with pytest.raises(BadInput) as fault:
        headgate.load("foreign", 1)
    assert str(fault.value) == "models:/foreign/1 was not logged with the flavor `headgate`: it has no folder headgate/"


def test_what_was_changed_on_the_server_is_refused(place: Path, tiny_classifier: Path, bundle: Path) -> None:
    with mlflow.start_run():
        flavor.log_model(tiny_classifier, name="classifier", registered_model_name="changed")
        flavor.log_model(bundle, name="bundle", registered_model_name="changed")
    for stored in (place / "artifacts").rglob("headgate/tokenizer.json"):
        (stored.parent / "weights.pkl").write_bytes(b"\x80\x04N.")
    try:
        with pytest.raises(BadInput, match=r"1 fault\(s\):\n  weights.pkl is extra: it is not in classifier.json$"):
            headgate.load("changed", 1)
        with pytest.raises(BadBundle, match=r"1 fault\(s\):\n  weights.pkl is extra: it is not in bundle.json$"):
            headgate.load("changed", 2)
    finally:
        for added in (place / "artifacts").rglob("weights.pkl"):
            added.unlink()


def test_a_release_is_registered_with_classifier_pipeline_and_bundle_linked_to_the_one_before(
    tiny_classifier: Path, bundle: Path, tmp_path: Path
) -> None:
    trained = Path(shutil.copytree(tiny_classifier, tmp_path / "classifier"))
    (trained / "training.json").write_text('{"train_seconds": 1.0}')
    data = DataVersion(dataset="linked", version=0, digest="d" * 32, rows=12)
    candidate = Candidate(
        model="linked", key="c" * 16, data_version=data, regression_set=data, commit="c0ffee", started_by="person:ada", champion=None
    )
    digest = Runtime.load(bundle).bundle.digest
    found = register(candidate, trained, bundle, digest)
    assert register(candidate, trained, bundle, digest) == found

    tags = MlflowClient().get_model_version("linked", found.version).tags
    pipeline = MlflowClient().get_logged_model(tags["headgate.pipeline"])
    assert pipeline.tags["headgate.classifier"] == tags["headgate.classifier"]
    loaded = flavor.load_model(f"models:/{tags['headgate.pipeline']}")
    assert isinstance(loaded, MailPipeline)
    assert asdict(loaded.filter_config)["min_confidence"] == 0.0
    first = flavor.load_model(f"models:/{tags['headgate.classifier']}")
    assert loaded.predict(TEXTS).tolist() == first.predict(TEXTS).tolist() == headgate.load("linked", 1).predict(TEXTS).tolist()


@pytest.fixture(scope="module", params=[1, 2], ids=["classifier", "bundle"])
def endpoint(server: str, place: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    port = free_port()
    command = ["mlflow", "models", "serve", "-m", f"models:/replies/{request.param}", "--env-manager", "local", "--port", str(port)]
    with running(command, f"http://127.0.0.1:{port}/ping", place / f"serve{request.param}.log", {"MLFLOW_TRACKING_URI": server}) as url:
        yield url


def test_mlflow_serves_a_registered_version(endpoint: str) -> None:
    def ask(body: dict[str, Any]) -> list[dict[str, Any]]:
        answer = httpx.post(f"{endpoint}/invocations", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["predictions"])

    expected = headgate.load("replies", 1).predict(TEXTS).tolist()
    answers = ask({"dataframe_split": {"columns": ["text"], "data": [[text] for text in TEXTS]}})
    assert [answer["label"] for answer in answers] == expected
    assert all(0 < answer["score"] <= 1 for answer in answers)
    for body in ({"inputs": TEXTS}, {"inputs": {"text": TEXTS}}, {"dataframe_records": [{"text": text} for text in TEXTS]}):
        assert ask(body) == answers


def test_a_text_that_a_bundle_skips_is_null_in_the_answer(endpoint: str, request: pytest.FixtureRequest) -> None:
    answer = httpx.post(f"{endpoint}/invocations", json={"inputs": ["stop", " "]}, timeout=60).json()["predictions"]
    skipped = {"label": None, "score": None}
    assert [found == skipped for found in answer] == [False, request.node.callspec.id == "bundle"]


def test_mlflow_serving_refuses_a_request_without_texts(endpoint: str) -> None:
    answer = httpx.post(f"{endpoint}/invocations", json={"dataframe_split": {"columns": ["body"], "data": [["x"]]}}, timeout=60)
    assert answer.status_code == 400
    assert "text" in answer.text
