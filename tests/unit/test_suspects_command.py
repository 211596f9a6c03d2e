"""Suspected labels go to a file, are corrected there, and come back by the ingest."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from headgate import cli
from headgate.data.ingest import ingest
from headgate.data.landing import land
from headgate.data.rows import Annotation
from headgate.data.table import DatasetTable
from headgate.lake import Lake, open_lake
from headgate.settings import load_settings

WORDS = {"price": ["budget", "cost", "expensive", "invoice", "cheap"], "stop": ["remove", "unsubscribe", "spam", "delete", "list"]}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake with one version: 120 rows of two labels, those of r7 and r8 changed for each other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADGATE_TOML", raising=False)
    Path("headgate.toml").write_text('lake = "lake"\n[models.replies]\ndataset = "replies"\nlabels = ["price", "stop"]\n')
    load_settings.cache_clear()
    dice, names = np.random.default_rng(0), list(WORDS)
    texts = [" ".join(dice.choice(WORDS[names[n % 2]], 4)) + f" {n}" for n in range(120)]
    wrong = {7: "price", 8: "stop"}
    rows = [Annotation(id=f"r{n}", text=text, label=wrong.get(n, names[n % 2]), group_id=f"g{n}") for n, text in enumerate(texts)]
    DatasetTable(open_lake("lake"), "replies").merge(rows)
    yield open_lake("lake")
    load_settings.cache_clear()


def test_suspects_are_written_corrected_and_ingested_again(lake: Lake) -> None:
    found = CliRunner().invoke(cli.app, ["data", "suspects", "suspects.jsonl"], catch_exceptions=False)
    assert found.output == "2 of 120 rows have a suspected label; 2 written to suspects.jsonl\n"
    rows = [json.loads(line) for line in Path("suspects.jsonl").read_text().splitlines()]
    assert {(row["id"], row["label"], row["suggested_label"], row["group_id"]) for row in rows} == {
        ("r7", "price", "stop", "g7"),
        ("r8", "stop", "price", "g8"),
    }
    Path("right.jsonl").write_text("".join(json.dumps(row | {"label": row["suggested_label"]}) + "\n" for row in rows))
    land(lake, "replies", Path("right.jsonl"))
    ingest(lake, "replies", ("price", "stop"))
    now = DatasetTable(lake, "replies").load().set_index("id")["label"]
    assert (now["r7"], now["r8"]) == ("stop", "price")


def test_a_file_with_work_in_it_is_not_overwritten(lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("suspects.jsonl").write_text("half corrected")
    monkeypatch.setattr(sys, "argv", ["headgate", "data", "suspects", "suspects.jsonl"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "suspects.jsonl: expected no such file, found one; give another name" in capsys.readouterr().err
    assert Path("suspects.jsonl").read_text() == "half corrected"
