"""The model version in MLflow leads to its evidence page."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from headgate.release.registry import Registered, link_evidence


@pytest.fixture
def client(tmp_path: Path) -> Iterator[MlflowClient]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    yield MlflowClient()
    mlflow.set_tracking_uri(before)


def test_version_and_run_lead_to_the_page_and_linking_can_be_repeated(client: MlflowClient, tmp_path: Path) -> None:
    run = client.create_run(client.create_experiment("replies", artifact_location=tmp_path.as_uri()))
    client.create_registered_model("replies")
    version = client.create_model_version("replies", source=tmp_path.as_uri(), run_id=run.info.run_id)
    registered = Registered(version=str(version.version), run_id=run.info.run_id)
    for _ in range(2):
        link_evidence("replies", registered, "http://gateway/page", "Evidence: passed. All 12 gates passed.")
    found = client.get_model_version("replies", registered.version)
    assert found.description == "Evidence: passed. All 12 gates passed.\n\n[Evidence page](http://gateway/page)"
    assert found.tags["headgate.evidence"] == "http://gateway/page"
    assert client.get_run(run.info.run_id).data.tags["headgate.evidence"] == "http://gateway/page"
