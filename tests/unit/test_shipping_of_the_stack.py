"""What the endpoints of this machine log reaches the lake, but for staging, whose texts are those of the regression test."""

from pathlib import Path

import pytest
from made_up_predictions import NOW, identifier

from headgate.lake import open_lake
from headgate.settings import Settings
from stack.shipping import ship_all


def logged(home: Path, endpoint: str, release: str, name: str, folder: str = "") -> None:
    logs = home / "predictions" / endpoint / release / folder
    logs.mkdir(parents=True)
    (logs / name).write_text('{"prediction_id":"p","model":"replies"}\n')


def test_every_endpoint_but_staging_is_shipped_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "none.toml"))
    settings = Settings.model_validate({"home": tmp_path, "lake": str(tmp_path / "lake"), "models": {"replies": {"dataset": "replies"}}})
    ulid = identifier(NOW)[9:]
    logged(tmp_path, "replies-production", "r1", f"predictions-20260504-{ulid}.jsonl")
    logged(tmp_path, "replies-production", "r2", f"feedback-20260504-{ulid}.jsonl", "feedback")
    logged(tmp_path, "replies-staging", "r1", f"predictions-20260504-{identifier(NOW)[9:]}.jsonl")
    logged(tmp_path, "replies-staging-sanity-0a1b2c3d", "r1", f"predictions-20260504-{identifier(NOW)[9:]}.jsonl")
    assert ship_all(settings).parts == 2
    assert ship_all(settings).parts == 0
    lake = open_lake(settings.lake)
    assert lake.keys("predictions") == [f"predictions/replies/date=2026-05-04/predictions-20260504-{ulid}/000000000000000.jsonl"]
    assert len(lake.keys("feedback/replies")) == 1
