"""What the endpoints of this machine log reaches the lake, but for staging, whose texts are those of the regression test."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from made_up_predictions import NOW, identifier

import stack.shipping
from headgate.errors import Unavailable
from headgate.lake import open_lake
from headgate.settings import SageMakerRegion, Settings
from stack.shipping import collect_all, ship_all


def logged(home: Path, endpoint: str, release: str, name: str, folder: str = "") -> None:
    logs = home / "predictions" / endpoint / release / folder
    logs.mkdir(parents=True)
    (logs / name).write_text('{"prediction_id":"p","model":"replies"}\n')


def test_every_endpoint_but_staging_is_shipped_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path, monkeypatch)
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


def test_a_capture_of_sagemaker_is_kept_here_only_until_it_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path, monkeypatch)
    for place in ("region_logs", "cluster_logs"):
        folder = tmp_path / place / "replies-production" / "r1"
        folder.mkdir(parents=True)
        (folder / f"predictions-20260504-{identifier(NOW)[9:]}.jsonl").write_text('{"prediction_id":"p","model":"replies"}\n')
    (tmp_path / "region_logs" / "replies-production" / "note.json").write_text("{}")
    done = ship_all(settings)
    assert (done.parts, done.deleted) == (2, 1)
    assert [file.parts[-4] for file in tmp_path.rglob("*logs/*/*/*.jsonl")] == ["cluster_logs"]


def test_regions_are_asked_for_each_stage_there_and_one_that_does_not_answer_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    regions = {name: region(name) for name in ("us-east-1", "eu-west-1")}
    stages = [{"environment": name, "target": name} for name in regions]
    model = {"dataset": "replies", "rollout": {"stages": stages}}
    settings = settings_of(tmp_path, monkeypatch, models={"replies": model}, sagemaker=regions)
    asked: list[str] = []

    def collect(place: SageMakerRegion, endpoint: str, since: datetime, home: Path) -> None:
        assert timedelta(days=5) < datetime.now(UTC) - since < timedelta(days=7)
        assert home == tmp_path / "region_logs"
        asked.append(endpoint)
        if place.region == "us-east-1":
            raise Unavailable("nobody answers")

    monkeypatch.setattr(stack.shipping, "_collect_captures", collect)
    with caplog.at_level("WARNING"):
        collect_all(settings)
        collect_all(settings, regions=False)
    assert asked == ["replies-us-east-1", "replies-eu-west-1"]
    assert [one.getMessage() for one in caplog.records] == [
        "replies-us-east-1: what us-east-1 answered was not copied, the next look tries again: nobody answers"
    ]


def settings_of(home: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Settings:
    monkeypatch.setenv("HEADGATE_TOML", str(home / "none.toml"))
    return Settings.model_validate({"home": home, "lake": str(home / "lake"), "models": {"replies": {"dataset": "replies"}}, **more})


def region(name: str) -> dict[str, str]:
    return {
        "region": name,
        "role_arn": "arn:aws:iam::123456789012:role/headgate-endpoint",
        "repository": f"123456789012.dkr.ecr.{name}.amazonaws.com/replies",
        "captures": "s3://captures/answers",
    }
