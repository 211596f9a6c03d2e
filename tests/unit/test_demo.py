"""The demo's pure parts: which acts are left, what is planted, what the page tells."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headgate.errors import Refused
from stack.demo.acts import ACTS
from stack.demo.page import BRIEF, Observed, closing, render, summed, traffic_of
from stack.demo.place import MODEL, Place, plain_settings, slow_settings, worse_settings
from stack.demo.planting import known_rows, mended, poisoned, write_rows
from stack.demo.record import ActRecord, Beginning, Story, Told, fresh_start, still_to_tell
from stack.demo.traffic import Request, read_log

CHECKOUT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
NAMES = ["one", "two", "three"]
BEGUN = Beginning(digest="d", commit="c" * 40, at=NOW)


def _act(number: int, failed: str = "", seconds: float = 10.0, facts: dict | None = None) -> ActRecord:
    began = NOW + timedelta(seconds=20 * number)
    told = (Told(at=began, text="$ headgate approve 1 --as <b>"), Told(at=began, text="it was seen"))
    return ActRecord(
        number=number,
        name=NAMES[number],
        title=f"Act {NAMES[number]}",
        began=began,
        ended=began + timedelta(seconds=seconds),
        told=told,
        facts=facts or {},
        failed=failed,
    )


def _request(second: float, status: int = 200, ms: float = 10.0, release: str = "a" * 64) -> Request:
    return Request(
        at=NOW.timestamp() + second, ms=ms, status=status, release=release if status == 200 else "", error="" if status else "refused"
    )


def test_a_story_goes_on_with_the_first_act_that_did_not_come_to_a_good_end():
    assert still_to_tell(NAMES, []) == [0, 1, 2]
    assert still_to_tell(NAMES, [_act(0)]) == [1, 2]
    assert still_to_tell(NAMES, [_act(0), _act(1, failed="expected x, found y")]) == [1, 2]
    assert still_to_tell(NAMES, [_act(0), _act(1), _act(2)]) == []


def test_a_story_starts_from_nothing_where_it_cannot_or_need_not_go_on_and_says_why():
    assert fresh_start(None, "d", [], 3, False) == "nothing was told here yet"
    assert fresh_start(BEGUN, "d", [_act(0)], 3, True) == "asked for by --again"
    changed = "the demo's acts or settings are others than those of the story that was begun here"
    assert fresh_start(BEGUN, "other", [_act(0)], 3, False) == changed
    assert fresh_start(BEGUN, "d", [_act(0), _act(1), _act(2)], 3, False) == "the last story came to its end"
    assert fresh_start(BEGUN, "d", [_act(0), _act(1), _act(2, failed="no")], 3, False) == ""


def test_an_act_that_failed_is_replaced_when_it_is_told_again(tmp_path):
    story = Story(tmp_path)
    story.begin(BEGUN)
    story.keep(_act(0))
    story.keep(_act(1, failed="expected x, found y"))
    story.keep(_act(1))
    assert story.begun() == BEGUN
    assert story.acts() == [_act(0), _act(1)]


def test_a_folder_that_is_no_home_of_a_demo_is_not_removed(tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    (tmp_path / "story").mkdir()
    with pytest.raises(Refused) as refused:
        Place(tmp_path).forget()
    assert (
        str(refused.value)
        == f"{tmp_path}: expected an empty folder or the home of an earlier demo, found something else; give another --home"
    )
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_the_poisoned_rows_have_their_neighbours_labels_and_the_mended_ones_their_own():
    files = [CHECKOUT / "examples" / "replies" / name for name in ("day0.jsonl", "batch1.jsonl")]
    known = known_rows(*files)
    wrong = poisoned(known, NOW)
    right = {row["id"]: row for row in known}
    assert len({row["id"] for row in wrong}) == len(wrong) == 240
    assert all(row["label"] != right[row["id"]]["label"] and row["text"] == right[row["id"]]["text"] for row in wrong)
    again = mended(known, wrong, NOW + timedelta(seconds=5))
    assert {row["id"]: row["label"] for row in again} == {row["id"]: right[row["id"]]["label"] for row in wrong}
    assert {row["annotated_at"] for row in again} == {"2026-11-26T12:00:05Z"}


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [{"id": "1", "text": "Fällt aus", "label": "other"}, {"id": "1", "text": "Passt", "label": "positive"}]
    assert known_rows(write_rows(tmp_path / "files" / "rows.jsonl", rows)) == rows[1:]


def test_the_planted_settings_are_settings_and_differ_from_the_plain_ones(tmp_path, monkeypatch):
    from headgate.settings import load_settings

    monkeypatch.chdir(CHECKOUT)
    found = []
    for text in (plain_settings(), worse_settings(), slow_settings()):
        (tmp_path / "headgate.toml").write_text(text)
        monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
        load_settings.cache_clear()
        found.append(load_settings().model(MODEL))
    load_settings.cache_clear()
    plain, worse, slow = found
    assert [(one.train.method, one.train.lexical) for one in (plain, worse)] == [("fine-tune", "on"), ("linear-head", "off")]
    assert [one.class_name for one in slow.filters.custom] == ["account_filter:KeyAccounts"]
    assert slow.train == plain.train
    assert [stage.environment for stage in plain.rollout.stages] == ["pre-production", "production"]


def test_every_act_has_its_words_on_the_page():
    assert [act.name for act in ACTS] == list(BRIEF)


def test_a_line_of_the_log_that_a_kill_cut_off_is_left_out(tmp_path):
    log = tmp_path / "traffic.jsonl"
    whole = [_request(2), _request(1, status=503)]
    log.write_bytes(b"\n".join([*(one.to_bytes() for one in whole), b'{"at": 17']))
    assert read_log(log) == [whole[1], whole[0]]
    assert read_log(tmp_path / "none.jsonl") == []


def test_requests_are_counted_by_act_and_failed_ones_too():
    requests = [_request(1), _request(9.9, status=503), _request(10), _request(25, status=0)]
    assert (traffic_of(requests, _act(0)).requests, traffic_of(requests, _act(0)).failed) == (2, 1)
    assert (summed(requests).requests, summed(requests).failed) == (4, 2)
    assert summed([]).p95 is None


def test_the_closing_lines_give_each_acts_time_and_how_productions_clients_fared():
    seen = Observed(begun=BEGUN, acts=(_act(0), _act(1, failed="expected x, found y")), requests=(_request(1), _request(2, status=500)))
    assert closing(seen) == [
        "1. Act one: 10 s",
        "2. Act two: FAILED: expected x, found y",
        "20 s in all; production's clients sent 2 requests, of which 1 failed",
    ]


def test_the_page_tells_the_acts_and_escapes_what_was_said(monkeypatch):
    monkeypatch.setattr("stack.demo.page.BRIEF", dict.fromkeys(NAMES, "a note"))
    requests = tuple(_request(second / 4) for second in range(60))
    page = render(Observed(begun=BEGUN, acts=(_act(0), _act(1)), requests=requests))
    assert "2 of 7 acts in 20 s" in page
    assert "cut off" in page
    assert "<code>$ headgate approve 1 --as &lt;b&gt;</code>" in page
    assert re.search(r"Failed requests</span><b class=\"good\">0</b>", page)
    assert page.count("data:image/png;base64,") == 2
    assert not re.search(r"(?:src|href)=\"https?://", page)


def test_the_page_of_a_story_that_failed_says_where():
    page = render(Observed(begun=BEGUN, acts=(), requests=()))
    assert "No request was sent." in page
    failing = ActRecord(number=2, name="better-model", title="T", began=NOW, ended=NOW, failed="expected champion a, found b")
    page = render(Observed(begun=BEGUN, acts=(failing,), requests=(_request(0, status=503),)))
    assert "Act 3 did not go as the story has it: expected champion a, found b" in page
    assert re.search(r"Failed requests</span><b class=\"bad\">1</b>", page)
