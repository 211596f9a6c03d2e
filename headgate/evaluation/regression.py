"""The regression test: the same frozen rows through the served endpoints, measured, compared and judged."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from headgate.data.version import DataVersion
from headgate.errors import BadInput
from headgate.evaluation import pictures
from headgate.evaluation.comparison import compare
from headgate.evaluation.gates import judge, judge_alone, overall
from headgate.evaluation.metrics import measure
from headgate.evaluation.report import Comparison, Flip, Metrics, Outcome, Report, Subject
from headgate.settings import Gates

Invoke = Callable[[dict[str, Any]], dict[str, Any]]
Progress = Callable[[int, int], None]


class Prediction(BaseModel):
    """One prediction, as an endpoint answers it; fields of a newer endpoint are ignored."""

    model_config = ConfigDict(frozen=True)

    label: str | None
    score: float | None
    scores: dict[str, float] | None = None
    outcome: Outcome
    reason: str | None = None
    prediction_id: str | None = None


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
        return [Prediction.model_validate(one) for one in found]
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


def regression_test(
    subject: Subject,
    data: DataVersion,
    rows: pd.DataFrame,
    candidate: pd.DataFrame,
    settings: Gates,
    out: Path,
    champion: pd.DataFrame | None = None,
    floor: Sequence[str] | None = None,
) -> Report:
    """Measure, compare and judge what was predicted for the rows; writes report.json, predictions.parquet and pictures under `out`.

    `candidate` and `champion` come from `score_through` on the same rows; `floor` is one label a row from the linear floor, and is
    measured on the rows that the candidate labelled, so that the floor has one macro-F1 in table and gate.
    What is not a candidate (the live champion, a bundle by hand) is judged alone where there is nothing to compare it with.
    """
    _same_rows(rows, candidate, champion)
    floor_said = None if floor is None else _floor_frame(candidate, floor)
    measured = measure_frame(candidate)
    was = None if champion is None else measure_frame(champion)
    low = None if floor_said is None else measure_frame(floor_said)
    paired = _compare(candidate, champion)
    alone = subject.role != "candidate" and was is None and low is None
    gates = judge_alone(measured, settings) if alone else judge(measured, was, low, paired, settings, _compare(candidate, floor_said))
    harmful, beneficial = ((), ()) if champion is None else flips(candidate, champion)
    report = Report(
        subject=subject,
        data=data,
        candidate=measured,
        champion=was,
        floor=low,
        paired=paired,
        gates=gates,
        verdict=overall(gate.verdict for gate in gates),
        harmful=harmful,
        beneficial=beneficial,
        pictures=pictures.draw_regression(measured, was, out),
    )
    candidate.to_parquet(out / "predictions.parquet")
    (out / "report.json").write_text(report.model_dump_json(indent=1))
    return report


def measure_frame(frame: pd.DataFrame) -> Metrics:
    """Metrics of a frame of predictions."""
    scores = [None if pd.isna(score) else score for score in frame["score"]]
    return measure(list(frame["label"]), list(frame["predicted"]), list(frame["outcome"]), scores)


def flips(candidate: pd.DataFrame, champion: pd.DataFrame) -> tuple[tuple[Flip, ...], tuple[Flip, ...]]:
    """Harmful and beneficial flips among rows that both models labelled, the surest mistakes first."""
    harmful: list[Flip] = []
    beneficial: list[Flip] = []
    for new, old in zip(candidate.to_dict("records"), champion.to_dict("records"), strict=True):
        if "skipped" in (new["outcome"], old["outcome"]):
            continue
        right, was_right = new["predicted"] == new["label"], old["predicted"] == old["label"]
        if right != was_right:
            (beneficial if right else harmful).append(_flip(new, old))
    harmful.sort(key=lambda flip: -flip.candidate_score)
    beneficial.sort(key=lambda flip: -flip.champion_score)
    return tuple(harmful), tuple(beneficial)


def _flip(new: Mapping[Any, Any], old: Mapping[Any, Any]) -> Flip:
    return Flip(
        id=new["id"],
        text=new["text"],
        label=new["label"],
        champion=old["predicted"],
        champion_score=old["score"],
        candidate=new["predicted"],
        candidate_score=new["score"],
    )


def _compare(candidate: pd.DataFrame, other: pd.DataFrame | None) -> Comparison | None:
    if other is None:
        return None
    return compare(list(candidate["label"]), _labels(candidate), _labels(other))


def _labels(frame: pd.DataFrame) -> list[str | None]:
    """Predicted labels, None where the row was skipped."""
    return [None if outcome == "skipped" else label for label, outcome in zip(frame["predicted"], frame["outcome"], strict=True)]


def _floor_frame(candidate: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """The floor's labels as predictions; it skips what the candidate skips."""
    if len(labels) != len(candidate):
        raise BadInput(f"expected one label of the linear floor for each of {len(candidate)} rows, found {len(labels)}")
    skipped = Prediction(label=None, score=None, outcome="skipped")
    said = [
        skipped if outcome == "skipped" else Prediction(label=str(label), score=None, outcome="scored")
        for label, outcome in zip(labels, candidate["outcome"], strict=True)
    ]
    return predictions_frame(candidate.to_dict("records"), said)


def _same_rows(rows: pd.DataFrame, *answers: pd.DataFrame | None) -> None:
    for frame in answers:
        if frame is not None and list(frame["id"]) != list(rows["id"]):
            raise BadInput(f"expected predictions of the {len(rows)} rows in their order, found others; score all models on one frame")
