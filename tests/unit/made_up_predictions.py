"""A lake with shipped predictions and corrections, as the server and the shipper write them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from headgate.lake import Lake
from headgate.serving.identifiers import PredictionIds

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MODEL = "replies"
_ids = PredictionIds("0123456789abcdef")


def identifier(at: datetime = NOW) -> str:
    return _ids.fresh(int(at.timestamp() * 1_000) * 1_000_000).decode()


def predicted(lake: Lake, *texts: str, at: datetime = NOW - timedelta(hours=1), **fields: Any) -> list[str]:
    """The ids of shipped predictions of these texts."""
    names = [identifier(at) for _ in texts]
    same = {
        "ts": at.isoformat(),
        "model": MODEL,
        "release": "r1",
        "cohort": "champion",
        "label": "other",
        "score": 0.9,
        "outcome": "scored",
    }
    lines = [same | {"prediction_id": name, "reason": None, "text": text} | fields for name, text in zip(names, texts, strict=True)]
    ship(lake, "predictions", at, lines)
    return names


def corrected(lake: Lake, *corrections: tuple[str, str, str], at: datetime = NOW - timedelta(minutes=30)) -> None:
    """Ship corrections of the form (prediction id, label, annotator)."""
    lines = [{"ts": at.isoformat(), "prediction_id": name, "label": label, "annotator": who} for name, label, who in corrections]
    ship(lake, "feedback", at, lines)


def ship(lake: Lake, kind: str, at: datetime, lines: list[dict[str, Any]]) -> None:
    data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
    file = f"{kind}-{at:%Y%m%d}-{identifier(at)[9:]}"
    assert lake.put_if_absent(f"{kind}/{MODEL}/date={at:%Y-%m-%d}/{file}/{0:015d}.jsonl", data)
