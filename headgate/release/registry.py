"""The MLflow view of releases: aliases, evidence, bundles. A candidate gets there by `registering`.

The lake's records are the truth; everything here can be repeated and finds what is there. MLflow is loaded when it is first asked, so that
a rollback need not wait for it to load.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.record import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient

EVIDENCE = "headgate.evidence"


class Registered(Record):
    """Where MLflow keeps a candidate."""

    version: str
    run_id: str


def _client() -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient()


def set_alias(model: str, alias: str, version: str) -> None:
    """Point `challenger` or `champion` at a model version."""
    _client().set_registered_model_alias(model, alias, version)


def alias_of(model: str, alias: str) -> str | None:
    """The model version that an alias points at, as MLflow says now; None if it points at none."""
    return dict(_client().get_registered_model(model).aliases).get(alias)


def drop_alias(model: str, alias: str, version: str) -> None:
    """Take an alias away if it still points at this version."""
    if alias_of(model, alias) == version:
        _client().delete_registered_model_alias(model, alias)


def log_evidence(run_id: str, folder: Path, metrics: Mapping[str, float]) -> None:
    """Keep the evidence beside the model version, and its final metrics beside the curves."""
    client = _client()
    client.log_artifacts(run_id, str(folder), "evidence")
    for name, value in metrics.items():
        client.log_metric(run_id, name, value)


def link_evidence(model: str, registered: Registered, page: str, said: str) -> None:
    """Lead from the model version and its run to the evidence page: as a tag, and as the version's description in Markdown.

    The bundle's own model card cannot say it: the bundle is addressed by its content, and its evidence comes after it.
    """
    client = _client()
    client.set_model_version_tag(model, registered.version, EVIDENCE, page)
    client.set_tag(registered.run_id, EVIDENCE, page)
    client.update_model_version(model, registered.version, f"{said}\n\n[Evidence page]({page})")


def fetch_bundle(model: str, version: str, to: Path) -> Path | None:
    """Download the bundle of a model version into `to`; None if MLflow does not have it."""
    import mlflow
    from mlflow.exceptions import MlflowException

    from headgate.model.flavor import FOLDER

    unfinished = to.with_name(f"{to.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        fetched = mlflow.artifacts.download_artifacts(f"models:/{model}/{version}", dst_path=str(unfinished))
    except MlflowException:
        return None
    (Path(fetched) / FOLDER).rename(to)
    shutil.rmtree(unfinished, ignore_errors=True)
    return to
