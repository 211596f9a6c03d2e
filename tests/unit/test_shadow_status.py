"""`headgate status` while a shadow is under way."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import stack.status
from deployments.memory import MemoryTarget
from deployments.target import Mirrored, Revision, Split
from headgate.lake import FolderLake
from headgate.release.shadow_report import Answer, Pair
from headgate.settings import ModelSettings, Stage
from tasks.mirroring import Begun

PAIR = Pair(Answer("x", "a", "scored", 5.0, False), Answer("y", "a", "scored", 5.0, False))
STAGE = Stage(environment="production")


class Given:
    """Settings with one model."""

    @staticmethod
    def model(_: str) -> ModelSettings:
        return ModelSettings.model_validate(
            {"dataset": "replies", "rollout": {"shadow": {"sampling_percentage": 50, "max_duration_s": 90}}}
        )


def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *begun_s_ago: float) -> str:
    lake = FolderLake(tmp_path)
    target = MemoryTarget(mirrored=lambda _, __: Mirrored((PAIR,) * 12, errors=1, dropped=7))
    for release in ("old", "candidate-" + "c" * 16):
        target.deploy("replies-production", Revision(release=release, bundle_digest="0" * 64, bundle=release))
    status = target.set_split("replies-production", Split(shadow=50))
    for number, ago in enumerate(begun_s_ago):
        at = datetime.now(UTC) - timedelta(seconds=ago)
        lake.put_if_absent(f"candidates/replies/{'c' * 16}/shadow/run{number}/begun.json", Begun(at=at, dropped=0).to_bytes())
    monkeypatch.setattr(stack.status, "target_named", lambda _: target)
    monkeypatch.setattr(stack.status, "load_settings", lambda: Given)
    return stack.status.shadow_line(lake, "replies", STAGE, status)


def test_it_tells_how_much_was_seen_since_the_newest_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = line(tmp_path, monkeypatch, 4000, 30)
    assert told.startswith("shadow at replies-production under way: ")
    assert told.endswith(" s; 12 mirrored requests, 1 errors, 100.0% answered the same (81.6% to 100.0%)")


def test_it_says_that_one_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert line(tmp_path, monkeypatch) == "shadow: candidate-cccccccccccccccc begins"


def test_it_names_one_that_no_run_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = line(tmp_path, monkeypatch, 4000)
    assert told.startswith("shadow: candidate-cccccccccccccccc since ")
    assert told.endswith(", which no run watches any more; the next rollout takes it off")
