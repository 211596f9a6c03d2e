import hashlib
import json
import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.data.rows import EPOCH, Annotation, _plain_row, _validated_row, digest_of, parse_row, row_hash, split_of
from headgate.errors import BadInput


def row(**fields: Any) -> Annotation:
    return parse_row({"text": "Sounds good", "label": "positive"} | fields)


def test_text_and_label_are_enough() -> None:
    found = row()
    assert found == Annotation(id="5f4ba2659306eb08", text="Sounds good", label="positive", group_id="5f4ba2659306eb08")
    assert (found.source, found.annotator, found.annotated_at, found.headers) == ("annotation", "", EPOCH, None)


def test_empty_optional_fields_count_as_absent() -> None:
    assert row(id="", group_id=None, source="", annotator=" ", annotated_at=math.nan, headers="") == row()


def test_the_split_follows_the_group_and_is_a_tenth() -> None:
    splits = [split_of(f"thread-{number}") for number in range(10_000)]
    assert 900 < splits.count("valid") < 1100
    assert row(id="a", group_id="t").split == row(id="b", group_id="t", text="Other").split
    assert [split_of(f"thread-{n}") for n in range(20)].count("valid") == splits[:20].count("valid")


@pytest.mark.parametrize("given_time", ["2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00", "2026-03-01 12:00:00"])
def test_times_become_utc(given_time: str) -> None:
    assert row(annotated_at=given_time).annotated_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_headers_come_as_an_object_or_as_its_json() -> None:
    assert row(headers='{"Auto-Submitted": "auto-replied"}').headers == row(headers={"Auto-Submitted": "auto-replied"}).headers


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": ""}, "text: expected a string, found nothing"),
        ({"text": " \n "}, "text: expected a string, found nothing"),
        ({"text": math.nan}, "text: expected a string, found nothing"),
        ({"text": 7}, "text: expected a string, found int 7"),
        ({"text": "a\x00b"}, "text: expected text, found NUL characters in 'a\\x00b'"),
        ({"text": "a\ud800"}, "text: expected text, found a lone surrogate (half a character)"),
        ({"label": None}, "label: expected a string, found nothing"),
        ({"label": 1}, "label: expected a string, found int 1"),
        ({"label": True}, "label: expected a string, found bool True"),
        (
            {"label": ["a", "b"]},
            "label: expected one string, found a list of 2; a row has one label, multi-label data is not supported",
        ),
        ({"label": "a\nb"}, "label: expected one printable line, found 'a\\nb'"),
        ({"label": "x" * 201}, "label: String should have at most 200 characters"),
        ({"id": 1.5}, "id: expected a string, found float 1.5"),
        ({"source": "guess"}, "source: Input should be 'annotation', 'correction' or 'import'"),
        ({"annotated_at": "soon"}, "annotated_at: expected an ISO 8601 time such as 2026-01-31T12:00:00Z, found 'soon'"),
        ({"headers": [1]}, "headers: expected an object of strings, found [1]"),
        ({"headers": {"a": 1}}, "headers: expected an object of strings, found {'a': 1}"),
    ],
)
def test_a_bad_field_is_named_with_what_was_expected_and_found(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as fault:
        row(**fields)
    assert str(fault.value) == message


def test_all_faults_of_a_row_are_told_at_once() -> None:
    with pytest.raises(BadInput) as fault:
        row(text=None, label=3, source="x")
    assert str(fault.value).count("; ") == 2


def test_missing_fields_are_told_with_the_fields_found() -> None:
    with pytest.raises(BadInput) as fault:
        parse_row({"body": "hi", "intent": "x"})
    assert str(fault.value) == "text and label: missing; expected at least the fields text and label, found body, intent"
    with pytest.raises(BadInput, match="label: missing, found 'labels' instead; a row has one label"):
        parse_row({"text": "hi", "labels": ["x"]})


def test_the_hash_sees_every_field_and_no_order() -> None:
    variants = [
        row(),
        row(label="other"),
        row(annotator="ann"),
        row(headers={"a": "b"}),
        row(source="import"),
        row(annotated_at="2026-01-01"),
    ]
    hashes = [row_hash(variant) for variant in variants]
    assert len(set(hashes)) == len(hashes)
    assert digest_of(sum(hashes)) == digest_of(sum(reversed(hashes)))
    assert row_hash(row(headers={"a": "1", "b": "2"})) == row_hash(row(headers={"b": "2", "a": "1"}))


def test_the_hash_of_a_row_never_changes_between_releases() -> None:
    assert f"{row_hash(row()):032x}" == "5086fac4412723d5d9947ec45349109b"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*Annotation.model_fields, "other"]), anything))
def test_any_raw_row_is_either_an_annotation_or_bad_input(raw: dict[str, Any]) -> None:
    with suppress(BadInput):
        assert parse_row(raw).text.strip()


odd_text = st.text(max_size=12) | st.sampled_from(["", " ", "\x00", "\ud800", "a\nb", "\x85", "\xa0x", "x" * 201, " a ", "NaN"])
plain_row = st.fixed_dictionaries(
    {"text": odd_text, "label": odd_text},
    optional={
        "id": odd_text | st.none(),
        "group_id": odd_text | st.none(),
        "source": st.sampled_from(["annotation", "correction", "import", "", "other"]) | st.none(),
        "annotator": odd_text | st.none(),
        "annotated_at": st.datetimes().map(str) | odd_text | st.sampled_from(["2026-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"]),
        "headers": st.none() | st.just(""),
        "other": odd_text,
    },
)


@settings(deadline=None, max_examples=400)
@given(plain_row | st.dictionaries(st.sampled_from([*Annotation.model_fields, "other"]), anything))
def test_the_quick_way_through_a_plain_row_ends_where_validation_ends(raw: dict[str, Any]) -> None:
    if (quick := _plain_row(raw)) is not None:
        slow = _validated_row(raw)
        assert quick == slow
        assert quick.model_dump_json() == slow.model_dump_json()
        assert quick.model_copy(update={"label": "z"}) == slow.model_copy(update={"label": "z"})


def test_a_plain_row_takes_the_quick_way() -> None:
    raw = {"id": "a", "text": "Café?", "label": " x ", "group_id": "", "annotator": "ann", "annotated_at": "2026-01-01T00:00:00Z"}
    assert _plain_row(raw) == _validated_row(raw)


def hash_of_format_1(row: Annotation) -> int:
    """As written before the quicker encoder: digests of old data versions were added up from it."""
    canonical = json.dumps(row.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return int.from_bytes(hashlib.sha256(canonical.encode()).digest()[:16], "big")


words = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\x01\x1b\x7f\u2028\u2029\\"/'), min_size=1, max_size=12)


@settings(deadline=None, max_examples=400)
@given(
    st.builds(
        lambda text, annotator, at, headers: Annotation.model_construct(
            id=text, text=text, label=text, group_id=text, source="import", annotator=annotator, annotated_at=at, headers=headers
        ),
        words,
        words,
        st.datetimes(timezones=st.just(UTC)),
        st.none() | st.dictionaries(words, words, max_size=4),
    )
)
def test_the_hash_is_the_one_of_format_1_for_any_row(row: Annotation) -> None:
    assert row_hash(row) == hash_of_format_1(row)


def test_a_time_that_comes_from_a_frame_hashes_like_any_other() -> None:
    one = row(annotated_at=pd.Timestamp("2026-01-31T12:00:00.123456Z"))
    assert row_hash(one) == hash_of_format_1(one) == row_hash(row(annotated_at="2026-01-31T12:00:00.123456Z"))
