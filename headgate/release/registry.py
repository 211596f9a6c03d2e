"""The MLflow view of a candidate: one run, its classifier, pipeline and bundle, one model version, two aliases.

The lake's records are the truth; everything here can be repeated and finds what is there.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models.model import ModelInfo

from headgate.model import curves, flavor
from headgate.model.bundle import open_bundle
from headgate.model.filters import FilterConfig
from headgate.model.saved import read_record
from headgate.model.saved_pipeline import save_pipeline
from headgate.record import Record
from headgate.release.candidate import Candidate

CANDIDATE, BUNDLE = "headgate.candidate", "headgate.bundle_digest"
EVIDENCE = "headgate.evidence"
CLASSIFIER, PIPELINE = "headgate.classifier", "headgate.pipeline"


class Registered(Record):
    """Where MLflow keeps a candidate."""

    version: str
    run_id: str


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


def set_alias(model: str, alias: str, version: str) -> None:
    """Point `challenger` or `champion` at a model version."""
    MlflowClient().set_registered_model_alias(model, alias, version)


def alias_of(model: str, alias: str) -> str | None:
    """The model version that an alias points at, as MLflow says now; None if it points at none."""
    return dict(MlflowClient().get_registered_model(model).aliases).get(alias)


def drop_alias(model: str, alias: str, version: str) -> None:
    """Take an alias away if it still points at this version."""
    if alias_of(model, alias) == version:
        MlflowClient().delete_registered_model_alias(model, alias)


def log_evidence(run_id: str, folder: Path, metrics: Mapping[str, float]) -> None:
    """Keep the evidence beside the model version, and its final metrics beside the curves."""
    client = MlflowClient()
    client.log_artifacts(run_id, str(folder), "evidence")
    for name, value in metrics.items():
        client.log_metric(run_id, name, value)


def link_evidence(model: str, registered: Registered, page: str, said: str) -> None:
    """Lead from the model version and its run to the evidence page: as a tag, and as the version's description in Markdown.

    The bundle's own model card cannot say it: the bundle is addressed by its content, and its evidence comes after it.
    """
    client = MlflowClient()
    client.set_model_version_tag(model, registered.version, EVIDENCE, page)
    client.set_tag(registered.run_id, EVIDENCE, page)
    client.update_model_version(model, registered.version, f"{said}\n\n[Evidence page]({page})")


def fetch_bundle(model: str, version: str, to: Path) -> Path | None:
    """Download the bundle of a model version into `to`; None if MLflow does not have it."""
    unfinished = to.with_name(f"{to.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        fetched = mlflow.artifacts.download_artifacts(f"models:/{model}/{version}", dst_path=str(unfinished))
    except MlflowException:
        return None
    (Path(fetched) / flavor.FOLDER).rename(to)
    shutil.rmtree(unfinished, ignore_errors=True)
    return to
