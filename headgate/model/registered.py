"""Loading a registered model version for offline analysis: found by number or alias, checked before it is downloaded."""

import shutil
import tempfile
import weakref
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.exceptions import MlflowException

from headgate.errors import BadInput, NotFound
from headgate.model.artifact import MAX_BYTES, MAX_ENTRIES
from headgate.model.flavor import FOLDER, Loaded, load_folder


def load_version(model: str, version: int | str) -> Loaded:
    """The classifier, the pipeline, or the runtime of the bundle, that is a model's version; its files last as long as it does.

    Raises NotFound with the versions there are, BadInput or BadBundle where its artifact is not safe or not whole.
    """
    if not mlflow.is_tracking_uri_set():  # MLflow would make a database of its own in the working directory
        raise BadInput("expected MLFLOW_TRACKING_URI, found none; that of the local stack is told by `headgate status`")
    uri = f"models:/{model}/{_number(model, version)}/{FOLDER}"
    _check_size(uri)
    folder = Path(tempfile.mkdtemp(prefix="headgate-"))
    try:
        found = load_folder(_fetch(uri, folder))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
    return found


def _number(model: str, version: int | str) -> str:
    client = MlflowClient()
    try:
        if str(version).isdecimal():
            return str(client.get_model_version(model, str(version)).version)
        return str(client.get_model_version_by_alias(model, str(version)).version)
    except MlflowException as fault:
        if fault.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
    raise NotFound(f"model {model!r} has no version {version!r}; MLflow has {_known(client, model)}")


def _known(client: MlflowClient, model: str) -> str:
    try:
        aliases = dict(client.get_registered_model(model).aliases)
        numbers = sorted((int(found.version) for found in client.search_model_versions(f"name = '{model}'")), reverse=True)
    except MlflowException:
        return "no model of that name"
    named = [f"{alias} ({number})" for alias, number in sorted(aliases.items())]
    return f"versions {', '.join(map(str, numbers)) or 'none'}, aliases {', '.join(named) or 'none'}"


def _check_size(uri: str) -> None:
    """BadInput where a version is none of headgate's or too large; what was logged says so before it is fetched."""
    total, entries, waiting = 0, 0, [uri]
    while waiting:
        for found in list_artifacts(artifact_uri=waiting.pop()):
            entries, total = entries + 1, total + (found.file_size or 0)
            if entries > MAX_ENTRIES or total > MAX_BYTES:
                raise BadInput(f"{uri}: expected at most {MAX_ENTRIES:,} files and {MAX_BYTES:,} bytes, found more")
            if found.is_dir:
                waiting.append(f"{uri.removesuffix(FOLDER)}{found.path}")
    if not entries:
        raise BadInput(f"{uri.removesuffix('/' + FOLDER)} was not logged with the flavor `headgate`: it has no folder {FOLDER}/")


def _fetch(uri: str, to: Path) -> Path:
    try:
        return Path(download_artifacts(artifact_uri=uri, dst_path=str(to)))
    except OSError as fault:
        raise BadInput(f"{uri}: expected plain files, found others: {fault}") from None
