import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.data.files import read_file
from headgate.data.parsing import ParsedFile, parse_file
from headgate.data.raw import RawFile


def answer(*choices: Any, name: str = "intent", kind: str = "choices") -> dict[str, Any]:
    return {"from_name": name, "to_name": "mail", "type": kind, "value": {kind: list(choices)}}


def annotation(*results: dict[str, Any], who: Any = 1, **more: Any) -> dict[str, Any]:
    return {"completed_by": who, "result": list(results), "updated_at": "2026-03-01T10:00:00Z", "was_cancelled": False} | more


def task(*annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"id": 7, "project": 1, "data": data, "annotations": list(annotations), "predictions": [{"result": [answer("guess")]}]}


def read(*records: dict[str, Any], lines: bool = False) -> RawFile:
    data = "\n".join(map(json.dumps, records)) if lines else json.dumps(list(records), indent=2)
    return read_file("export", data.encode())


def parsed(*records: dict[str, Any]) -> ParsedFile:
    return parse_file("e.json", json.dumps(list(records)).encode())


@pytest.mark.parametrize("lines", [False, True])
def test_each_annotator_of_a_label_studio_task_gives_a_row(lines: bool) -> None:
    record = task(
        annotation(answer("positive")), annotation(answer("other"), who={"id": 2, "email": "ann@example.com"}), text="Yes", id="r1"
    )
    file = read(record, task(annotation(answer("other")), text="No"), lines=lines)
    assert file.format == "Label Studio's JSON"
    when = "2026-03-01T10:00:00Z"
    assert [(row.line, row.raw) for row in file.rows] == [
        (1, {"id": "r1", "text": "Yes", "label": "positive", "annotator": "1", "annotated_at": when}),
        (2, {"id": "r1", "text": "Yes", "label": "other", "annotator": "ann@example.com", "annotated_at": when}),
        (3, {"text": "No", "label": "other", "annotator": "1", "annotated_at": when}),
    ]
    assert file.remarks == ["Label Studio's JSON: 2 record(s) hold 3 row(s), which are numbered as they come"]


def test_cancelled_annotations_and_tasks_without_one_are_left_out_and_counted() -> None:
    file = read(task(annotation(answer("x"), was_cancelled=True), annotation(answer("y")), text="a"), task(text="b"))
    assert [row.raw["label"] for row in file.rows if row.raw] == ["y"]
    assert file.remarks[1:] == ["left out 1 skipped or cancelled by its annotator", "left out 1 without an annotation"]


@pytest.mark.parametrize(
    "result",
    [
        answer(["objection", "budget"]),
        answer(["objection"], ["objection", "budget"], kind="taxonomy"),
        answer("objection/budget"),
    ],
    ids=["nested choice", "taxonomy with its parent", "path"],
)
def test_nested_choices_become_a_path(result: dict[str, Any]) -> None:
    assert [row.label for row in parsed(task(annotation(result), text="a")).rows] == ["objection/budget"]


def test_completions_of_old_versions_and_their_seconds_are_read() -> None:
    old = {"id": 1, "data": {"text": "a"}, "completions": [{"result": [answer("x")], "created_at": 1600000000}]}
    assert parsed(old).rows[0].annotated_at.isoformat() == "2020-09-13T12:26:40+00:00"


def test_what_is_no_single_label_is_refused_with_its_task() -> None:
    found = parsed(
        task(annotation(answer("x", "y")), text="a"),
        task(annotation(), text="b"),
        task(annotation(answer("x", name="intent"), answer("y", name="mood")), text="c"),
        task(annotation(answer("x")), a="1", b="2"),
    )
    assert found.rows == ()
    assert [str(row) for row in found.bad] == [
        "e.json, line 1: label: expected one string, found a list of 2; a row has one label, multi-label data is not supported",
        "e.json, line 2: Label Studio task 7: expected one choice, found none",
        "e.json, line 3: Label Studio task 7: expected one choice or one that is named label, found intent, mood",
        "e.json, line 4: Label Studio task 7: expected a field text in the task's data, found a, b",
    ]


