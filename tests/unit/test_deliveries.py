from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_deliveries import argilla, label_studio

from headgate.data.deliveries import Delivery, from_argilla, from_label_studio, from_rows, read_json
from headgate.data.parsing import parse_file
from headgate.data.rows import Annotation
from headgate.errors import BadInput


def rows(delivery: Delivery) -> list[Annotation]:
    return list(parse_file("delivery.jsonl", delivery.data).rows)


def test_a_label_studio_annotation_lands_as_the_export_has_it() -> None:
    delivery = from_label_studio(label_studio("objection/budget"))
    (row,) = rows(delivery)
    assert (row.text, row.label, row.annotator, row.annotated_at.isoformat()) == (
        "yes please",
        "objection/budget",
        "3",
        "2026-01-31T12:00:00+00:00",
    )
    assert delivery.rows == 1


def test_the_same_delivery_has_the_same_name_and_a_corrected_one_another() -> None:
    first, again = from_label_studio(label_studio()), from_label_studio(label_studio(lead_time=9.9))
    later = from_label_studio(label_studio("other", at="2026-01-31T12:05:00Z"))
    assert first.landing_key("replies") == again.landing_key("replies")
    assert first.landing_key("replies").startswith("landing/replies/label-studio-")
    assert later.landing_key("replies") != first.landing_key("replies")
    (row,) = rows(Delivery("rows", first.data + later.data))  # one text, so that the later annotation wins
    assert row.label == "other"


def test_several_annotations_at_once_are_joined_with_their_tasks() -> None:
    one = label_studio()
    annotations = [one["annotation"] | {"task": number} for number in (7, 8)]
    tasks = [one["task"], one["task"] | {"id": 8, "data": {"text": "stop"}}]
    delivery = from_label_studio({"action": "ANNOTATIONS_CREATED", "annotation": annotations, "task": tasks})
    assert [row.text for row in rows(delivery)] == ["yes please", "stop"]


@pytest.mark.parametrize("action", ["TASKS_CREATED", "ANNOTATIONS_DELETED", "PROJECT_UPDATED", "SOMETHING_NEW"])
def test_other_actions_of_label_studio_bring_nothing(action: str) -> None:
    expected = f"{action}: expected one of ANNOTATIONS_CREATED, ANNOTATION_CREATED, ANNOTATION_UPDATED"
    assert from_label_studio({"action": action}) == Delivery("label-studio", ignored=expected)


def test_a_skipped_task_brings_nothing_and_a_bad_one_goes_to_the_quarantine() -> None:
    skipped = from_label_studio(label_studio(was_cancelled=True))
    assert (skipped.data, skipped.ignored) == (b"", "no annotation to land: skipped or cancelled by its annotator")
    two = label_studio()
    two["annotation"]["result"][0]["value"]["choices"] = ["positive", "other"]
    parsed = parse_file("delivery.jsonl", from_label_studio(two).data)
    assert [row.reason for row in parsed.bad] == [
        "label: expected one string, found a list of 2; a row has one label, multi-label data is not supported"
    ]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({}, "expected a Label Studio webhook with an action, found the fields none"),
        ({"action": 3, "x": 1}, "expected a Label Studio webhook with an action, found the fields action, x"),
        (
            {"action": "ANNOTATION_CREATED"},
            "ANNOTATION_CREATED: expected a payload with annotation and task, found neither; switch on 'Send payload' of the webhook",
        ),
        (
            {"action": "ANNOTATION_CREATED", "annotation": {"id": 5, "result": []}},
            "ANNOTATION_CREATED: annotation 5: expected its task with data, found none",
        ),
        ({"action": "ANNOTATION_CREATED", "annotation": [1]}, "expected objects as annotation and task, found something else"),
    ],
)
def test_what_is_no_webhook_of_label_studio_is_refused(payload: Any, expected: str) -> None:
    with pytest.raises(BadInput) as told:
        from_label_studio(payload)
    assert str(told.value) == expected


