"""`headgate test`: a bundle against a file of rows, in this process."""

from pathlib import Path

import pytest

from headgate.errors import BadInput
from headgate.evaluation import offline
from headgate.evaluation.report import Report


def test_a_bundle_is_measured_on_a_file_of_rows(bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    data.write_text("text,label\nyes please,positive\nno thanks,other\nyes please,positive\n")
    report = offline.test_bundle(bundle, data, tmp_path / "out")
    assert Report.model_validate_json((tmp_path / "out" / "report.json").read_bytes()) == report
    assert (report.subject.role, report.data.dataset, report.data.rows, report.candidate.rows) == ("bundle", "rows", 3, 3)
    assert [gate.name for gate in report.gates] == ["accuracy", "macro_f1", "coverage"]


def test_rows_that_cannot_be_tested_are_named_by_their_line(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"text": "a", "label": "x"}\n{"text": "b"}\nnot json\n')
    with pytest.raises(BadInput) as refused:
        offline.read_test_rows(data)
    first, *lines = str(refused.value).splitlines()
    assert first == "rows.jsonl: expected rows with text and label, found 2 that are not; mend or remove them:"
    assert [line[:9] for line in lines] == ["  line 2:", "  line 3:"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^expected a file of rows with text and label, found none at .*gone\.csv$"):
        offline.read_test_rows(tmp_path / "gone.csv")
