"""From a mirrored request to a pair, and on to the annotators' queue: real servers, their logs, the shipper and the queue."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import FakeRuntime, served

from deployments.mirrors import Side, read_mirrored
from headgate.data.queue import Queue
from headgate.lake import Lake
from headgate.model.runtime import Message, Scored
from headgate.monitoring.queueing import fill
from headgate.monitoring.shipping import ship_once
from headgate.release.shadow_report import Mirrored
from headgate.settings import ModelSettings

LONG_AGO = datetime.now(UTC) - timedelta(days=1)
FIRST, SECOND = "0" * 31 + "1", "0" * 31 + "2"


class Saying(FakeRuntime):
    """Says one label, but of a text that holds it the other."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def score(self, items: list[Message]) -> list[Scored]:
        labels = ["other" if "other" in item.text else self.label for item in items]
        return [Scored(label, 0.9, {label: 0.9}, "scored", None) for label in labels]


@contextmanager
def models(tmp_path: Path, *labels: str) -> Iterator[list[httpx.Client]]:
    """Servers of releases r0, r1, ... that say these labels and log in folders of these names."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(served(Saying(label), log_dir=tmp_path / f"r{n}", model="replies", release=f"r{n}", log_text="full"))
            for n, label in enumerate(labels)
        ]


def ask(client: httpx.Client, cohort: str, mirror: str, *texts: str) -> None:
    headers = {"X-Headgate-Cohort": cohort} | ({"X-Headgate-Mirror": mirror} if mirror else {})
    body = {"instances": [{"text": text} for text in texts]}
    assert client.post("/invocations", json=body, headers=headers).status_code == 200


def read(tmp_path: Path, since: datetime = LONG_AGO) -> Mirrored:
    return read_mirrored(Side(tmp_path / "r0", "r0"), Side(tmp_path / "r1", "r1"), tmp_path / "endpoint" / "errors.jsonl", since)


def test_each_text_of_a_request_is_paired_with_its_copy(tmp_path: Path) -> None:
    with models(tmp_path, "positive", "other") as (champion, challenger):
        ask(champion, "champion", FIRST, "good", "other")
        ask(challenger, "shadow", SECOND, "fine")
        ask(challenger, "shadow", FIRST, "good", "other")
        ask(champion, "champion", SECOND, "fine")
        ask(champion, "champion", "", "not mirrored")
        ask(challenger, "challenger", "", "endpoint test")
    found = read(tmp_path)
    said = [(pair.champion.said, pair.challenger.said) for pair in found.pairs]
    assert said == [("positive", "other"), ("other", "other"), ("positive", "other")]
    assert (found.unpaired, found.champion_requests, found.errors) == (0, 4, 0)
    assert all(pair.champion.latency_ms > 0 for pair in found.pairs)


def test_a_known_text_is_paired_as_one_from_the_cache(tmp_path: Path) -> None:
    with models(tmp_path, "positive", "positive") as (champion, challenger):
        ask(champion, "champion", "", "good")
        ask(champion, "champion", FIRST, "good")
        ask(challenger, "shadow", FIRST, "good")
    (pair,) = read(tmp_path).pairs
    assert (pair.champion.cached, pair.challenger.cached) == (True, False)


def test_a_request_whose_copy_is_missing_or_incomplete_is_no_pair(tmp_path: Path) -> None:
    with models(tmp_path, "positive", "positive") as (champion, challenger):
        ask(champion, "champion", FIRST, "good", "fine")
        ask(challenger, "shadow", FIRST, "good")
        ask(champion, "champion", SECOND, "good")
    found = read(tmp_path)
    assert (found.pairs, found.unpaired) == ((), 4)


def test_failed_copies_are_errors_of_the_challenger_and_old_lines_are_left_out(tmp_path: Path) -> None:
    errors = tmp_path / "endpoint" / "errors.jsonl"
    errors.parent.mkdir()
    failed = [("shadow", "r1"), ("shadow", "r1"), ("shadow", "r2"), ("challenger", "r1"), ("champion", "r0")]
    lines = [{"ts": datetime.now(UTC).isoformat(), "cohort": cohort, "release": release} for cohort, release in failed]
    errors.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert (read(tmp_path).errors, read(tmp_path).champion_errors) == (2, 1)
    assert read(tmp_path, since=datetime.now(UTC) + timedelta(hours=1)) == Mirrored()


@pytest.mark.parametrize("mirror", ["1" * 31, "Z" * 32, "1" * 33, '1" , "label": "x'])
def test_an_id_that_no_router_made_is_not_logged(tmp_path: Path, mirror: str) -> None:
    with models(tmp_path, "positive") as (client,):
        ask(client, "champion", mirror, "good")
    (log,) = (tmp_path / "r0").glob("predictions-*.jsonl")
    assert "mirror" not in json.loads(log.read_text())


def test_what_a_shadow_answers_differently_waits_for_annotators(folder_lake: Lake, tmp_path: Path) -> None:
    with models(tmp_path, "positive", "objection") as (champion, challenger):
        for mirror, text in ((FIRST, "Call me on Thursday"), (SECOND, "on the other hand")):
            ask(champion, "champion", mirror, text)
            ask(challenger, "shadow", mirror, text)
    for release in ("r0", "r1"):
        ship_once(folder_lake, tmp_path / release, keep_days=7)
    settings = ModelSettings(dataset="replies", labels=("positive", "objection", "other"))
    assert fill(folder_lake, "replies", settings, datetime.now(UTC)).added == 1
    rows: list[Any] = list(Queue(folder_lake, "replies").rows())
    assert [(row.text, row.reasons, row.told) for row in rows] == [
        ("Call me on Thursday", ("disagreement",), "champion said positive, shadow said objection")
    ]


def test_where_unmirrored_requests_have_an_id_too_only_copies_that_were_due_are_missed(tmp_path: Path) -> None:
    with models(tmp_path, "positive", "positive") as (champion, challenger):
        for number in range(8):
            ask(champion, "champion", f"{number:032x}", "good")
        for number in (1, 5):
            ask(challenger, "shadow", f"{number:032x}", "good")
        ask(challenger, "shadow", "f" * 32, "its original is not logged")
    sides = Side(tmp_path / "r0", "r0"), Side(tmp_path / "r1", "r1")
    seen = [read_mirrored(*sides, tmp_path / "errors.jsonl", LONG_AGO, by_release=True, percent=share) for share in (25, 50, 100)]
    assert [(len(one.pairs), one.unpaired) for one in seen] == [(2, 1), (2, 3), (2, 7)]