def test_an_argilla_response_lands_as_the_export_has_it() -> None:
    delivery = from_argilla(argilla("unsubscribe"))
    (row,) = rows(delivery)
    assert (row.id, row.text, row.label, row.annotator, row.group_id) == ("m-1", "yes please", "unsubscribe", "5f6a", "thread-1")
    assert row.annotated_at.isoformat() == "2026-01-31T12:00:00+00:00"
    assert delivery.landing_key("replies") == from_argilla(argilla("unsubscribe") | {"timestamp": "later"}).landing_key("replies")


def test_drafts_discarded_responses_and_other_events_of_argilla_bring_nothing() -> None:
    assert from_argilla(argilla(status="draft")).ignored == "no annotation to land: with the status draft"
    assert from_argilla(argilla(status="discarded", values=None)).ignored.startswith("no annotation to land: ")
    for kind in ("response.deleted", "record.completed", "dataset.published", "ping"):
        expected = f"{kind}: expected one of response.created, response.updated"
        assert from_argilla({"type": kind, "data": {}}) == Delivery("argilla", ignored=expected)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"a": 1}, "expected an Argilla webhook with a type, found the fields a"),
        ({"type": "response.created", "data": {"x": 1}}, "response.created: expected data with a record that has fields, found x"),
        ({"type": "response.updated"}, "response.updated: expected data with a record that has fields, found none"),
    ],
)
def test_what_is_no_webhook_of_argilla_is_refused(payload: Any, expected: str) -> None:
    with pytest.raises(BadInput) as told:
        from_argilla(payload)
    assert str(told.value) == expected


def test_rows_of_ones_own_land_whole_or_not_at_all() -> None:
    delivery = from_rows(b'{"id": "1", "text": "yes", "label": "positive"}\n{"id": "2", "text": "no", "label": "other"}\n')
    assert [(row.id, row.label) for row in rows(delivery)] == [("1", "positive"), ("2", "other")]
    with pytest.raises(BadInput) as told:
        from_rows(b'{"text": "yes", "label": "positive"}\n{"text": "no", "label": "othr"}\n{"text": 3}\nnot json\n', ["positive", "other"])
    assert str(told.value) == "\n".join(
        [
            "expected rows with text and label, found 3 bad one(s):",
            "line 2: label: unknown 'othr'; expected one of other, positive",
            "line 3: label: missing; expected at least the fields text and label, found text",
            "line 4: expected a JSON object, found broken JSON: Expecting value at column 1",
        ]
    )


def test_a_row_from_the_future_is_refused_with_its_field() -> None:
    with pytest.raises(BadInput) as told:
        from_rows(b'{"text": "yes", "label": "positive", "annotated_at": "9000-01-01"}\n')
    assert str(told.value) == (
        "expected rows with text and label, found 1 bad one(s):\n"
        "line 1: annotated_at: expected a time not in the future, found 9000-01-01T00:00:00+00:00"
    )


def test_rows_may_come_in_any_text_format_and_never_empty() -> None:
    assert from_rows(b"text,label\nyes,positive\n").rows == 1
    assert from_rows(b'[{"text": "yes", "label": "positive"}]').rows == 1
    for empty in (b"", b"\n", b"text,label\n"):
        with pytest.raises(BadInput):
            from_rows(empty)


JSON = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@given(st.sampled_from(["annotation", "task", "action", "data", "type"]), JSON, st.sampled_from(["id", "result", "task", "record", "user"]))
def test_no_payload_breaks_the_converters(name: str, value: Any, inner: str) -> None:
    for convert, payload in ((from_label_studio, label_studio()), (from_argilla, argilla())):
        before = payload.get(name)
        for changed in (value, (before if isinstance(before, dict) else {}) | {inner: value}):
            with suppress(BadInput):
                parse_file("delivery.jsonl", convert(payload | {name: changed}).data)


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 100_000, b"7"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        read_json(body)
