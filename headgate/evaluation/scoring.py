"""Rows through an endpoint, and what it predicted for them."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from headgate.errors import BadInput
from headgate.evaluation.report import Outcome

Invoke = Callable[[dict[str, Any]], dict[str, Any]]
Progress = Callable[[int, int], None]


class Prediction(BaseModel):
    """One prediction, as an endpoint answers it; fields of a newer endpoint are ignored."""

    model_config = ConfigDict(frozen=True)

    label: str | None
    score: float | None
    outcome: Outcome
    reason: str | None = None
    prediction_id: str | None = None


_predictions = TypeAdapter(list[Prediction])


def score_through(invoke: Invoke, frame: pd.DataFrame, batch: int = 32, progress: Progress | None = None) -> pd.DataFrame:
    """Score every row through an endpoint; returns id, text, label and predicted, score, outcome, reason, prediction_id.

    `invoke` posts one body and returns the answer, with the cache off. `progress` gets rows done and rows in all after each batch.
    """
    rows = frame.to_dict("records")
    predictions: list[Prediction] = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        predictions += read_predictions(invoke({"instances": [instance(row) for row in part]}), len(part))
        if progress:
            progress(len(predictions), len(rows))
    return predictions_frame(rows, predictions)


def instance(row: Mapping[Any, Any]) -> dict[str, Any]:
    """What is posted for one row: its text, and its headers where it has some (a mapping, or JSON of one)."""
    headers = row.get("headers")
    if isinstance(headers, str) and headers:
        headers = json.loads(headers)
    return {"text": row["text"], "headers": headers} if isinstance(headers, Mapping) and headers else {"text": row["text"]}


def read_predictions(answer: Mapping[str, Any], expected: int) -> list[Prediction]:
    """The predictions in an endpoint's answer; BadInput if there is not exactly one a row."""
    found = answer.get("predictions")
    if not isinstance(found, list) or len(found) != expected:
        count = len(found) if isinstance(found, list) else "none"
        raise BadInput(f"expected {expected} predictions from the endpoint, found {count}; does the URL belong to a Headgate endpoint?")
    try:
        return _predictions.validate_python(found)
    except ValidationError as fault:
        raise BadInput(f"the endpoint's predictions are not as expected: {fault}") from None


def predictions_frame(rows: Sequence[Mapping[Any, Any]], predictions: Sequence[Prediction]) -> pd.DataFrame:
    """Rows beside what was predicted for them, in the same order; None where there is no label, score or reason."""
    columns = ("id", "text", "label", "predicted", "score", "outcome", "reason", "prediction_id")
    lines = [
        (row["id"], row["text"], row["label"], p.label, p.score, p.outcome, p.reason, p.prediction_id)
        for row, p in zip(rows, predictions, strict=True)
    ]
    return pd.DataFrame(lines, columns=list(columns), dtype=object)
