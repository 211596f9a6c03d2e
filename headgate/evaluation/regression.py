"""The regression test: the same frozen rows through the served endpoints, measured, compared and judged."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from headgate.data.version import DataVersion
from headgate.errors import BadInput
from headgate.evaluation import pictures
from headgate.evaluation.comparison import compare
from headgate.evaluation.gates import judge, judge_alone, overall
from headgate.evaluation.metrics import measure
from headgate.evaluation.report import Comparison, Flip, Metrics, Report, Subject
from headgate.evaluation.scoring import Prediction, predictions_frame
from headgate.settings import Gates


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
