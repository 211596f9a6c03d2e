"""`headgate feedback` and `headgate queue` on a lake without a stack."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from made_up_predictions import corrected, predicted
from typer.testing import CliRunner

from headgate.cli import app
from headgate.lake import Lake, open_lake
from headgate.settings import load_settings

SETTINGS = """
lake = "lake"
[models.replies]
dataset = "replies"
labels = ["positive", "objection", "other"]
[models.replies.feedback]
max_per_annotator_per_day = 1
"""


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    (tmp_path / "headgate.toml").write_text(SETTINGS)
    load_settings.cache_clear()
    return open_lake("lake")


def said(*arguments: str) -> str:
    found = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def test_a_product_adds_a_file_and_a_person_releases_what_was_held(lake: Lake, tmp_path: Path) -> None:
    noon = datetime.now(UTC).replace(hour=0, minute=0) - timedelta(days=1)
    names = predicted(lake, "one", "two", at=noon)
    lines = "".join(f"{name},positive,ada\n" for name in names)
    (tmp_path / "crm.csv").write_text(f"prediction_id,label,annotator\n{lines}nonsense,positive,ada\n")
    assert said("feedback", "list") == "replies: no corrections yet\n"
    assert "the next `watch_production` reads it" in said("feedback", "add", "crm.csv")
    assert "as before" in said("feedback", "add", "crm.csv")
    assert said("feedback", "collect").splitlines() == [
        "replies: 1 correction(s) landed in replies (positive 1)",
        "1 held (ada: more than 1 of one day 1)",
        "1 held in all; look with `headgate feedback list --state held`, land with `headgate feedback release`",
        "1 refused: unreadable: prediction_id: expected the id of an answer, found 'nonsense'",
        "queue: 2 answer(s) read, 0 text(s) added, 0 annotated meanwhile",
    ]
    held = said("feedback", "list", "--state", "held").splitlines()
    assert [line.split("  ")[2].rpartition(" ")[0] for line in held[1:]] == ["ada: positive for"]
    assert said("feedback", "release", "--annotator", "ada").startswith("landed in landing/replies/")
    assert said("feedback", "list", "--state", "held") == "replies: no corrections held yet\n"


def test_the_queue_is_listed_and_given_out_once(lake: Lake, tmp_path: Path) -> None:
    predicted(lake, "hm", score=0.2, at=datetime.now(UTC))
    predicted(lake, "odd", outcome="abstained", reason="out_of_scope", at=datetime.now(UTC))
    corrected(lake, at=datetime.now(UTC))
    said("feedback", "collect")
    listed = said("queue", "list").splitlines()
    assert listed[0] == "replies: 2 open, 0 exported, 0 annotated"
    assert {line.strip() for line in listed[1:3]} == {"1  low_confidence", "1  out_of_scope"}
    assert "2 text(s) given out" in said("queue", "export", "--format", "label-studio", "--out", "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert {task["data"]["text"] for task in tasks} == {"hm", "odd"}
    assert json.loads(said("queue", "show", tasks[0]["data"]["id"]))["state"] == "exported"
    assert "0 text(s) given out" in said("queue", "export")
    assert len([line for line in said("queue", "export", "--again-after-days", "0").splitlines() if line.startswith("{")]) == 2


def test_a_file_that_is_there_is_not_written_over(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks.json").write_text("work of a day")
    found = CliRunner().invoke(app, ["queue", "export", "--out", "tasks.json"])
    assert str(found.exception) == "expected a new file for --out, found tasks.json there already; give another name"
    assert (tmp_path / "tasks.json").read_text() == "work of a day"
