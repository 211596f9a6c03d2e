"""The regression test: the same frozen rows through the served endpoints, measured, compared and judged."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from headgate.data.version import DataVersion
from headgate.errors import BadInput
from headgate.evaluation import pictures
from headgate.evaluation.comparison import compare
from headgate.evaluation.gates import judge, judge_alone, judge_behaviours, judged, overall
from headgate.evaluation.metrics import measure
from headgate.evaluation.report import Behaviour, Comparison, Flip, Metrics, Report, Subject
from headgate.evaluation.slices import slice_columns
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
    behaviours: Sequence[Behaviour] = (),
) -> Report:
    """Measure, compare and judge what was predicted for the rows; writes report.json, predictions.parquet and pictures under `out`.

    `candidate` and `champion` come from `score_through` on the same rows; `floor` is one label a row from the linear floor, and is
    measured on the rows that the candidate labelled, so that the floor has one macro-F1 in table and gate.
    `behaviours` come from `headgate.evaluation.behaviour.measure_behaviours`. Slices are those of the settings.
    What is not a candidate (the live champion, a bundle by hand) is judged alone where there is nothing to compare it with.
    """
    _same_rows(rows, candidate, champion)
    floor_said = None if floor is None else _floor_frame(candidate, floor)
    measured = measure_frame(candidate)
    was = None if champion is None else measure_frame(champion)
    low = None if floor_said is None else measure_frame(floor_said)
    slices = slice_columns(rows, settings.slices)
    paired, paired_floor = (_compare(candidate, other, settings, slices) for other in (champion, floor_said))
    if subject.role != "candidate" and was is None and low is None:
        gates = (*judge_alone(measured, settings), *([judge_behaviours(behaviours)] if behaviours else []))
    else:
        gates = judge(measured, was, low, paired, settings, paired_floor, behaviours)
    harmful, beneficial = ((), ()) if champion is None else flips(candidate, champion)
    report = Report(
        subject=subject,
        data=data,
        candidate=measured,
        champion=was,
        floor=low,
        paired=paired,
        paired_floor=paired_floor,
        behaviours=tuple(behaviours),
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
    scores = frame["score"].astype(object).where(frame["score"].notna(), None)
    return measure(frame["label"].tolist(), frame["predicted"].tolist(), frame["outcome"].tolist(), scores.tolist())


def flips(candidate: pd.DataFrame, champion: pd.DataFrame) -> tuple[tuple[Flip, ...], tuple[Flip, ...]]:
    """Harmful and beneficial flips among rows that both models labelled, the surest mistakes first."""
    labelled = (candidate["outcome"].ne("skipped").to_numpy()) & (champion["outcome"].ne("skipped").to_numpy())
    truth = candidate["label"].to_numpy()
    right, was_right = (labelled & (frame["predicted"].to_numpy() == truth) for frame in (candidate, champion))
    return (
        _flips(candidate, champion, labelled & was_right & ~right, "candidate_score"),
        _flips(candidate, champion, labelled & right & ~was_right, "champion_score"),
    )


def _flips(candidate: pd.DataFrame, champion: pd.DataFrame, which: "np.ndarray", by: str) -> tuple[Flip, ...]:
    """The flips among some rows, the largest score of the model that is wrong first."""
    new, old = candidate.loc[which, ["id", "text", "label", "predicted", "score"]], champion.loc[which, ["predicted", "score"]]
    columns = new.rename(columns={"predicted": "candidate", "score": "candidate_score"}).assign(
        champion=old["predicted"].to_numpy(), champion_score=old["score"].to_numpy()
    )
    ordered = columns.sort_values(by, ascending=False, kind="stable", key=lambda scores: scores.astype(float))
    return tuple(Flip.model_validate(row) for row in ordered.to_dict("records"))


def _compare(
    candidate: pd.DataFrame, other: pd.DataFrame | None, settings: Gates, slices: tuple[Mapping[str, Sequence[str]], tuple[str, ...]]
) -> Comparison | None:
    """The comparison with another model, judged; None if there is none, or no row that both labelled."""
    if other is None:
        return None
    columns, left_out = slices
    paired = compare(candidate["label"].tolist(), _labels(candidate), _labels(other), columns=columns)
    return paired and judged(paired.model_copy(update={"slices_left_out": left_out}), settings)


def _labels(frame: pd.DataFrame) -> list[str | None]:
    """Predicted labels, None where the row was skipped."""
    return frame["predicted"].where(frame["outcome"].ne("skipped"), None).tolist()


def _floor_frame(candidate: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """The floor's labels as predictions; it skips what the candidate skips."""
    if len(labels) != len(candidate):
        raise BadInput(f"expected one label of the linear floor for each of {len(candidate)} rows, found {len(labels)}")
    skipped = candidate["outcome"].eq("skipped").to_numpy()
    said = np.array([str(label) for label in labels], dtype=object)
    said[skipped] = None
    return candidate[["id", "text", "label"]].assign(
        predicted=said, score=None, outcome=np.where(skipped, "skipped", "scored"), reason=None, prediction_id=None
    )


def _same_rows(rows: pd.DataFrame, *answers: pd.DataFrame | None) -> None:
    for frame in answers:
        if frame is not None and list(frame["id"]) != list(rows["id"]):
            raise BadInput(f"expected predictions of the {len(rows)} rows in their order, found others; score all models on one frame")
