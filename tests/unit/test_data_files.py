import io
import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.data.files import RawRow, read_annotations, read_file
from headgate.data.json_rows import _plain_object
from headgate.data.parsing import parse_file, read_rows
from headgate.errors import BadInput, NotFound

GOOD = '{"text": "Yes please", "label": "positive"}'


def bad_lines(name: str, data: bytes) -> dict[int, str]:
    return {row.line: row.fault for row in read_annotations(name, data) if row.fault}


def good_lines(name: str, data: bytes) -> list[int]:
    return [row.line for row in read_annotations(name, data) if row.raw]


def test_json_lines_are_read_with_their_line_and_without_empty_lines() -> None:
    rows = list(read_annotations("a.jsonl", f"\ufeff{GOOD}\r\n\n{GOOD}\n".encode()))
    assert rows[0] == RawRow(1, {"text": "Yes please", "label": "positive"}, text=f"{GOOD}\r")
    assert [row.line for row in rows] == [1, 3]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"text": "a"', "expected a JSON object, found broken JSON: Expecting ',' delimiter at column 13"),
        ("[1]", "expected a JSON object, found list"),
        ('"text"', "expected a JSON object, found str"),
        ('{"text": NaN, "label": "a"}', "expected JSON, found NaN, which JSON does not have"),
        ('{"text": "a", "text": "b", "label": "c"}', "expected each field once, found twice: text"),
        ('{"text": "a\x00", "label": "c"}', "expected text, found NUL bytes"),
        ("[" * 100_000, "expected a JSON object, found JSON that is nested too deeply"),
        ('{"text": "%s", "label": "c"}' % ("x" * 1_000_001), "expected at most 1,000,000 characters in a row, found 1,000,027"),
    ],
    ids=["broken", "list", "string", "nan", "twice", "nul", "deep", "huge"],
)
def test_a_bad_line_is_told_and_its_neighbours_are_kept(line: str, fault: str) -> None:
    data = f"{GOOD}\n{line}\n{GOOD}\n".encode()
    assert good_lines("a.jsonl", data) == [1, 3]
    assert bad_lines("a.jsonl", data) == {2: fault}


def test_a_file_that_breaks_off_says_so() -> None:
    data = f'{GOOD}\n{{"text": "No th'.encode()
    assert good_lines("a.jsonl", data) == [1]
    assert bad_lines("a.jsonl", data) == {
        2: "expected a JSON object, found broken JSON: Unterminated string starting at at column 10; "
        "the file breaks off here: it may be truncated"
    }


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize(("name", "text"), [("a.jsonl", '{"text": "Café", "label": "x"}\n'), ("a.csv", "text,label\r\nCafé,x\r\n")])
def test_a_byte_order_mark_tells_the_encoding(encoding: str, name: str, text: str) -> None:
    assert [row.raw for row in read_annotations(name, text.encode(encoding))] == [{"text": "Café", "label": "x"}]


FORMATS = "JSON Lines, a JSON array, CSV, Parquet, Label Studio's JSON, Argilla's records, or a folder of e-mails with a CSV of labels"


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        ("a.jsonl", b"", "the file is empty; expected at least one row with text and label"),
        ("a.csv", b" \n\n", "the file is empty; expected at least one row with text and label"),
        (
            "a.jsonl",
            f"{GOOD}\n".encode("utf-16")[:-1],
            f"UTF-16 text that breaks off or is damaged at byte 88; save the file as UTF-8; formats: {FORMATS}",
        ),
        (
            "a.csv",
            b"PK\x03\x04stuff",
            f"expected text, found a zip archive or Excel workbook; export the rows as CSV or JSON Lines; formats: {FORMATS}",
        ),
        (
            "a.jsonl",
            bytes(range(256)) * 8,
            f"expected text, found binary data; export the rows as CSV or JSON Lines in UTF-8; formats: {FORMATS}",
        ),
        ("README", b"hello", f"unknown format: expected {FORMATS}; found a file that starts with 'hello'"),
        (
            "a.eml",
            b"From: a@example.com\nSubject: x\n\nhi",
            "found e-mail without its labels; put it into a folder with a CSV file of the columns id and label, and land the folder",
        ),
    ],
    ids=["empty", "blank", "half utf-16", "zip", "binary", "prose", "mail"],
)
def test_a_file_of_no_known_format_is_one_fault_that_says_what_was_found(name: str, data: bytes, fault: str) -> None:
    assert bad_lines(name, data) == {0: fault}


