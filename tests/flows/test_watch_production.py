"""watch_production: corrections land, the ingest hears of it, and the queue is filled, once."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

import tasks.announcing
from flows.watch import watch_production
from headgate.data.landing import landed
from headgate.data.queue import Queue
from headgate.lake import open_lake
from headgate.serving.identifiers import PredictionIds
from headgate.settings import load_settings

SETTINGS = """
home = "home"
lake = "lake"
[models.replies]
dataset = "replies"
labels = ["positive", "other"]
"""


def test_a_correction_lands_and_is_announced_and_an_unsure_answer_is_queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    (tmp_path / "headgate.toml").write_text(SETTINGS)
    load_settings.cache_clear()
    lake, ids, now = open_lake("lake"), PredictionIds("0123456789abcdef"), datetime.now(UTC)
    names = [ids.fresh().decode() for _ in range(2)]
    same = {"model": "replies", "release": "r1", "cohort": "champion", "label": "other", "outcome": "scored"}
    lines = [
        same | {"prediction_id": name, "text": text, "score": score} for name, text, score in zip(names, "ab", (0.9, 0.2), strict=True)
    ]
    correction = {"ts": now.isoformat(), "prediction_id": names[0], "label": "positive", "annotator": "ada"}
    for kind, found in (("predictions", lines), ("feedback", [correction])):
        data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in found).encode()
        lake.put_if_absent(f"{kind}/replies/date={now:%Y-%m-%d}/{kind}-{now:%Y%m%d}-{names[0][9:]}/{0:015d}.jsonl", data)
    told = []
    emitted = tasks.announcing.emit_confirmed
    monkeypatch.setattr(tasks.announcing, "emit_confirmed", lambda *event: told.append(event[0]) or emitted(*event))

    assert watch_production() == {"replies": 1}
    assert watch_production() == {"replies": 0}
    assert len(landed(lake, "replies")) == 1
    assert told == ["headgate.landing.arrived"]
    assert [row.text for row in Queue(lake, "replies").rows("open")] == ["b"]
    with get_client(sync_client=True) as api:
        artifacts = api.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["feedback-replies"])))
    assert len(artifacts) == 1
    assert "1 correction(s) landed in replies (positive 1)" in str(artifacts[0].data)
    load_settings.cache_clear()
