"""Watching production in a lake: what is counted, judged, estimated, queued and told, and that nothing is counted or told twice."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_predictions import MODEL, corrected, identifier, ship
from pydantic import ValidationError
from starlette.testclient import TestClient

from headgate.data.frozen import freeze
from headgate.data.queue import Queue
from headgate.data.rows import parse_row
from headgate.data.version import DataVersion
from headgate.errors import Conflict
from headgate.lake import FolderLake, Lake
from headgate.monitoring import hourly_log
from headgate.monitoring.alarms import Alarm, alarm_words, alarms, changed, keep_alarm, mark_told, untold
from headgate.monitoring.estimated_accuracy import Corrected
from headgate.monitoring.feedback import collect
from headgate.monitoring.hourly_log import counted_hours, read_log
from headgate.monitoring.hours import Hour, count_hours, length_bin
from headgate.monitoring.prediction_log import Prediction
from headgate.monitoring.queueing import queue_slice
from headgate.monitoring.traffic import Traffic
from headgate.monitoring.trends import trends
from headgate.monitoring.watch_page import keep_page, render, summary
from headgate.monitoring.watch_records import status_of
from headgate.monitoring.watching import Measures, watch
from headgate.release.champion import Champion
from headgate.settings import ModelSettings, Watch
from stack.gateway import create_app

NOW = datetime(2026, 5, 4, 12, 20, tzinfo=UTC)
WATCH = {"window_hours": 4, "min_history_windows": 4, "min_answers": 50, "reference_days": 2, "min_psi": 0.05, "false_alarm_share": 0.01}
SETTINGS = ModelSettings.model_validate({"dataset": "replies", "watch": WATCH})
LIVE = Champion(model=MODEL, environment="production", release="r1", since=NOW - timedelta(days=9))
DATA = DataVersion(dataset="replies", version=0, digest="d" * 32, rows=1)
MEASURES = Measures(unmeasured={"language": "no model of languages", "embedding": "no encoder"})
KIND_TEXT, LONG = "Yes, call me", "Thank you for the offer. " * 12


def lines(at: datetime, count: int, long: float, positive: float, seed: int, **fields: Any) -> list[dict[str, Any]]:
    """Answers of one hour: so large a share of them are long, and positive."""
    dice = np.random.default_rng([seed, at.hour, at.day])
    found = []
    for number in range(count):
        text = f"{LONG if dice.random() < long else KIND_TEXT} {dice.integers(90) + 10}"
        label, score = ("positive" if dice.random() < positive else "other"), 0.7 + 0.29 * dice.random()
        name = identifier(at + timedelta(seconds=number))
        same = {"prediction_id": name, "model": MODEL, "release": "r1", "cohort": "champion", "outcome": "scored", "reason": None}
        found.append(same | {"label": label, "score": score, "text": text} | fields)
    return found


def traffic(lake: Lake, hours: int = 24, long: float = 0.2, long_now: float = 0.2, **fields: Any) -> None:
    """Traffic of so many hours before NOW; in the last four the share of long texts is another one."""
    for back in range(hours, 0, -1):
        at = NOW.replace(minute=0) - timedelta(hours=back)
        ship(lake, "predictions", at, lines(at, 40, long_now if back <= 4 else long, 0.5, seed=back, **fields))


def seen(lake: Lake, live: Champion = LIVE, settings: ModelSettings = SETTINGS, now: datetime = NOW) -> Traffic:
    return watch(lake, live, DATA, settings, MEASURES, now)[0]


def drifted(found: Traffic) -> list[str]:
    return [drift.column for drift in found.drifts if drift.drifted]


def test_steady_traffic_is_judged_and_no_alarm(folder_lake: Lake) -> None:
    traffic(folder_lake)
    found = seen(folder_lake)
    assert {drift.column for drift in found.drifts} == {"label", "outcome", "confidence", "characters"}
    assert drifted(found) == []
    assert (found.answers, found.start, found.end) == (160, NOW.replace(hour=8, minute=0), NOW.replace(minute=0))
    assert alarms(found, SETTINGS.watch) == {}
    assert found.not_judged == {"language": "not measured: no model of languages", "embedding": "not measured: no encoder"}


def test_longer_texts_are_an_alarm_that_tells_what_grew_by_how_much(folder_lake: Lake) -> None:
    traffic(folder_lake, long_now=0.7)
    found = seen(folder_lake)
    assert drifted(found) == ["characters"]
    (drift,) = [drift for drift in found.drifts if drift.drifted]
    assert drift.distance > drift.chance
    assert drift.grown is not None
    assert drift.grown.holds(float(length_bin(len(LONG) + 3)))
    assert not drift.grown.holds(float(length_bin(len(KIND_TEXT) + 3)))
    assert alarms(found, SETTINGS.watch)["characters"].startswith("texts of 15 to 287 characters 20.0% -> 68.8%, PSI 1.05, distance 0.488")


def test_where_the_log_keeps_hashes_the_length_is_judged_all_the_same(folder_lake: Lake) -> None:
    for back in range(24, 0, -1):
        at = NOW.replace(minute=0) - timedelta(hours=back)
        kept = lines(at, 40, 0.7 if back <= 4 else 0.2, 0.5, seed=back)
        ship(folder_lake, "predictions", at, [one | {"text": None, "characters": len(one["text"])} for one in kept])
    assert drifted(seen(folder_lake)) == ["characters"]


def test_challengers_and_headgates_own_messages_are_no_traffic(folder_lake: Lake) -> None:
    rows = [parse_row({"id": "f1", "text": "A regression row", "label": "other", "group_id": "g1"})]
    freeze(folder_lake, SETTINGS.regression_set, rows)
    traffic(folder_lake)
    at = NOW.replace(hour=9, minute=0)
    own = [one | {"text": text} for one, text in zip(lines(at, 2, 0, 0, 1), ("A regression row", "Thanks!"), strict=True)]
    ship(folder_lake, "predictions", at + timedelta(minutes=5), own)
    ship(folder_lake, "predictions", at + timedelta(minutes=6), lines(at, 300, 1.0, 1.0, 2, cohort="challenger"))
    found = seen(folder_lake)
    assert (found.answers, found.own) == (160, 2)
    assert drifted(found) == []


def test_after_a_promotion_texts_are_judged_and_answers_wait_for_their_own_history(folder_lake: Lake) -> None:
    for back in range(24, 0, -1):
        at = NOW.replace(minute=0) - timedelta(hours=back)
        ship(folder_lake, "predictions", at, lines(at, 40, 0.2, 0.5, seed=back, release="r1" if back > 8 else "r2"))
    newer = LIVE.model_copy(update={"release": "r2", "since": NOW.replace(minute=0) - timedelta(hours=8)})
    found = seen(folder_lake, newer)
    assert [drift.column for drift in found.drifts] == ["characters"]
    assert found.not_judged["label"] == "expected 4 windows of history, found 1"
    assert found.references["characters"].startswith("the champions' own traffic, 5 window(s) from 2026-05-03 12:00")


def test_too_few_answers_are_not_judged(folder_lake: Lake) -> None:
    traffic(folder_lake, hours=3)
    assert seen(folder_lake).not_judged["label"] == "expected 4 windows of history, found 0"
    assert seen(folder_lake, now=NOW + timedelta(hours=8)).not_judged["label"] == "expected at least 50 answers in the window, found 0"


def test_each_line_is_counted_once_though_looks_are_killed(folder_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    traffic(folder_lake, hours=30)
    writes = [0]
    swap = FolderLake.compare_and_swap

    def killed(self: FolderLake, key: str, data: bytes, tag: str | None) -> None:
        swap(self, key, data, tag)
        writes[0] += 1
        if writes[0] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(FolderLake, "compare_and_swap", killed)

    def count(answers: list[Prediction]) -> list[Hour]:
        return count_hours(answers, lambda _: False)

    with pytest.raises(KeyboardInterrupt):
        read_log(folder_lake, MODEL, count, NOW.date(), 5, 3)
    assert read_log(folder_lake, MODEL, count, NOW.date(), 5, 3, most_bytes=20_000).behind
    assert not read_log(folder_lake, MODEL, count, NOW.date(), 5, 50, most_bytes=20_000).behind
    assert read_log(folder_lake, MODEL, count, NOW.date(), 5, 3).answers == 0
    hours = counted_hours(folder_lake, MODEL, NOW.date() - timedelta(days=3), NOW.date())
    assert [hour.answers for hour in hours] == [40] * 30


def test_of_two_looks_at_once_the_later_one_writes_nothing(folder_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    traffic(folder_lake, hours=2)

    def count(answers: list[Prediction]) -> list[Hour]:
        return count_hours(answers, lambda _: False)

    def overtaken(answers: list[Prediction]) -> list[Hour]:
        read_log(folder_lake, MODEL, count, NOW.date(), 5, 3)
        return count(answers)

    with pytest.raises(Conflict):
        read_log(folder_lake, MODEL, overtaken, NOW.date(), 5, 3)
    hours = counted_hours(folder_lake, MODEL, NOW.date(), NOW.date())
    assert [hour.answers for hour in hours] == [40, 40]


def test_a_line_that_cannot_be_read_is_passed_over(folder_lake: Lake) -> None:
    good = lines(NOW, 1, 0, 0, 0)
    ship(folder_lake, "predictions", NOW, [{"prediction_id": "?"}, good[0] | {"score": "high"}, {"no": 1}, *good])
    read_log(folder_lake, MODEL, lambda answers: count_hours(answers, lambda _: False), NOW.date(), 2, 2)
    assert [hour.answers for hour in hourly_log.counted_hours(folder_lake, MODEL, NOW.date(), NOW.date())] == [1]


def test_accuracy_is_estimated_from_confidences_and_a_fall_is_an_alarm(folder_lake: Lake) -> None:
    for back in range(24, 0, -1):
        at = NOW.replace(minute=0) - timedelta(hours=back)
        ship(folder_lake, "predictions", at, lines(at, 40, 0.2, 0.5, seed=back, score=0.6 if back <= 4 else 0.9))
    found = seen(folder_lake)
    assert found.estimate is not None
    assert found.estimate_before is not None
    assert (found.estimate.accuracy, found.estimate_before.accuracy) == (pytest.approx(0.6), pytest.approx(0.9))
    half = 1.96 * (0.6 * 0.4 / 160) ** 0.5
    assert (found.estimate.low, found.estimate.high) == (pytest.approx(0.6 - half, abs=1e-3), pytest.approx(0.6 + half, abs=1e-3))
    assert alarms(found, SETTINGS.watch)["estimated accuracy"].startswith("estimated accuracy 60.0% (95%: 52.4% to 67.6%), before 90.0%")


def test_corrections_count_each_users_last_word_and_bound_the_accuracy(folder_lake: Lake) -> None:
    traffic(folder_lake)
    at = NOW.replace(hour=10, minute=30)
    answers = lines(at, 3, 0, 0, 5)
    ship(folder_lake, "predictions", at, answers)
    first, second, _ = (one["prediction_id"] for one in answers)
    corrected(folder_lake, (first, "other", "ada"), (second, "positive", "ada"), at=NOW - timedelta(minutes=5))
    corrected(folder_lake, (first, "positive", "bob"), at=NOW - timedelta(minutes=4))
    collect(folder_lake, MODEL, SETTINGS, NOW)
    found = seen(folder_lake).corrected
    assert found == Corrected(answers=163, told=2, contradicted=2, people=2)
    assert found.at_most == pytest.approx(161 / 163)


def test_twice_as_many_contradictions_from_several_users_are_an_alarm() -> None:
    before = Corrected(answers=10_000, told=60, contradicted=50, people=20)
    now = Corrected(answers=1_000, told=30, contradicted=25, people=5)
    found = made_up(corrected=now, corrected_before=before)
    told = "25 of 1000 answers were contradicted by 5 users (2.50%), before 50 of 10000 (0.50%)"
    assert alarms(found, Watch()) == {"corrections": told}
    assert alarms(found.model_copy(update={"corrected": now.model_copy(update={"people": 1})}), Watch()) == {}


def made_up(**fields: Any) -> Traffic:
    times = {"since": NOW, "at": NOW, "start": NOW, "end": NOW, "reference_start": NOW}
    return Traffic(model=MODEL, release="r1", answers=1, own=0, **times, **fields)


def test_an_alarm_is_told_once_then_its_change_then_its_end_once(folder_lake: Lake) -> None:
    traffic(folder_lake, long_now=0.7)
    alarmed = seen(folder_lake)
    first = changed(None, alarmed, SETTINGS.watch)
    assert first is not None
    keep_alarm(folder_lake, first)
    assert [(alarm.number, before) for alarm, before in untold(folder_lake, MODEL, "event")] == [(1, {})]
    mark_told(folder_lake, first, "event")
    assert untold(folder_lake, MODEL, "event") == []
    assert [alarm.number for alarm, _ in untold(folder_lake, MODEL, "webhook")] == [1], "the other way is still to be told"
    assert changed(first, alarmed, SETTINGS.watch) is None
    calm = alarmed.model_copy(update={"drifts": tuple(drift.model_copy(update={"drifted": False}) for drift in alarmed.drifts)})
    over = changed(first, calm, SETTINGS.watch)
    assert over is not None
    assert alarm_words(over, first.reasons) == "all clear replies: release r1, traffic up to 2026-05-04 12:00 UTC\nover: characters"
    assert changed(over, calm, SETTINGS.watch) is None


def test_what_cannot_be_judged_this_time_stays_an_alarm_but_not_for_another_release() -> None:
    last = Alarm(number=3, model=MODEL, release="r1", at=NOW, window_end=NOW, reasons={"label": "grew", "characters": "grew"})
    quiet = made_up(not_judged={"label": "few", "characters": "few"})
    assert changed(last, quiet, Watch()) is None
    found = changed(last, quiet.model_copy(update={"release": "r2"}), Watch())
    assert found is not None
    assert found.reasons == {"characters": "grew"}


def test_texts_of_the_window_in_a_grown_slice_are_queued_once(folder_lake: Lake) -> None:
    traffic(folder_lake, long_now=0.7)
    found = seen(folder_lake)

    def is_long(answer: Prediction) -> bool:
        return len(answer.text or "") > 100

    added = queue_slice(folder_lake, MODEL, SETTINGS, NOW, is_long, found.start, found.end)
    queue = Queue(folder_lake, MODEL).rows("open")
    assert added == len(queue) > 20
    assert {row.reasons for row in queue} == {("drifted_slice",)}
    assert all(row.text.startswith("Thank you") for row in queue)
    assert queue_slice(folder_lake, MODEL, SETTINGS, NOW, is_long, found.start, found.end) == 0


def test_the_page_shows_alarms_trends_and_history_and_no_text_and_the_gateway_shows_it(folder_lake: Lake, tmp_path: Path) -> None:
    traffic(folder_lake, long_now=0.7, label="<b>")
    found, hours = watch(folder_lake, LIVE, DATA, SETTINGS, MEASURES, NOW)
    reasons = alarms(found, SETTINGS.watch)
    page = render(found, trends(hours, "r1"), reasons, [], SETTINGS.watch)
    keep_page(folder_lake, found, page)
    assert "Yes, call me" not in page
    assert "texts of 15 to 287 characters: 20.0% to 68.8%" in page
    assert page.count("data:image/png;base64,") == 2
    assert "**characters**" in summary(found, reasons, "http://gateway/page")
    assert status_of(folder_lake, MODEL) is None, "the line comes with the newest look"
    with TestClient(create_app(folder_lake, tmp_path)) as client:
        assert client.get(f"/watching/{MODEL}/report/index.html").text == page
        assert client.get(f"/watching/{MODEL}/report/20260504T12.html").status_code == 200
        assert client.get(f"/watching/{MODEL}/hours/2026-05-04.json").status_code == 404


def test_counting_in_parts_is_counting_at_once() -> None:
    answers = [Prediction.model_validate({k: v for k, v in one.items() if k != "model"}) for one in lines(NOW, 30, 0.5, 0.5, 1)]
    (whole,) = count_hours(answers, lambda _: False)
    (one,), (other,) = count_hours(answers[:11], lambda _: False), count_hours(answers[11:], lambda _: False)
    both = one + other
    assert both.counts == whole.counts
    assert both.score_sum == pytest.approx(whole.score_sum)
    assert json.loads(both.to_bytes())["answers"] == 30


def test_a_reference_that_could_never_hold_the_history_is_refused() -> None:
    with pytest.raises(ValidationError, match="min_history_windows x window_hours = 168 h, found 3 day"):
        Watch(reference_days=3)
    with pytest.raises(ValidationError, match="multiple of 4"):
        Watch(window_hours=6)