@pytest.mark.parametrize("name", ["a.txt", "a", "a.csv", "a.jsonl", "a.parquet", "a.json"])
def test_the_content_tells_the_format_and_the_name_does_not(name: str) -> None:
    row = {"text": "Yes, please", "label": "positive"}
    kinds = {
        "JSON Lines": f"{GOOD}\n".replace("Yes", "Yes,").encode(),
        "CSV": b'text,label\n"Yes, please",positive\n',
        "Parquet": parquet([row]),
    }
    kinds["a JSON array"] = json.dumps([row], indent=2).encode()
    for kind, data in kinds.items():
        found = read_file(name, data)
        assert (found.format, [one.raw for one in found.rows]) == (kind, [row])


@pytest.mark.parametrize(
    "text",
    [
        '[{"text": "a", "label": "x"}, 7, {"text": "b", "label": "y"}]',
        '[\n{"text": "a", "label": "x"},\n7,\n{"text": "b", "label": "y"}\n]\n',
    ],
)
def test_the_elements_of_an_array_are_numbered_and_a_bad_one_is_told(text: str) -> None:
    assert good_lines("a.json", text.encode()) == [1, 3]
    assert bad_lines("a.json", text.encode()) == {2: "expected a JSON object, found int"}


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("[]", {1: "the file is empty; expected at least one row with text and label"}),
        (f"[{GOOD}", {2: "the array breaks off after element 1: it may be truncated"}),
        (f"[{GOOD}] {GOOD}", {2: "expected nothing after the array of 1 element(s), found more text, which was not read"}),
        (
            f"[{GOOD}, {{{'[' * 100_000}",
            {
                2: "expected a JSON object, found broken JSON: Expecting property name enclosed in double quotes at column 48; "
                "nothing after element 2 could be read"
            },
        ),
        (
            f'[{GOOD}, {{"a":{"[" * 100_000}',
            {2: "expected a JSON object, found JSON that is nested too deeply; nothing after element 2 could be read"},
        ),
    ],
    ids=["empty", "open", "trailing", "broken", "deep"],
)
def test_an_array_that_ends_early_or_late_says_so(text: str, faults: dict[int, str]) -> None:
    assert bad_lines("a.json", text.encode()) == faults


def test_hundreds_of_thousands_of_lines_take_seconds() -> None:
    data = b"text,label\n" + b'"some text, quoted",x\n' * 300_000
    started = time.process_time()
    assert sum(1 for row in read_annotations("a.csv", data) if row.raw) == 300_000
    first = time.process_time() - started
    started = time.process_time()
    assert sum(1 for row in read_annotations("a.jsonl", f"{GOOD}\n".encode() * 300_000) if row.raw) == 300_000
    assert max(first, time.process_time() - started) < 20


def test_an_excel_separator_line_single_quotes_and_escaped_quotes_are_read() -> None:
    row = {"text": 'a; "b"', "label": "x"}
    assert [r.raw for r in read_annotations("a.csv", b'sep=;\r\ntext;label\r\n"a; ""b""";x\r\n')] == [row]
    assert [r.raw for r in read_annotations("a.csv", b"'text'^'label'\n'a; \"b\"'^'x'\n")] == [row]
    assert [r.raw for r in read_annotations("a.csv", b'text,label\n"a; \\"b\\"",x\n')] == [row]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(mark: str) -> None:
    data = f'id{mark}"Text"{mark} LABEL\n1{mark}"a, b; c\nd ""e"""{mark}x\n2{mark}f{mark}y\n'.encode()
    rows = list(read_annotations("a.csv", data))
    assert [row.raw for row in rows] == [{"id": "1", "text": 'a, b; c\nd "e"', "label": "x"}, {"id": "2", "text": "f", "label": "y"}]
    assert [row.line for row in rows] == [2, 4]


