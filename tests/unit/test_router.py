"""Which cohort answers a request, what routes may say, and how logs become observations."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployments.observations import histogram, observe_files
from deployments.router import group_of
from deployments.routes import Backend, Routes, choose, mirrored
from deployments.target import Split

KEYS = [f"request-{n}" for n in range(20_000)]


def routes(challenger: int = 0, shadow: int = 0) -> Routes:
    backends = {name: Backend(release=name, url=f"http://127.0.0.1/{name}") for name in ("champion", "challenger")}
    return Routes(split=Split(champion=100 - challenger, challenger=challenger, shadow=shadow), **backends)


@pytest.mark.parametrize("percent", [0, 1, 10, 50, 99, 100])
def test_each_cohort_gets_its_share_of_the_keys(percent: int) -> None:
    share = sum(choose(routes(percent), key) == "challenger" for key in KEYS) / len(KEYS)
    assert share == pytest.approx(percent / 100, abs=0.01)
    assert share == percent / 100 or percent not in (0, 100)


@given(st.text(), st.integers(0, 100), st.integers(0, 100))
def test_raising_the_challengers_share_takes_no_key_from_it(key: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    if choose(routes(small), key) == "challenger":
        assert choose(routes(large), key) == "challenger"


def test_shadow_is_drawn_independently_of_the_split() -> None:
    half = routes(challenger=50, shadow=50)
    champions = [key for key in KEYS if choose(half, key) == "champion"]
    assert sum(mirrored(half, key) for key in champions) / len(champions) == pytest.approx(0.5, abs=0.02)


def test_without_a_challenger_the_champion_answers_everything() -> None:
    alone = routes(challenger=100, shadow=100).model_copy(update={"challenger": None})
    assert {choose(alone, key) for key in KEYS} == {"champion"}
    assert not any(mirrored(alone, key) for key in KEYS)


@pytest.mark.parametrize(
    ("body", "group"),
    [
        ({"group_id": "thread-7", "instances": [{"text": "a", "group_id": "other"}]}, "thread-7"),
        ({"instances": [{"text": "a", "group_id": "thread-7"}]}, "thread-7"),
        ({"instances": [{"text": "a"}]}, None),
        ({"instances": [{"text": '"group_id"'}]}, None),
        ({"group_id": 7, "instances": []}, None),
        ({"group_id": "", "instances": 3}, None),
        (["group_id"], None),
    ],
)
def test_a_group_is_found_in_the_body_or_its_first_instance(body: Any, group: str | None) -> None:
    assert group_of(json.dumps(body).encode()) == group


def test_a_body_that_is_no_json_has_no_group() -> None:
    assert group_of(b'{"group_id": ') is None


def test_a_split_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"expected champion \+ challenger = 100 percent, found 100 \+ 10"):
        Split(challenger=10)


def test_a_latency_counts_under_the_smallest_bound_that_holds_it() -> None:
    assert list(histogram([100_001, 1.01, 1, 0.99, 0.02, 100_000]).items()) == [
        ("0.1", 1),
        ("1", 2),
        ("1.024", 1),
        ("100000", 1),
        ("inf", 1),
    ]


def test_answers_from_the_cache_say_nothing_about_latency(tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text(prediction(seconds_ago(2), cached=True) + prediction(seconds_ago(1), cached=False))
    found = observe_files("champion", 60, tmp_path, tmp_path / "errors" / "errors.jsonl", "one", NOW)
    assert (found.requests, found.scored, sum(found.latency_ms.values())) == (2, 2, 1)


def prediction(at: datetime, **fields: Any) -> str:
    line = {"ts": at.isoformat(), "cohort": "champion", "label": "positive", "score": 0.5, "outcome": "scored", "latency_ms": 3}
    return json.dumps(line | fields) + "\n"


NOW = datetime(2026, 1, 2, tzinfo=UTC)


def seconds_ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_an_observation_holds_the_window_and_nothing_older(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    lines = [prediction(seconds_ago(age), text="x" * 50) for age in range(5000, 0, -1)]
    (log / "predictions.jsonl").write_text("".join(lines))
    found = observe_files("champion", 1000.5, log, tmp_path / "errors.jsonl", "one", NOW)
    assert (found.requests, found.labels, found.confidence) == (1000, {"positive": 1000}, 0.5)


def test_abstained_skipped_and_shadow_lines_count_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text(
        prediction(seconds_ago(4), score=0.9)
        + prediction(seconds_ago(3), outcome="abstained", score=0.1)
        + prediction(seconds_ago(2), outcome="skipped", label=None, score=None)
        + prediction(seconds_ago(1), cohort="shadow")
    )
    found = observe_files("champion", 60, tmp_path, tmp_path / "errors" / "errors.jsonl", "one", NOW)
    assert (found.requests, found.abstained, found.labels, found.confidence) == (3, 1, {"positive": 2}, 0.5)


def test_a_half_written_last_line_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text(prediction(seconds_ago(1)) + '{"ts": "2026-01')
    assert observe_files("champion", 60, tmp_path, tmp_path / "errors" / "errors.jsonl", "one", NOW).requests == 1


def test_errors_belong_to_their_cohort_and_release(tmp_path: Path) -> None:
    errors = tmp_path / "errors.jsonl"
    pairs = [("champion", "one"), ("challenger", "two"), ("challenger", "two"), ("shadow", "two"), ("challenger", "old")]
    lines = [{"ts": seconds_ago(1).isoformat(), "cohort": cohort, "release": release, "status": 503} for cohort, release in pairs]
    errors.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = observe_files("challenger", 60, tmp_path / "none", errors, "two", NOW)
    assert (found.requests, found.errors) == (2, 2)
