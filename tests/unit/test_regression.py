"""Scoring through an endpoint, and the report that comes of it."""

from pathlib import Path
from typing import Any

import made_up_evidence
import pandas as pd
import pytest

from headgate.data.version import DataVersion
from headgate.errors import BadInput
from headgate.evaluation.regression import regression_test
from headgate.evaluation.report import Behaviour, Report, Subject
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
    read = Report.model_validate_json((tmp_path / "report.json").read_bytes())
    assert (read.candidate, read.gates, read.harmful) == (report.candidate, report.gates, report.harmful)
    assert all((tmp_path / name).is_file() for name in report.pictures)
    assert pd.read_parquet(tmp_path / "predictions.parquet")["predicted"].isna().sum() == 6


def report_of(tmp_path: Path, champion_says: str, settings: Gates, behaviours: tuple[Behaviour, ...] = ()) -> Report:
    """120 rows from two sources, all of them positive; the candidate is wrong on 12 of the 30 from chat."""
    rows = pd.DataFrame({"id": [f"{i}" for i in range(120)], "text": "yes", "label": "positive", "source": ["chat"] * 30 + ["mail"] * 90})
    said = rows[["id", "text", "label"]].assign(predicted="positive", score=0.9, outcome="scored", reason=None, prediction_id="p")
    candidate = said.assign(predicted=["other"] * 12 + ["positive"] * 108)
    data, subject = DataVersion(dataset="d", version=0, digest="00", rows=120), Subject(role="candidate", model="m", bundle_digest="b")
    was = said.assign(predicted=champion_says)
    return regression_test(subject, data, rows, candidate, settings, tmp_path, champion=was, floor=["other"] * 120, behaviours=behaviours)


def test_slices_behaviours_and_the_floor_are_in_the_report_and_among_its_gates(tmp_path: Path) -> None:
    fell = Behaviour(name="a typo", kind="invariance", rows=10, fell=2, champion_fell=0, tolerance=0.1, verdict="failed")
    report = report_of(tmp_path, "positive", Gates(slices=("source",)), (fell,))
    assert Report.model_validate_json((tmp_path / "report.json").read_bytes()) == report
    assert report.paired is not None
    assert [(one.value, one.rows, one.harmful, one.verdict) for one in report.paired.slices] == [
        ("chat", 30, 12, "failed"),
        ("mail", 90, 0, "passed"),
    ]
    assert report.paired_floor is not None
    assert [(one.label, one.recall.champion, one.verdict) for one in report.paired_floor.labels] == [("positive", 0.0, "passed")]
    verdicts = {gate.name: gate.verdict for gate in report.gates}
    assert verdicts["slice_accuracy_against_champion"] == verdicts["behaviour"] == "failed"
    assert verdicts["beats_linear_floor"] == "passed"


def test_a_champion_that_is_as_wrong_loses_no_slice(tmp_path: Path) -> None:
    report = report_of(tmp_path, "other", Gates(slices=("source",)))
    verdicts = {gate.name: gate.verdict for gate in report.gates}
    assert verdicts["slice_accuracy_against_champion"] == verdicts["accuracy_against_champion"] == "passed"


def test_a_slice_that_the_rows_lack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^gates.slices: expected columns of the regression rows \(.*\), found 'region'$"):
        report_of(tmp_path, "positive", Gates(slices=("region",)))


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
