"""Scoring through an endpoint, and the report that comes of it."""

from pathlib import Path
from typing import Any

import made_up_evidence
import pandas as pd
import pytest

from headgate.data.version import DataVersion
from headgate.errors import BadInput
from headgate.evaluation.regression import regression_test
from headgate.evaluation.report import Report, Subject
from headgate.evaluation.scoring import score_through
from headgate.settings import Gates

ROWS = pd.DataFrame(
    {
        "id": ["1", "2", "3"],
        "text": ["yes", "no", "I am away"],
        "label": ["positive", "objection", "other"],
        "headers": [None, {}, {"Auto-Submitted": "auto-replied"}],
    }
)


def endpoint(body: dict[str, Any]) -> dict[str, Any]:
    """Calls everything positive, and skips what has headers."""
    scored = {"label": "positive", "score": 0.9, "scores": {"positive": 0.9}, "outcome": "scored", "reason": None, "prediction_id": "p"}
    skipped = {"label": None, "score": None, "scores": None, "outcome": "skipped", "reason": "auto_reply", "prediction_id": "p"}
    return {"predictions": [skipped if "headers" in one else scored for one in body["instances"]], "model": {}}


def test_predictions_of_other_rows_are_refused(tmp_path: Path) -> None:
    found = score_through(endpoint, ROWS)
    data = DataVersion(dataset="d", version=0, digest="00", rows=3)
    with pytest.raises(BadInput, match=r"^expected predictions of the 3 rows in their order, found others"):
        regression_test(Subject(role="candidate", model="m", bundle_digest="b"), data, ROWS, found.iloc[::-1], Gates(), tmp_path)


def test_the_report_is_written_and_reads_back(tmp_path: Path) -> None:
    report = made_up_evidence.report(tmp_path)
    assert Report.model_validate_json((tmp_path / "report.json").read_bytes()) == report
    assert all((tmp_path / name).is_file() for name in report.pictures)
    assert pd.read_parquet(tmp_path / "predictions.parquet")["predicted"].isna().sum() == 6


def test_flips_are_the_rows_where_one_model_alone_is_right_surest_mistakes_first(tmp_path: Path) -> None:
    report = made_up_evidence.report(tmp_path)
    assert report.paired is not None
    assert (len(report.harmful), len(report.beneficial)) == (report.paired.harmful, report.paired.beneficial)
    assert all(flip.champion == flip.label != flip.candidate for flip in report.harmful)
    scores = [flip.candidate_score for flip in report.harmful]
    assert scores == sorted(scores, reverse=True)


def test_the_linear_floor_has_one_macro_f1_on_the_rows_that_the_candidate_labelled(tmp_path: Path) -> None:
    report = made_up_evidence.report(tmp_path, first_release=True)
    assert report.floor is not None
    assert (report.candidate.skipped, report.floor.skipped) == (6, 6)
    (gate,) = [gate for gate in report.gates if gate.name == "beats_linear_floor"]
    assert gate.expected == f"macro-F1 above the linear floor's {report.floor.macro_f1:.1%}"
    assert gate.found.startswith(f"{report.candidate.macro_f1:.1%}: +")
    assert gate.detail.endswith("in 9 of 10 such tests of 294 rows")


def test_a_floor_of_other_rows_is_refused(tmp_path: Path) -> None:
    found = score_through(endpoint, ROWS)
    data, subject = DataVersion(dataset="d", version=0, digest="00", rows=3), Subject(role="candidate", model="m", bundle_digest="b")
    with pytest.raises(BadInput, match=r"^expected one label of the linear floor for each of 3 rows, found 2$"):
        regression_test(subject, data, ROWS, found, Gates(), tmp_path, floor=["positive", "other"])


@pytest.mark.parametrize(("role", "gates"), [("champion", 3), ("bundle", 3), ("candidate", 4)])
def test_only_a_candidate_needs_something_to_compare_with(tmp_path: Path, role: Any, gates: int) -> None:
    found = score_through(endpoint, ROWS)
    data = DataVersion(dataset="d", version=0, digest="00", rows=3)
    report = regression_test(Subject(role=role, model="m", bundle_digest="b"), data, ROWS, found, Gates(), tmp_path)
    assert len(report.gates) == gates
    assert report.verdict == ("inconclusive" if role == "candidate" else "passed")
