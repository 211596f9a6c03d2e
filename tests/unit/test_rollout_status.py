"""`headgate status` while a rollout is under way."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import stack.status
from deployments.memory import MemoryTarget
from deployments.target import Observation, Revision, Split
from headgate.lake import FolderLake
from headgate.release.rollout import Action, Concluded, Step, write_step
from headgate.settings import AutoRollback, Stage, TrafficRouting

STAGE = Stage(
    environment="production",
    traffic_routing=TrafficRouting(type="CANARY", canary_size_percent=20),
    bake_time_s=3000,
    auto_rollback=AutoRollback(min_requests=20),
)
SEEN = (
    Observation(cohort="champion", window_s=60, requests=800, labels={"a": 800}, latency_ms={"10": 800}, confidence=0.8, scored=800),
    Observation(
        cohort="challenger", window_s=60, requests=200, errors=1, labels={"a": 199}, latency_ms={"10": 199}, confidence=0.8, scored=199
    ),
)


def test_it_shows_the_share_the_numbers_beside_their_limits_and_why(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, target = FolderLake(tmp_path), MemoryTarget(lambda *_: SEEN)
    for name in ("old", "new"):
        target.deploy("replies-production", Revision(release=name, bundle_digest="0" * 64, bundle=name))
    target.set_split("replies-production", Split(champion=80, challenger=20))
    monkeypatch.setattr(stack.status, "target_named", lambda _: target)
    assert stack.status._rollout_lines(lake, "replies", STAGE, "new") == []
    done = (Action(kind="deploy", reason=""), Action(kind="test", reason=""), Action(kind="shift", reason="", percent=20))
    for number, action in enumerate(done):
        at = datetime.now(UTC) - timedelta(seconds=60)
        write_step(lake, "new", Step(number=number, environment="production", action=action, phase="outcome", at=at))
    head, why, columns, *rows = stack.status._rollout_lines(lake, "replies", STAGE, "new")
    assert head.startswith("release new in production: watched; challenger 20%, champion 80%; 29")
    assert why == "why: baking at 20%: 200 requests, 1 errors; champion 800 requests"
    assert columns.split() == ["metric", "challenger", "champion", "allowed", "evidence", "verdict"]
    assert [row.split("  ")[0] for row in rows] == [
        "error_rate",
        "error_rate_increase",
        "p95_ms",
        "p99_ms",
        "share of a",
        "abstention_rate",
        "confidence",
        "correction_rate",
    ]
    assert [row.rsplit("  ", 1)[1] for row in rows] == [*["within limits"] * 7, "no data"]


def test_the_page_of_a_champions_ab_test_can_still_be_found(tmp_path) -> None:
    lake = FolderLake(tmp_path)
    assert stack.status._ab_test_lines(lake, "r1", "production") == []
    for name in ("index.html", "report.json"):
        lake.put_if_absent(f"releases/r1/evidence/ab-test-production/abc/{name}", b"page")
    (told,) = stack.status._ab_test_lines(lake, "r1", "production")
    assert told.startswith("    A/B test before promotion: http://")
    assert told.endswith("/releases/r1/evidence/ab-test-production/abc/index.html")


def test_the_page_of_the_last_ab_test_is_told_when_its_release_was_not_promoted(tmp_path: Path) -> None:
    lake = FolderLake(tmp_path)
    hold_ended(lake, "r1" * 32, "passed", hour=9)
    hold_ended(lake, "r2" * 32, "failed", hour=11)
    hold_ended(lake, "r3" * 32, "inconclusive", hour=10)
    hold_ended(lake, "r4" * 32, "failed", hour=12, environment="pre-production")
    releases = [name * 32 for name in ("r1", "r2", "r3", "r4", "r5")]
    assert stack.status._last_ab_test_lines(lake, releases, "r1" * 32, "production") == [
        "    last A/B test, of release r2r2r2r2r2r2 at 2026-05-01 11:00 UTC: failed; "
        f"http://127.0.0.1:4300/releases/{'r2' * 32}/evidence/ab-test-production/abc/index.html"
    ]
    assert stack.status._last_ab_test_lines(lake, releases[:2], "r2" * 32, "production") == [], "the champion's is told as its own"
    assert len(stack.status._last_ab_test_lines(lake, releases[:2], None, "production")) == 1
    assert stack.status._last_ab_test_lines(lake, releases[4:], None, "production") == []


def hold_ended(lake: FolderLake, release: str, verdict: str, hour: int, environment: str = "production") -> None:
    """The page and the steps that a hold leaves behind."""
    page = f"releases/{release}/evidence/ab-test-{environment}/abc/index.html"
    lake.put_if_absent(page, b"page")
    ended = Concluded(verdict=verdict, told="", page=page, digest="d" * 64)
    for number, (kind, concluded) in enumerate((("hold", None), ("report", ended), ("roll_back", None))):
        at, action = datetime(2026, 5, 1, hour, tzinfo=UTC), Action(kind=kind, reason="")
        write_step(lake, release, Step(number=number, environment=environment, action=action, phase="outcome", at=at, concluded=concluded))
