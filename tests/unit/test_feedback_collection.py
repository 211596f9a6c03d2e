"""Corrections become rows: each once, only those that may, whatever is killed on the way."""

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from made_up_predictions import MODEL, NOW, corrected, identifier, predicted, ship

from headgate.data.frozen import freeze
from headgate.data.ingest import ingest
from headgate.data.landing import landed
from headgate.data.rows import parse_row
from headgate.data.table import DatasetTable
from headgate.errors import NotFound, Unavailable
from headgate.lake import Lake
from headgate.monitoring import feedback, feedback_ledger
from headgate.monitoring.feedback import Collected, collect, release_held
from headgate.monitoring.feedback_ledger import Ledger
from headgate.settings import ModelSettings

SETTINGS = ModelSettings(dataset="replies", labels=("positive", "objection", "other"))


def collected(lake: Lake, settings: ModelSettings = SETTINGS, now: Any = NOW) -> Collected:
    return collect(lake, MODEL, settings, now)


def rows(lake: Lake) -> list[dict[str, Any]]:
    ingest(lake, "replies", SETTINGS.labels)
    return DatasetTable(lake, "replies").load().to_dict("records")


def limits(**given: int) -> ModelSettings:
    return ModelSettings.model_validate(SETTINGS.model_dump(exclude_unset=True) | {"feedback": given})


def test_a_correction_becomes_a_row_of_its_text(lake: Lake) -> None:
    (name,) = predicted(lake, "Call me on Thursday")
    corrected(lake, (name, "positive", "ada"))
    found = collected(lake)
    assert found.landed == {"positive": 1}
    (row,) = rows(lake)
    assert (row["text"], row["label"], row["source"], row["annotator"]) == ("Call me on Thursday", "positive", "correction", "ada")
    assert row["id"] == parse_row({"text": "Call me on Thursday", "label": "x"}).id
    assert collected(lake).nothing


