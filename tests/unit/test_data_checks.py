import re
import socket
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data_checks.annotations import DataCheckReport, check_annotations
from headgate.settings import DataChecks

SETTINGS = DataChecks(min_rows_per_label=3, max_share_change=0.2, max_characters=100)


def frame(*changes: dict[str, Any], rows: int = 20) -> pd.DataFrame:
    """Rows with two labels in equal shares; each change replaces fields of one row, from the first on."""
    records = [{"id": f"r{n}", "text": f"text {n}", "label": "ab"[n % 2], "group_id": f"g{n}"} for n in range(rows)]
    return pd.DataFrame([record | (changes[n] if n < len(changes) else {}) for n, record in enumerate(records)])


def check(rows: pd.DataFrame, out: Path, previous: Any = None, regression: Any = None, labels: tuple[str, ...] = ()) -> DataCheckReport:
    return check_annotations(rows, previous, regression, SETTINGS, labels, out)


def failed(report: DataCheckReport) -> dict[str, str]:
    return {found.name: found.detail for found in report.checks if not found.passed}


def test_sound_rows_pass_every_check(tmp_path: Path) -> None:
    report = check(frame(), tmp_path, previous=frame(rows=18), regression=frame().assign(text="other", group_id="other"), labels=("a", "b"))
    assert report.passed
    assert failed(report) == {}
    assert [found.name for found in report.checks] == [
        "ids_unique",
        "text_present",
        "text_length",
        "labels_known",
        "labels_several",
        "rows_per_label",
        "labels_vanished",
        "label_shares",
        "regression_rows",
        "conflicts_rare",
        "conflicts",
        "labels_alike",
        "labels_new",
        "label_drift_overall",
        "label_errors",
        "regression_copies",
        "split_copies",
        "sensitive_data",
        "repeats_new",
        "encoding_damage",
        "label_drift",
        "language_drift",
        "length_drift",
        "label_errors_new",
        "regression_copies_new",
        "contact_data",
        "encoding_damage_new",
        "label_errors_by_label",
        "conflicts_new",
    ]


@pytest.mark.parametrize(
    ("changes", "name", "detail"),
    [
        ([{"id": "r1"}], "ids_unique", "expected every id once; found 2 of 20 row(s): id r1"),
        ([{"text": " \n"}], "text_present", "expected visible text in every row; found 1 of 20 row(s): id r0"),
        ([{"text": "x" * 101}], "text_length", "expected at most 100 characters; found 1 of 20 row(s): id r0"),
        ([{"label": "c"}], "labels_known", "expected labels among a, b; found c: 1"),
        ([{"label": "c"}], "rows_per_label", "expected at least 3 rows a label; found c: 1"),
        ([{"text": "TEXT  1"}], "conflicts_rare", "expected 99% of the rows free of conflicts; found 2 of 20 row(s): id r0, r1"),
    ],
)
def test_a_fault_of_the_rows_fails_its_check_and_the_report(tmp_path: Path, changes: list[dict[str, Any]], name: str, detail: str) -> None:
    report = check(frame(*changes), tmp_path, labels=("a", "b"))
    assert not report.passed
    assert failed(report)[name] == detail


def test_one_label_alone_is_nothing_to_learn(tmp_path: Path) -> None:
    assert failed(check(frame().assign(label="a"), tmp_path)) == {"labels_several": "expected at least 2 labels; found 1"}


def test_without_a_list_the_labels_are_those_that_are_there(tmp_path: Path) -> None:
    assert check(frame({"label": "c"}, {"label": "c"}, {"label": "c"}), tmp_path).passed


def test_a_label_that_vanished_or_exploded_fails(tmp_path: Path) -> None:
    before = frame({"label": "c"}, {"label": "c"}, {"label": "c"})
    vanished = check(frame(), tmp_path, previous=before)
    assert failed(vanished) == {"labels_vanished": "expected every label of the previous version; found none of c"}
    exploded = check(frame(*[{"label": "a"}] * 15), tmp_path, previous=frame())
    assert failed(exploded)["label_shares"] == (
        "expected no label's share of the rows moved by more than 0.2 since the previous version; found a: 0.35, b: -0.35"
    )


def test_no_row_of_the_regression_set_may_be_trained_on(tmp_path: Path) -> None:
    held_out = pd.DataFrame([{"text": "\uff34ext\t3", "group_id": "x"}, {"text": "unseen", "group_id": "g7"}])
    report = check(frame(), tmp_path, regression=held_out)
    assert not report.passed
    assert failed(report) == {"regression_rows": "expected no text or group_id of the regression set; found 2 of 20 row(s): id r3, r7"}


def test_a_few_conflicting_labels_are_a_warning(tmp_path: Path) -> None:
    report = check(frame({"text": "text 1"}, rows=400), tmp_path)
    assert report.passed
    assert failed(report) == {"conflicts": "expected one label for the same text; found 2 of 400 row(s): id r0, r1"}


def test_data_docs_are_read_from_disk_and_reach_no_other_machine(tmp_path: Path) -> None:
    report = check(frame({"text": "<b>bold</b>" * 20}), tmp_path)
    index = tmp_path / report.docs
    assert "expected at most 100 characters; found 1 of 20 row(s): id r0" in index.read_text()
    pages = list(index.parent.rglob("*.html"))
    assert len(pages) == 3
    for page in pages:
        text = page.read_text()
        assert not re.search(r"""(?:<script|<img|<link)[^>]*https?://|url\(["']?https?://|@import""", text), page
        links = [link.split("#")[0] for link in re.findall(r"""(?:href|src)=["']([^"']+)["']""", text)]
        assert [link for link in links if link and "://" not in link and not (page.parent / link).exists()] == []
    assert not list(tmp_path.rglob("*.gif"))


def test_what_strangers_wrote_is_shown_in_data_docs_and_never_runs(tmp_path: Path) -> None:
    attack = "<img src=x onerror=alert(1)>"
    report = check(frame({"id": attack, "text": attack * 9, "label": attack}), tmp_path, labels=("a", "b"))
    assert failed(report)["labels_known"] == f"expected labels among a, b; found {attack}: 1"
    assert failed(report)["text_length"] == f"expected at most 100 characters; found 1 of 20 row(s): id {attack}"
    for page in tmp_path.rglob("*.html"):
        assert "<img src=x" not in page.read_text(), page
        assert "default-src 'none'" in page.read_text(), page


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    check(frame({"id": "r1"}), tmp_path)
    report = check(frame(), tmp_path)
    assert report.passed
    assert len(list(tmp_path.rglob("validations/**/*.html"))) == 1


def test_nothing_is_reported_to_the_makers_of_great_expectations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: tried.append(address))
    check(frame(), tmp_path)
    assert tried == []
    assert "analytics_enabled: false" in next(tmp_path.rglob("great_expectations.yml")).read_text()
