from pathlib import Path

import pytest

from headgate.data.ingest import ingest, quarantined
from headgate.data.landing import land
from headgate.data.mail_folders import as_json_lines, folder_rows
from headgate.data.table import DatasetTable
from headgate.errors import BadInput
from headgate.lake import Lake

MAIL = b"From: ann@example.com\r\nMessage-ID: <m1@example.com>\r\nSubject: Re: offer\r\n\r\nToo expensive for us.\r\n"
MBOX = (
    b"From ann@example.com Mon Jan  1 00:00:00 2026\nFrom: ann@example.com\nMessage-ID: <m2@example.com>\n\nYes please\n>From now on\n\n"
    b"From bob@example.com Mon Jan  1 00:00:00 2026\nFrom: bob@example.com\n\nPlease stop\n"
)


def test_each_mail_and_each_label_is_one_row() -> None:
    labels = b"id;label;annotator\nsub/a.eml;objection;ann\n<m2@example.com>;positive;\ninbox.mbox#2;unsubscribe;\ngone.eml;other;\n"
    rows = folder_rows({"labels.csv": labels, "sub/a.eml": MAIL, "b.eml": b"From: x@example.com\n\nHello", "inbox.mbox": MBOX})
    assert [(row["id"], row.get("text"), row.get("label")) for row in rows] == [
        ("sub/a.eml", "Too expensive for us.", "objection"),
        ("<m2@example.com>", "Yes please\nFrom now on\n".strip(), "positive"),
        ("inbox.mbox#2", "Please stop", "unsubscribe"),
        ("gone.eml", None, "other"),
        ("b.eml", "Hello", None),
    ]
    assert rows[0]["annotator"] == "ann"
    assert rows[0]["headers"]["Subject"] == "Re: offer"


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (
            {"a.eml": MAIL},
            "expected a folder with .eml or mbox files and one CSV file with the columns id and label, found 1 mail(s) and no CSV file",
        ),
        (
            {"l.csv": b"id,label\n"},
            "expected a folder with .eml or mbox files and one CSV file with the columns id and label, found 0 mail(s) and l.csv",
        ),
        (
            {"a.eml": MAIL, "l.csv": b"name,intent\n"},
            "l.csv: expected a first line that names the columns id (or path) and label, found 'name,intent'",
        ),
    ],
)
def test_a_folder_without_mails_or_labels_is_refused(files: dict[str, bytes], fault: str) -> None:
    with pytest.raises(BadInput) as found:
        folder_rows(files)
    assert str(found.value) == fault


def test_a_folder_lands_once_and_is_ingested_with_its_faults_in_quarantine(folder_lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "replies-may"
    folder.mkdir()
    (folder / "a.eml").write_bytes(MAIL)
    (folder / "unlabelled.eml").write_bytes(MAIL.replace(b"expensive", b"late"))
    (folder / "labels.csv").write_text("path,label\na.eml,objection\ngone.eml,other\n")
    assert land(folder_lake, "replies", folder) == land(folder_lake, "replies", folder)
    assert ingest(folder_lake, "replies").added == 1
    assert list(DatasetTable(folder_lake, "replies").load()["id"]) == ["a.eml"]
    bad = quarantined(folder_lake, "replies")
    assert list(bad["file"]) == ["replies-may.jsonl"] * 2
    assert [reason.split(":")[0] for reason in bad["reason"]] == ["text", "label"]


def test_half_characters_in_a_mail_become_question_marks() -> None:
    assert as_json_lines([{"id": "a", "text": "x\ud800"}]) == b'{"id": "a", "text": "x?"}\n'