def test_an_open_quote_costs_one_row_and_not_the_rest_of_the_file() -> None:
    data = b'text,label\nfine,a\n"open,a\nalso fine,b\n"quoted, fine",b\nlast,c\n'
    assert good_lines("a.csv", data) == [2, 4, 5, 6]
    assert list(bad_lines("a.csv", data)) == [3]
    assert "(is a quote left open?)" in bad_lines("a.csv", data)[3]


def test_a_csv_row_of_another_width_is_told() -> None:
    data = b"text,label\na,b,c\nd\ne,f\n\n,\n"
    assert bad_lines("a.csv", data) == {2: "expected 2 columns (text, label), found 3", 3: "expected 2 columns (text, label), found 1"}
    assert good_lines("a.csv", data) == [4]


@pytest.mark.parametrize("header", ["body,intent", "text,label,text", "text", "1,2"])
def test_a_csv_without_the_two_columns_is_told_what_it_has(header: str) -> None:
    data = f"{header}\na,b\n".encode()
    assert bad_lines("a.csv", data) == {
        1: f"expected a first line that names the columns text and label, each once; found: {header.replace(',', ', ')}"
    }


def test_a_csv_field_may_be_large() -> None:
    data = f"text,label\n{'x' * 500_000},a\nCafé,b\nplain,c\n".encode("cp1252")
    assert good_lines("a.csv", data) == [2, 3, 4]


def parquet(rows: list[dict[str, object]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def test_parquet_rows_are_numbered_and_a_truncated_file_is_one_fault() -> None:
    data = parquet([{"text": "a", "label": "x"}, {"text": None, "label": "y"}])
    assert [(row.line, row.raw) for row in read_annotations("a.parquet", data)] == [
        (1, {"text": "a", "label": "x"}),
        (2, {"text": None, "label": "y"}),
    ]
    for broken in (data[:-10], data[: len(data) // 2], b"", b"not parquet at all"):
        assert bad_lines("a.parquet", broken)[0].startswith("expected a Parquet file, found one that cannot be read (truncated?): ")


def test_parquet_with_list_labels_or_other_columns_gives_bad_rows() -> None:
    lists = parse_file("a.parquet", parquet([{"text": "a", "label": ["x", "y"]}]))
    assert [str(row) for row in lists.bad] == [
        "a.parquet, line 1: label: expected one string, found a list of 2; a row has one label, multi-label data is not supported"
    ]
    other = parse_file("a.parquet", parquet([{"body": "a", "intent": 3}]))
    assert [str(row) for row in other.bad] == [
        "a.parquet, line 1: text and label: missing; expected at least the fields text and label, found body, intent"
    ]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=300), st.sampled_from(["a.jsonl", "a.csv", "a.tsv", "a.parquet", "a.json", "a"]))
def test_no_bytes_make_reading_raise(data: bytes, name: str) -> None:
    for row in parse_file(name, data).bad:
        assert str(row)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(['"', ",", "\n", "a", "text,label", "\x00", "é", "\r"]), max_size=40))
def test_no_arrangement_of_quotes_loses_a_line_of_csv(parts: list[str]) -> None:
    data = ("text,label\n" + "".join(parts) + "\nlast,row\n").encode()
    found = parse_file("a.csv", data)
    assert any("last" in row.text for row in found.rows) or any("last" in row.raw or row.line == 0 for row in found.bad)


