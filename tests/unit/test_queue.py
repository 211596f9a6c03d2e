"""Which texts come into the queue, in which order they leave it, and that what comes back meets its row."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_predictions import MODEL, NOW, corrected, predicted

from headgate.data.frozen import freeze
from headgate.data.ingest import ingest
from headgate.data.landing import land
from headgate.data.parsing import parse_file
from headgate.data.queue import Queue, QueuedText
from headgate.data.queue_export import exported
from headgate.data.queue_order import in_order
from headgate.data.rows import parse_row
from headgate.data.table import DatasetTable
from headgate.data.text_ids import text_group
from headgate.lake import Lake
from headgate.model.example_messages import EXAMPLES
from headgate.model.filters import normalise
from headgate.monitoring.feedback import Collected, collect
from headgate.monitoring.feedback_report import lines
from headgate.monitoring.queueing import Filled, fill
from headgate.settings import ModelSettings
from headgate.settings import Queue as QueueSettings

SETTINGS = ModelSettings(dataset="replies", labels=("positive", "objection", "other"))


def filled(lake: Lake, settings: ModelSettings = SETTINGS, **given: Any) -> Filled:
    return fill(lake, MODEL, settings, NOW, **given)


def queued(lake: Lake, *states: str) -> dict[str, tuple[str, ...]]:
    return {row.text: row.reasons for row in Queue(lake, MODEL).rows(*states)}


def test_unsure_strange_and_drifted_texts_come_in_once_with_their_reasons(lake: Lake) -> None:
    predicted(lake, "sure")
    predicted(lake, "hm", "hm", score=0.4)
    predicted(lake, "odd", score=0.3, outcome="abstained", reason="out_of_scope")
    predicted(lake, "bonjour", score=0.95)
    predicted(lake, "I am out of office", outcome="skipped", reason="machine_mail", score=None)
    found = filled(lake, drifted=lambda answer: answer.text == "bonjour")
    assert queued(lake) == {"hm": ("low_confidence",), "odd": ("out_of_scope", "low_confidence"), "bonjour": ("drifted_slice",)}
    assert (found.added, found.waiting) == (3, {"low_confidence": 1, "out_of_scope": 1, "drifted_slice": 1})
    assert filled(lake).nothing


@pytest.mark.parametrize("cohort", ["shadow", "challenger"])
def test_a_text_that_two_releases_answered_differently_comes_in_whichever_was_shipped_first(folder_lake: Lake, cohort: str) -> None:
    predicted(folder_lake, "same", "other")
    filled(folder_lake)
    predicted(folder_lake, "same", cohort=cohort, release="r2", label="positive")
    predicted(folder_lake, "other", cohort=cohort, release="r2")
    filled(folder_lake)
    (row,) = Queue(folder_lake, MODEL).rows()
    assert (row.text, row.reasons, row.told) == ("same", ("disagreement",), f"champion said other, {cohort} said positive")


def test_a_text_that_users_corrected_without_agreement_comes_in_until_an_annotator_decides(folder_lake: Lake) -> None:
    names = predicted(folder_lake, "same", "same", "clear")
    corrected(folder_lake, (names[0], "positive", "ada"), (names[1], "objection", "bo"), (names[2], "positive", "ada"))
    collect(folder_lake, MODEL, SETTINGS, NOW)
    ingest(folder_lake, "replies", SETTINGS.labels)
    filled(folder_lake)
    assert queued(folder_lake) == {"same": ("corrections_disagree",)}
    DatasetTable(folder_lake, "replies").merge([parse_row({"text": "same", "label": "other", "annotated_at": NOW.isoformat()})])
    assert filled(folder_lake).annotated == 1
    assert filled(folder_lake).added == 0
    assert queued(folder_lake, "open") == {}


def test_a_text_that_one_user_corrected_and_another_corrects_otherwise_is_open_again(folder_lake: Lake) -> None:
    names = predicted(folder_lake, "hm", "hm", score=0.2)
    filled(folder_lake)
    for name, label, who in ((names[0], "positive", "ada"), (names[1], "objection", "bo")):
        corrected(folder_lake, (name, label, who))
        collect(folder_lake, MODEL, SETTINGS, NOW)
        ingest(folder_lake, "replies", SETTINGS.labels)
        found = filled(folder_lake)
        assert found.annotated == (who == "ada")
    assert queued(folder_lake, "open") == {"hm": ("corrections_disagree", "low_confidence")}


def test_annotated_frozen_and_unkept_texts_never_come_in(folder_lake: Lake) -> None:
    freeze(folder_lake, SETTINGS.regression_set, [parse_row({"text": "frozen", "label": "other"})])
    DatasetTable(folder_lake, "replies").merge([parse_row({"text": "known", "label": "other"})])
    predicted(folder_lake, "FROZEN", "known\n\nOn Monday, Bo <bo@example.com> wrote:\n> hello", score=0.1)
    predicted(folder_lake, "unused", text=None, hash="0" * 64, score=0.1)
    found = filled(folder_lake)
    assert (found.added, found.in_regression_set, found.without_text) == (0, 1, 1)
    assert queued(folder_lake) == {}


@pytest.mark.parametrize("kept", ["text", "hash", "nothing"])
def test_messages_of_the_endpoint_test_never_come_in_whatever_the_log_keeps_of_them(folder_lake: Lake, kept: str) -> None:
    for example in EXAMPLES:
        text = normalise(example.text)
        fields = {"text": text} if kept == "text" else {"text": None}
        if kept == "hash":
            fields["hash"] = hashlib.sha256(text.encode()).hexdigest()
        predicted(folder_lake, text, **{"score": 0.1} | fields)
        predicted(folder_lake, text, **{"cohort": "challenger", "label": "positive", "release": "r2"} | fields)
    predicted(folder_lake, "from a customer", score=0.1)
    found = filled(folder_lake)
    assert queued(folder_lake) == {"from a customer": ("low_confidence",)}
    assert (found.added, found.without_text) == (1, 0 if kept != "nothing" else len(EXAMPLES))
    assert found.own_messages == (len({text_group(example.text) for example in EXAMPLES}) if kept == "text" else 0)
    told = list(lines(Collected(model=MODEL, dataset="replies"), found))
    assert ("not queued: 9 that Headgate itself sends to test endpoints" in told) == (kept == "text")


def test_a_text_that_stands_in_another_mail_too_comes_in_once(folder_lake: Lake) -> None:
    predicted(folder_lake, "Too dear", "too dear\n\nOn Monday, Bo <bo@example.com> wrote:\n> hello", score=0.1)
    assert filled(folder_lake).added == 1


def test_where_not_all_have_room_the_greatest_need_goes_first(folder_lake: Lake) -> None:
    for text, score in (("a", 0.5), ("b", 0.1), ("c", 0.3)):
        predicted(folder_lake, text, score=score)
    settings = SETTINGS.model_copy(update={"queue": QueueSettings(max_rows=2)})
    assert filled(folder_lake, settings).added == 2
    assert set(queued(folder_lake)) == {"b", "c"}


def test_label_studio_sends_the_same_row_back_and_it_leaves_the_queue(folder_lake: Lake, tmp_path: Path) -> None:
    predicted(folder_lake, "too dear for us", score=0.2)
    filled(folder_lake)
    batch = Queue(folder_lake, MODEL).next_batch(SETTINGS.queue, 10, NOW)
    (task,) = json.loads(exported(batch, "label-studio", MODEL, NOW))
    assert task["predictions"][0]["result"][0]["value"] == {"choices": ["other"]}
    Queue(folder_lake, MODEL).export(batch, NOW)
    assert Queue(folder_lake, MODEL).next_batch(SETTINGS.queue, 10, NOW) == []
    choice = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["objection"]}}
    done = [task | {"id": 7, "annotations": [{"result": [choice], "completed_by": {"email": "maya@example.com"}}]}]
    (tmp_path / "project.json").write_text(json.dumps(done))
    land(folder_lake, "replies", tmp_path / "project.json")
    ingest(folder_lake, "replies", SETTINGS.labels)
    (row,) = DatasetTable(folder_lake, "replies").load().to_dict("records")
    assert (row["id"], row["group_id"], row["label"]) == (batch[0].id, batch[0].group_id, "objection")
    assert filled(folder_lake).annotated == 1
    assert queued(folder_lake, "annotated") == {"too dear for us": ("low_confidence",)}


def test_json_lines_land_once_their_labels_are_filled_in(folder_lake: Lake) -> None:
    predicted(folder_lake, "one", score=0.2)
    filled(folder_lake)
    line = json.loads(exported(Queue(folder_lake, MODEL).rows(), "jsonl", MODEL, NOW))
    assert (line["label"], line["suggested"]) == (None, "other")
    (row,) = parse_file("batch.jsonl", json.dumps(line | {"label": "positive"}).encode(), SETTINGS.labels).rows
    (waiting,) = Queue(folder_lake, MODEL).rows()
    assert (row.id, row.group_id, row.label) == (waiting.id, waiting.group_id, "positive")


def test_what_annotators_have_had_for_long_can_be_given_again(folder_lake: Lake) -> None:
    predicted(folder_lake, "one", score=0.2)
    filled(folder_lake)
    queue = Queue(folder_lake, MODEL)
    queue.export(queue.rows(), NOW)
    later = NOW + timedelta(days=8)
    assert queue.next_batch(SETTINGS.queue, 5, later, again_after=timedelta(days=9)) == []
    assert [row.text for row in queue.next_batch(SETTINGS.queue, 5, later, again_after=timedelta(days=7))] == ["one"]


def test_of_twins_one_comes_first_and_the_other_last() -> None:
    vectors = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    assert in_order([0.9, 0.8, 0.5, 0.4], ["a"] * 4, {}, 4, vectors.__getitem__) == [0, 2, 3, 1]


def test_what_is_like_a_text_that_annotators_have_already_comes_last() -> None:
    vectors = np.array([[1, 0], [0, 1]], dtype=np.float32)
    found = in_order([0.9, 0.1], ["a", "a"], {}, 2, lambda rows: np.concatenate([vectors[rows], vectors[:1]]), away=True)
    assert found == [1, 0]


def test_each_reason_has_its_share_of_a_batch_and_an_empty_one_leaves_its_share_to_the_others() -> None:
    vectors = np.eye(8, dtype=np.float32)
    reasons = ["a"] * 5 + ["b"] * 3
    first = in_order([0.5] * 8, reasons, {"a": 0.25, "b": 0.75}, 4, vectors.__getitem__)
    assert sorted(reasons[number] for number in first) == ["a", "b", "b", "b"]
    whole = in_order([0.5] * 8, reasons, {"a": 0.25, "b": 0.75}, 8, vectors.__getitem__)
    assert sorted(whole) == list(range(8))
    unnamed = in_order([0.5] * 8, reasons, {"b": 0.5, "z": 0.5}, 4, vectors.__getitem__)
    assert [reasons[number] for number in unnamed].count("a") == 2


def test_writers_at_once_lose_no_text(folder_lake: Lake) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def add(number: int) -> int:
        text = QueuedText(id=f"{number}", text=f"t{number}", group_id=f"g{number}", reasons=("low_confidence",), need=0.5, first_seen=NOW)
        return Queue(folder_lake, MODEL).add([text], 100)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(add, range(12))) == 12
    assert len(Queue(folder_lake, MODEL).rows("open")) == 12
