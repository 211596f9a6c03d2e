"""A candidate in MLflow: one run with its curves, its classifier, pipeline and bundle, and one model version."""

import json
import tempfile
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.models.model import ModelInfo

from headgate.model import curves, flavor
from headgate.model.bundle import open_bundle
from headgate.model.filters import FilterConfig
from headgate.model.saved import read_record
from headgate.model.saved_pipeline import save_pipeline
from headgate.release.candidate import Candidate
from headgate.release.registry import Registered

CANDIDATE, BUNDLE = "headgate.candidate", "headgate.bundle_digest"
CLASSIFIER, PIPELINE = "headgate.classifier", "headgate.pipeline"


def register(candidate: Candidate, classifier: Path, bundle: Path, digest: str) -> Registered:
    """Log a candidate's artifacts and curves once, and return its model version."""
    client = MlflowClient()
    if known := _version_of(client, candidate.model, digest):
        return known
    mlflow.set_experiment(candidate.model)
    tags = {
        CANDIDATE: candidate.key,
        BUNDLE: digest,
        "headgate.data_version": f"{candidate.data_version.dataset}@{candidate.data_version.version}",
        "headgate.data_digest": candidate.data_version.digest,
        "headgate.commit": candidate.commit,
        "headgate.started_by": candidate.started_by,
    }
    with mlflow.start_run(run_name=candidate.key, tags=tags) as run:
        curves.log_training(read_record(classifier), _training(classifier), run.info.run_id)
        trained = flavor.log_model(classifier, name="classifier")
        filtered = _log_pipeline(classifier, bundle)
        wrapped = flavor.log_model(bundle, name="bundle", registered_model_name=candidate.model)
    links = {CLASSIFIER: trained.model_id, PIPELINE: filtered.model_id}
    client.set_logged_model_tags(filtered.model_id, {CLASSIFIER: trained.model_id})
    client.set_logged_model_tags(wrapped.model_id, links)
    version = str(wrapped.registered_model_version)
    for key, value in (tags | links).items():
        client.set_model_version_tag(candidate.model, version, key, value)
    return Registered(version=version, run_id=run.info.run_id)


def _log_pipeline(classifier: Path, bundle: Path) -> ModelInfo:
    """The classifier with the filters that the bundle has."""
    filters = FilterConfig(**open_bundle(bundle).read_json("filters.json"))
    with tempfile.TemporaryDirectory(prefix="headgate-") as folder:
        save_pipeline(classifier, filters, Path(folder) / "pipeline")
        return flavor.log_model(Path(folder) / "pipeline", name="pipeline")


def _version_of(client: MlflowClient, model: str, digest: str) -> Registered | None:
    """The finished model version of a bundle, if an earlier try made one."""
    found = client.search_model_versions(f"name = '{model}' and tag.`{BUNDLE}` = '{digest}'")
    return Registered(version=str(found[0].version), run_id=found[0].run_id) if found else None


def _training(classifier: Path) -> dict[str, Any]:
    """What the whole training took; its speed by epoch is a curve already."""
    return {"train_seconds": json.loads((classifier / "training.json").read_text())["train_seconds"]}
