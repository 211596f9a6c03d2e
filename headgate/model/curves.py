"""Training curves in MLflow: what a fit did, logged to the run that is active; nothing is written where none is.

    with mlflow.start_run():
        classifier = TransformerClassifier().fit(texts, labels)
        curves.log_training(classifier)

`headgate train` does this by itself under `mlflow run`, or where MLFLOW_RUN_ID names a run; the flow does it for each candidate.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from headgate.model.classifier import TransformerClassifier

RUN_ID = "MLFLOW_RUN_ID"
PLACE = ("number", "epochs")  # of an epoch: where it stands, not what it measured
METRICS_AT_ONCE, PARAMS_AT_ONCE, PARAM_CHARACTERS = 900, 90, 5_000  # MLflow refuses 1000, 100 and 6000
WHY = "headgate.choice"


def active_run() -> str | None:
    """Id of this process's active MLflow run, else the one that MLFLOW_RUN_ID names, else None."""
    if "mlflow" in sys.modules:
        import mlflow

        if run := mlflow.active_run():
            return str(run.info.run_id)
    return os.environ.get(RUN_ID)


def log_training(
    trained: "TransformerClassifier | Mapping[str, Any]", metrics: Mapping[str, Any] | None = None, run_id: str | None = None
) -> str | None:
    """Log curves, parameters, choice, calibration and final metrics to a run, the active one by default; returns its id, None without one.

    trained: a fitted classifier, or classifier.json as `saved.read_record` gives it. metrics: metrics.json of `headgate train`.
    A parameter that the run has already stays as it is, since MLflow's parameters never change.
    """
    if (run_id := run_id or active_run()) is None:
        return None
    from mlflow import MlflowClient

    client, record = MlflowClient(), _record(trained)
    _log_curves(client, run_id, record["history"])
    _log_values(client, run_id, _calibration(record) | flat(metrics or {}))
    _log_parameters(client, run_id, record["parameters"] | _chosen(record))
    if why := (record.get("choice") or {}).get("why"):
        client.set_tag(run_id, WHY, why)
    return run_id


def flat(metrics: Mapping[str, Any], of: str = "") -> dict[str, float]:
    """The numbers of a nested mapping as MLflow's names: `{"linear_floor": {"accuracy": 0.9}}` gives `linear_floor.accuracy`."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{of}{name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[f"{of}{name}"] = float(value)
    return found


def _record(trained: "TransformerClassifier | Mapping[str, Any]") -> Mapping[str, Any]:
    if isinstance(trained, Mapping):
        return trained
    return {
        "parameters": trained.get_params(),
        "history": [asdict(epoch) for epoch in trained.history_],
        "temperature": trained.temperature_,
        "choice": trained.choice_,
        "validation": trained.validation_,
    }


def _log_curves(client: "MlflowClient", run_id: str, history: Sequence[Mapping[str, Any]]) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    points = [
        Metric(name, float(value), now, epoch["number"])
        for epoch in history
        for name, value in epoch.items()
        if name not in PLACE and value is not None
    ]
    for part in _parts(points, METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=part)


def _log_values(client: "MlflowClient", run_id: str, values: Mapping[str, float]) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    for part in _parts([Metric(name, value, now, 0) for name, value in values.items()], METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=part)


def _log_parameters(client: "MlflowClient", run_id: str, parameters: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    known = client.get_run(run_id).data.params
    fresh = [Param(name, _told(name, value)) for name, value in parameters.items() if name not in known]
    for part in _parts(fresh, PARAMS_AT_ONCE):
        client.log_batch(run_id, params=part)


def _told(name: str, value: Any) -> str:
    if value is None:
        return "auto" if name == "epochs" else "none"
    return str(value)[:PARAM_CHARACTERS]


def _chosen(record: Mapping[str, Any]) -> dict[str, Any]:
    choice = record.get("choice") or {}
    return {f"chosen_{name}": value for name, value in choice.items() if name not in ("why", "candidates")}


def _calibration(record: Mapping[str, Any]) -> dict[str, float]:
    """Temperature, and the error and rows of the validation as `validation.ece_before` and the like."""
    return {"temperature": float(record["temperature"])} | flat({"validation": record.get("validation") or {}})


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