def test_what_is_shipped_later_is_read_and_nothing_is_read_twice(folder_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    names = predicted(folder_lake, "one", "two")
    corrected(folder_lake, (names[0], "positive", "ada"))
    collected(folder_lake)
    corrected(folder_lake, (names[1], "objection", "ada"))
    read: list[str] = []
    whole = type(folder_lake).read
    monkeypatch.setattr(type(folder_lake), "read", lambda lake, key: read.append(key) or whole(lake, key))  # type: ignore[func-returns-value]
    assert collected(folder_lake).landed == {"objection": 1}
    assert len([key for key in read if key.startswith("feedback/")]) == 1
    assert {row["text"]: row["label"] for row in rows(folder_lake)} == {"one": "positive", "two": "objection"}


def test_only_the_predictions_of_the_corrections_own_days_are_read(folder_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for days in range(2, 12):
        predicted(folder_lake, f"old {days}", at=NOW - timedelta(days=days))
    (name,) = predicted(folder_lake, "new")
    corrected(folder_lake, (name, "positive", "ada"))
    read: list[str] = []
    whole = type(folder_lake).read
    monkeypatch.setattr(type(folder_lake), "read", lambda lake, key: read.append(key) or whole(lake, key))  # type: ignore[func-returns-value]
    assert collected(folder_lake).landed == {"positive": 1}
    assert len([key for key in read if key.startswith("predictions/")]) == 1


@pytest.mark.parametrize(
    ("fields", "correction", "reason"),
    [
        ({}, {"label": "unheard-of"}, "unknown label"),
        ({"text": None, "hash": "0" * 64}, {}, "the log keeps only the hash of the text, and the correction brings none"),
        ({"text": None}, {}, "the log keeps nothing of the text, and the correction brings none"),
        ({"text": None, "hash": "0" * 64}, {"text": "another"}, "its text is not the one that was answered"),
        ({"outcome": "skipped", "reason": "machine_mail"}, {}, "skipped as machine_mail: no classifier read this text"),
        ({}, {"ts": (NOW + timedelta(days=2)).isoformat()}, "its time is in the future"),
        ({"text": "Frozen  TEXT"}, {}, "its text or group is in the regression set"),
        ({"text": "frozen text\n\nOn Monday, Bo <bo@example.com> wrote:\n> hello"}, {}, "its text or group is in the regression set"),
    ],
)
def test_what_may_not_become_a_row_is_refused_with_the_reason(
    folder_lake: Lake, fields: dict[str, Any], correction: dict[str, Any], reason: str
) -> None:
    freeze(folder_lake, SETTINGS.regression_set, [parse_row({"text": "frozen text", "label": "other"})])
    (name,) = predicted(folder_lake, "a text", **fields)
    ship(folder_lake, "feedback", NOW, [{"ts": NOW.isoformat(), "prediction_id": name, "label": "positive"} | correction])
    found = collected(folder_lake)
    assert (found.refused, found.landed) == ({reason: 1}, {})
    assert landed(folder_lake, "replies") == []


def test_an_abstained_answer_that_is_corrected_becomes_a_row(folder_lake: Lake) -> None:
    (name,) = predicted(folder_lake, "hm", outcome="abstained", reason="low_confidence")
    corrected(folder_lake, (name, "objection", "ada"))
    assert collected(folder_lake).landed == {"objection": 1}


def test_a_text_of_the_products_own_counts_where_its_hash_is_the_logged_one(folder_lake: Lake) -> None:
    logged = hashlib.sha256(b"two\nlines").hexdigest()
    (name,) = predicted(folder_lake, "unused", text=None, hash=logged)
    line = {"prediction_id": name, "label": "positive", "text": "two\r\nlines "}
    folder_lake.put_if_absent("corrections/replies/crm.jsonl", json.dumps(line).encode())
    assert collected(folder_lake).landed == {"positive": 1}


def test_files_of_a_product_are_read_once_and_their_bad_lines_are_reported(lake: Lake) -> None:
    (name,) = predicted(lake, "from the CRM")
    lake.put_if_absent("corrections/replies/may.csv", f"prediction_id,label\n{name},positive\nnonsense,positive\n".encode())
    lake.put_if_absent("corrections/replies/may-again.csv", f"prediction_id,label\n{name},positive\n".encode())
    found = collected(lake)
    assert found.landed == {"positive": 1}
    assert found.refused == {"unreadable: prediction_id: expected the id of an answer, found 'nonsense'": 1}
    assert collected(lake).nothing
    assert len(rows(lake)) == 1


def test_a_correction_waits_for_its_prediction_and_not_for_ever(folder_lake: Lake) -> None:
    name = identifier(NOW - timedelta(hours=1))
    corrected(folder_lake, (name, "positive", "ada"))
    assert collected(folder_lake).waiting == 1
    line = {"prediction_id": name, "text": "late", "outcome": "scored", "cohort": "champion"}
    ship(folder_lake, "predictions", NOW - timedelta(hours=1), [line])
    assert collected(folder_lake).landed == {"positive": 1}
    corrected(folder_lake, (identifier(NOW - timedelta(hours=1)), "positive", "ada"), at=NOW)
    assert collected(folder_lake).waiting == 1
    assert collected(folder_lake, now=NOW + timedelta(days=3)).refused == {"no such prediction in the log": 1}


def test_beyond_a_users_limit_of_the_day_corrections_are_held_until_a_person_releases_them(folder_lake: Lake) -> None:
    names = predicted(folder_lake, "one", "two", "three")
    corrected(folder_lake, *((name, "positive", "ada") for name in names))
    settings = limits(max_per_annotator_per_day=1)
    found = collected(folder_lake, settings)
    assert (found.landed, found.held) == ({"positive": 1}, {"ada: more than 1 of one day": 2})
    assert collected(folder_lake, settings).landed == {}
    held = [entry.key for entry in Ledger(folder_lake, MODEL).open()]
    release_held(folder_lake, MODEL, "replies", held, "lea", NOW)
    assert len(rows(folder_lake)) == 3
    with pytest.raises(NotFound, match="expected held corrections of model replies, found none with"):
        release_held(folder_lake, MODEL, "replies", held, "lea", NOW)


def test_another_user_and_another_day_have_a_limit_of_their_own(folder_lake: Lake) -> None:
    names = predicted(folder_lake, "one", "two", "three", at=NOW - timedelta(days=1, hours=1))
    corrected(folder_lake, (names[0], "positive", "ada"), (names[1], "positive", "bo"))
    corrected(folder_lake, (names[2], "positive", "ada"), at=NOW - timedelta(days=1))
    assert collected(folder_lake, limits(max_per_annotator_per_day=1)).landed == {"positive": 3}


def test_of_one_users_corrections_of_a_text_the_latest_counts(folder_lake: Lake) -> None:
    (name,) = predicted(folder_lake, "hm")
    corrected(folder_lake, (name, "positive", "ada"), at=NOW - timedelta(minutes=20))
    corrected(folder_lake, (name, "objection", "ada"), at=NOW - timedelta(minutes=10))
    found = collected(folder_lake)
    assert (found.landed, found.superseded) == ({"objection": 1}, 1)
    corrected(folder_lake, (name, "other", "ada"), at=NOW - timedelta(minutes=15))
    collected(folder_lake)
    assert [row["label"] for row in rows(folder_lake)] == ["objection"]


def test_a_correction_of_an_annotated_text_corrects_its_row(folder_lake: Lake) -> None:
    DatasetTable(folder_lake, "replies").merge([parse_row({"id": "r1", "group_id": "t1", "text": "Call me", "label": "other"})])
    (name,) = predicted(folder_lake, "call  me")
    corrected(folder_lake, (name, "positive", "ada"))
    collected(folder_lake)
    (row,) = rows(folder_lake)
    assert (row["id"], row["group_id"], row["label"]) == ("r1", "t1", "positive")


def test_users_who_disagree_are_left_to_the_conflict_policy(folder_lake: Lake) -> None:
    names = predicted(folder_lake, "same", "same")
    corrected(folder_lake, (names[0], "positive", "ada"), (names[1], "objection", "bo"))
    collected(folder_lake)
    found = ingest(folder_lake, "replies", SETTINGS.labels)
    assert [conflict.votes for conflict in found.conflicts] == [{"objection": ("bo",), "positive": ("ada",)}]


@pytest.mark.parametrize("killed_at", range(7))
def test_killed_between_any_two_steps_nothing_is_lost_or_doubled(
    folder_lake: Lake, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    names = predicted(folder_lake, "one", "two", "three")
    corrected(folder_lake, (names[0], "positive", "ada"), (names[1], "positive", "ada"))
    folder_lake.put_if_absent("corrections/replies/may.csv", f"prediction_id,label,annotator\n{names[2]},other,bo\n".encode())
    steps = iter(range(100))

    def dying(work: Any) -> Any:
        def done(*given: Any, **named: Any) -> Any:
            if next(steps) == killed_at:
                raise Unavailable("killed")
            return work(*given, **named)

        return done

    with monkeypatch.context() as patch:
        patch.setattr(type(folder_lake), "put_if_absent", dying(type(folder_lake).put_if_absent))
        patch.setattr(type(folder_lake), "compare_and_swap", dying(type(folder_lake).compare_and_swap))
        patch.setattr(feedback_ledger.Ledger, "write", dying(feedback_ledger.Ledger.write))
        if killed_at < 5:
            with pytest.raises(Unavailable, match="killed"):
                collected(folder_lake)
        else:
            collected(folder_lake)
    corrected(folder_lake, (identifier(NOW - timedelta(hours=1)), "positive", "ada"))
    collected(folder_lake)
    assert sorted((row["text"], row["label"]) for row in rows(folder_lake)) == [
        ("one", "positive"),
        ("three", "other"),
        ("two", "positive"),
    ]
    assert len(landed(folder_lake, "replies")) == 1
    assert feedback.collect(folder_lake, MODEL, SETTINGS, NOW).landed == {}
