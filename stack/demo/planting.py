"""The poisoned batch: earlier replies come back with the labels of their neighbours, as from a tool that lost its place."""

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

Row = dict[str, Any]
POISONED = 240


def known_rows(*files: Path) -> list[Row]:
    """The rows as the data set has them: of one id the last one counts."""
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines() if line]
    return list({row["id"]: row for row in rows}.values())


def poisoned(rows: Sequence[Row], at: datetime, count: int = POISONED) -> list[Row]:
    """The first `count` rows whose neighbour has another label, each with that label."""
    shifted = [(row, after["label"]) for row, after in pairwise(rows) if row["label"] != after["label"]]
    return [{**row, "label": label, "annotator": "temp-17", "annotated_at": _utc(at)} for row, label in shifted[:count]]


def mended(rows: Sequence[Row], wrong: Sequence[Row], at: datetime) -> list[Row]:
    """The same rows with their right labels again, annotated later."""
    ids = {row["id"] for row in wrong}
    return [{**row, "annotator": "maya", "annotated_at": _utc(at)} for row in rows if row["id"] in ids]


def write_rows(file: Path, rows: Sequence[Row]) -> Path:
    """JSON Lines, written whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    unfinished.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    unfinished.replace(file)
    return file


def _utc(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