def lines(*rows: dict[str, object]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def test_unknown_fields_are_ignored_and_named() -> None:
    found = parse_file("a.jsonl", lines({"text": "a", "label": "x", "lang": "en", "split": "train", "category": 1}))
    assert len(found.rows) == 1
    assert found.notices == ("a.jsonl: ignored the unknown fields category, lang",)


def test_of_one_id_with_other_content_the_later_line_is_taken_and_the_earlier_is_bad() -> None:
    found = parse_file(
        "a.jsonl", lines({"id": 1, "text": "a", "label": "x"}, {"id": 2, "text": "b", "label": "x"}, {"id": 1, "text": "a", "label": "y"})
    )
    assert [(row.id, row.label) for row in found.rows] == [("1", "y"), ("2", "x")]
    assert [str(row) for row in found.bad] == [
        "a.jsonl, line 1: id '1' stands again on line 3 with other content and the same annotated_at; line 3 was taken"
    ]


def test_rows_of_one_id_that_differ_by_their_annotator_alone_agree() -> None:
    found = parse_file("a.jsonl", lines({"id": 1, "text": "a", "label": "x", "annotator": "ann"}, {"id": 1, "text": "a", "label": "x"}))
    assert (len(found.rows), found.bad) == (1, ())
    assert found.notices == ("a.jsonl: 1 row(s) agree with another annotator's row of the same id and count once",)


def test_repeated_and_superseded_rows_are_counted_once_and_named() -> None:
    early = {"id": 1, "text": "a", "label": "x", "annotated_at": "2026-01-01"}
    late = early | {"label": "y", "annotated_at": "2026-01-02"}
    found = parse_file("a.jsonl", lines(late, early, late))
    assert [row.label for row in found.rows] == ["y"]
    assert found.bad == ()
    assert found.notices == (
        "a.jsonl: 1 row(s) repeat another row exactly and count once",
        "a.jsonl: 1 row(s) are superseded by a later annotation of the same id in the file",
    )


def test_labels_given_make_any_other_label_a_fault() -> None:
    found = parse_file("a.jsonl", lines({"text": "a", "label": "x"}, {"text": "b", "label": "z"}), labels=("y", "x"))
    assert [str(row) for row in found.bad] == ["a.jsonl, line 2: label: unknown 'z'; expected one of x, y"]
    assert len(found.rows) == 1


def test_a_file_without_a_good_row_or_without_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(BadInput, match=r"a.jsonl: no usable row; the first faults:\n  a.jsonl, line 1: text and label: missing"):
        read_rows(tmp_path / "a.jsonl")
    with pytest.raises(NotFound, match=r"expected a file at .*b.jsonl, which could not be read: No such file or directory"):
        read_rows(tmp_path / "b.jsonl")


def test_the_public_sets_are_read_without_a_bad_row(shared: Path) -> None:
    for file in sorted((shared / "data").glob("*/*.jsonl")):
        if file.stem != "cases" and file.stat().st_size < 400_000:
            assert read_rows(file).bad == (), file


def strict(line: str) -> Any:
    """What the standard library says of a line, or None where a field stands twice or it is no object."""
    doubled = False

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        doubled = doubled or len(dict(pairs)) < len(pairs)
        return dict(pairs)

    try:
        found = json.loads(line, object_pairs_hook=once)
    except ValueError:
        return None
    return None if doubled or not isinstance(found, dict) else found


parts = st.sampled_from(
    ['"a"', '"b"', '"\\"a"', '"\\u0061"', '":"', '""', ":", ",", " ", "1", "1" * 30, "1.5", "null", "true", "NaN", "{", "}", "[", "]"]
)
pair = st.tuples(st.sampled_from(['"a"', '"b"', '"\\u0061"', '"x\\":"']), st.sampled_from([":", " : "]), parts).map("".join)


@given(st.lists(pair, max_size=4).map(lambda pairs: "{" + ", ".join(pairs) + "}") | st.lists(parts, max_size=8).map("".join))
def test_the_quick_reading_of_a_line_is_the_strict_one_or_none(line: str) -> None:
    if (quick := _plain_object(line)) is not None:
        assert quick == strict(line)


def test_a_line_of_plain_strings_is_read_the_quick_way() -> None:
    assert _plain_object('{"text": "Caf\u00e9: yes", "label": "x", "annotator": null}') == {
        "text": "Café: yes",
        "label": "x",
        "annotator": None,
    }
    assert _plain_object('{"text": "a", "text": "b"}') is None
    assert _plain_object('{"text" : "a", "text" : 1}') is None