def test_label_studios_minimal_json_is_read() -> None:
    own = {"annotator": 3, "annotation_id": 9, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z", "lead_time": 1.5}
    file = read(
        {"text": "Yes", "group_id": "t1", "id": 4, "intent": "positive"} | own, {"text": "No", "id": 5, "label": {"choices": ["a"]}} | own
    )
    assert file.format == "Label Studio's JSON-MIN"
    who = {"annotator": "3", "annotated_at": "2026-01-02T00:00:00Z"}
    assert [row.raw for row in file.rows] == [
        {"text": "Yes", "label": "positive", "group_id": "t1"} | who,
        {"text": "No", "label": "a"} | who,
    ]


ARGILLA = {
    "id": "r1",
    "fields": {"text": "Yes"},
    "metadata": {"group_id": "t1"},
    "suggestions": {"label": {"value": "guess", "score": 0.9, "agent": "m"}},
    "responses": {
        "label": [{"value": "positive", "user_id": "u1"}, {"value": "other", "user_id": "u2"}],
        "mood": [{"value": "calm", "user_id": "u1"}],
    },
    "vectors": {},
}


def labels(file: RawFile) -> list[tuple[Any, Any, Any]]:
    return [(row.raw["text"], row.raw["label"], row.raw["annotator"]) for row in file.rows if row.raw]


def test_argillas_records_give_a_row_for_each_response() -> None:
    file = read(ARGILLA, ARGILLA | {"id": "r2", "responses": {}})
    assert file.format == "Argilla's records"
    assert labels(file) == [("Yes", "positive", "u1"), ("Yes", "other", "u2")]
    assert file.remarks[1:] == ["left out 1 without a response"]
    assert parsed(ARGILLA).rows[0].group_id == "t1"


def test_argillas_flat_and_older_records_are_read_and_discarded_ones_left_out() -> None:
    flat = {"id": "a", "text": "Yes", "label.responses": ["x", "y"], "label.responses.users": ["u1", "u2"], "label.suggestion": "z"}
    file = read(flat | {"label.responses.status": ["submitted", "discarded"]})
    assert labels(file) == [("Yes", "x", "u1")]
    assert file.remarks[1:] == ["left out 1 with the status discarded"]
    feedback = {"user_id": "u3", "status": "submitted", "values": {"intent": {"value": "x"}}}
    assert labels(read({"fields": {"mail": "Yes"}, "responses": [feedback]})) == [("Yes", "x", "u3")]
    legacy = {"inputs": {"text": "Yes"}, "annotation": "x", "annotation_agent": "ann", "prediction": [["y", 0.9]], "status": "Validated"}
    assert labels(read(legacy)) == [("Yes", "x", "ann")]


def test_a_record_of_another_shape_in_an_export_is_told_and_its_neighbours_are_kept() -> None:
    found = parsed(task(annotation(answer("x")), text="a"), {"text": "b", "label": "y"}, task(annotation(answer("z")), text="c"))
    assert [row.label for row in found.rows] == ["x", "z"]
    assert [str(row) for row in found.bad] == [
        "e.json, line 2: expected a Label Studio task with data and a list of annotations, found text, label"
    ]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["choices", "label", "text"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["data", "result", "value", "choices", "taxonomy", "from_name", "status", "user_id", "values", "label", "text"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
TASK_NAMES = ["data", "annotations", "completions", "annotation_id", "annotator", "lead_time", "id", "text", "metadata"]
RECORD_NAMES = ["fields", "responses", "label.responses", "label.responses.users", "annotation", "inputs", "prediction"]
names = st.sampled_from([*TASK_NAMES, *RECORD_NAMES])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(names, anything, max_size=6), min_size=1, max_size=3))
def test_no_shape_of_an_export_makes_reading_raise_or_gives_two_rows_one_number(records: list[dict[str, Any]]) -> None:
    file = read(*records)
    numbers = [row.line for row in file.rows]
    assert len(numbers) == len(set(numbers))
    for row in parsed(*records).bad:
        assert row.reason
