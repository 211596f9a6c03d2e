"""watch_production: corrections land, the ingest hears of it, drift is told, and the queue is filled, each once."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from made_up_release import RELEASE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

import tasks.announcing
from flows.watch import watch_production
from headgate.data.landing import landed
from headgate.data.queue import Queue
from headgate.lake import Lake, open_lake
from headgate.monitoring.prediction_log import LATE
from headgate.monitoring.watch_records import status_of
from headgate.release.champion import crown
from headgate.release.record import save_release
from headgate.serving.identifiers import PredictionIds
from headgate.settings import load_settings

SETTINGS = """
home = "home"
lake = "lake"
[models.replies]
dataset = "replies"
labels = ["positive", "other"]
"""
WATCH = """
[models.replies.watch]
window_hours = 4
min_history_windows = 4
min_answers = 50
reference_days = 2
embed_per_look = 0
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


def test_drift_is_shown_told_once_as_an_event_and_its_texts_are_queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    (tmp_path / "headgate.toml").write_text(SETTINGS + WATCH)
    load_settings.cache_clear()
    lake, now = open_lake("lake"), datetime.now(UTC)
    release = save_release(lake, RELEASE)
    crown(lake, "replies", "production", release, None, now - timedelta(days=9))
    for back in range(24, 0, -1):
        at = (now - LATE).replace(minute=0, second=0, microsecond=0) - timedelta(hours=back)
        ship_hour(lake, release, at, long=0.8 if back <= 4 else 0.2)

    assert watch_production() == {"replies": 0}
    assert watch_production() == {"replies": 0}
    with get_client(sync_client=True) as api:
        found = [
            artifact.data for artifact in api.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["watch-replies"])))
        ]
        events = written_events(api, "headgate.monitoring.alarm")
    assert [event["payload"]["model"] for event in events] == ["replies"], "the second run has nothing new to tell"
    assert list(events[0]["payload"]["reasons"]) == ["characters", "language"], "short texts have no sure language"
    assert len(found) == 2
    assert "**characters**: texts of" in str(found[0])
    page = lake.read("watching/replies/report/index.html").decode()
    assert "drifted" in page
    assert str(status_of(lake, "replies")).split(": ")[1].startswith("ALARM (characters, language)")
    queue = Queue(lake, "replies").rows("open")
    assert len(queue) > 20
    assert {row.reason for row in queue} == {"drifted_slice"}
    assert all(row.text.startswith("Thank you") for row in queue)
    assert len(queue) <= 32 * 4, "none from before the window"
    load_settings.cache_clear()


def written_events(api: Any, name: str) -> list[dict[str, Any]]:
    """The events of a name; the server takes them at once and writes them a moment later."""
    deadline, events = time.monotonic() + 30, []
    while not events and time.monotonic() < deadline:
        events = api.request("POST", "/events/filter", json={"filter": {"event": {"name": [name]}}}).json()["events"]
        time.sleep(0.05)
    return events


def ship_hour(lake: Lake, release: str, at: datetime, long: float) -> None:
    """Forty answers of an hour, so large a share of them to long texts."""
    lines = []
    for number in range(40):
        ids = PredictionIds("0123456789abcdef").fresh(int((at + timedelta(seconds=number)).timestamp() * 1_000) * 1_000_000).decode()
        text = f"{'Thank you for the offer. ' * 12 if number < 40 * long else 'Yes, call me'} {at.hour} {number + 10}"
        same = {"model": "replies", "release": release, "cohort": "champion", "label": "other", "outcome": "scored", "score": 0.9}
        lines.append(same | {"prediction_id": ids, "text": text})
    data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
    lake.put_if_absent(f"predictions/replies/date={at:%Y-%m-%d}/predictions-{at:%Y%m%d}-{ids[9:]}/{0:015d}.jsonl", data)
