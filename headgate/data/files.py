"""Files that annotators drop, read row by row: JSON Lines, CSV and Parquet.

A bad row never hides a good one: whatever is wrong becomes a fault with its line, and reading goes on.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

MAX_LINE_CHARACTERS = 1_000_000
MAX_ROW_LINES = 1_000
DELIMITERS = ",;\t|"
SIGNATURES = {b"PK": "a zip archive or Excel workbook", b"\x1f\x8b": "gzip", b"PAR1": "Parquet", b"%PDF": "PDF", b"\x89PNG": "a picture"}
BYTE_ORDER_MARKS = {b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
KINDS = "expected .jsonl, .ndjson, .csv, .tsv or .parquet"


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in the file: either `raw` or a `fault`; line 0 means the whole file."""

    line: int
    raw: dict[str, Any] | None
    fault: str | None = None
    text: str = ""


def read_annotations(name: str, data: bytes) -> Iterator[RawRow]:
    """Every row of a file with its line (in Parquet: row number), counted from 1; never raises for what is in the file."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".parquet":
        return _parquet(data)
    if suffix not in (".jsonl", ".ndjson", ".json", ".csv", ".tsv"):
        return _whole_file(f"unknown kind of file: {KINDS}, found {suffix or 'no suffix'}", data)
    try:
        text = _decoded(data)
    except ValueError as fault:
        return _whole_file(str(fault), data)
    if not text.strip():
        return _whole_file("the file is empty; expected at least one row with text and label", data)
    return _csv(text) if suffix in (".csv", ".tsv") else _json_lines(text)


def _whole_file(fault: str, data: bytes) -> Iterator[RawRow]:
    yield RawRow(0, None, fault, data[:200].decode("latin-1"))


def _decoded(data: bytes) -> str:
    """The file's text, where bytes that are not UTF-8 stay marked as lone surrogates; ValueError if it is no text at all."""
    if encoding := next((encoding for mark, encoding in BYTE_ORDER_MARKS.items() if data.startswith(mark)), None):
        return _wide(data, encoding)
    if kind := next((kind for signature, kind in SIGNATURES.items() if data.startswith(signature)), None):
        raise ValueError(f"expected UTF-8 text, found {kind}; export the rows as CSV or JSON Lines")
    sample = data[:65536]
    if sum(byte < 32 and byte not in b"\t\n\r\f" for byte in sample) > len(sample) / 20:
        raise ValueError("expected UTF-8 text, found binary data, or UTF-16 without its byte order mark; save the file as UTF-8")
    return data.decode("utf-8-sig", errors="surrogateescape")


def _wide(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as fault:
        raise ValueError(f"{encoding.upper()} text that breaks off or is damaged at byte {fault.start}; save the file as UTF-8") from None


def _json_lines(text: str) -> Iterator[RawRow]:
    if re.match(r"\s*\[\s*(\{|$)", text, re.MULTILINE):
        fault = "expected one JSON object a line, found a JSON array; convert it with: jq -c '.[]' FILE > FILE.jsonl"
        yield RawRow(1, None, fault, _readable(text[:200]))
        return
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield RawRow(number, _json_object(line), text=line)
        except ValueError as fault:
            hint = "; the file breaks off here: it may be truncated" if number == len(lines) else ""
            yield RawRow(number, None, f"{fault}{hint}", _readable(line))


def _json_object(line: str) -> dict[str, Any]:
    _check_line(line)
    try:
        found = json.loads(line, parse_constant=_no_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as fault:
        raise ValueError(f"expected a JSON object, found broken JSON: {fault.msg} at column {fault.colno}") from None
    except RecursionError:
        raise ValueError("expected a JSON object, found JSON that is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, found {type(found).__name__}")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"expected JSON, found {name}, which JSON does not have")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"expected each field once, found twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
    return found


def _check_line(line: str) -> None:
    """ValueError if no row could stand in this text."""
    if len(line) > MAX_LINE_CHARACTERS:
        raise ValueError(f"expected at most {MAX_LINE_CHARACTERS:,} characters in a row, found {len(line):,}")
    if "\x00" in line:
        raise ValueError("expected text, found NUL bytes")
    if marked := next((character for character in line if "\udc80" <= character <= "\udcff"), None):
        raise ValueError(
            f"expected UTF-8, found the byte 0x{ord(marked) - 0xDC00:02x}; as Windows-1252 it would read {_readable(line)[:80]!r}; "
            "save the file as UTF-8 and land it again"
        )


def _readable(line: str) -> str:
    """The line; if it is not UTF-8, as Windows-1252 would read it."""
    data = line.encode("utf-8", "surrogateescape")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _csv(text: str) -> Iterator[RawRow]:
    lines = io.StringIO(text, newline="").readlines()
    records = _records(lines, _delimiter(lines[0]))
    header = next(records)
    names = [name.strip().lower() for name in header.fields]
    if header.fault or not {"text", "label"} <= set(names) or len(set(names) - {""}) < sum(map(bool, names)):
        found = header.fault or _readable(", ".join(names))
        expected = "expected a first line that names the columns text and label, each once"
        yield RawRow(1, None, f"{expected}; found: {found[:200]}", _readable(header.source[:1000]))
        return
    for record in records:
        if record.fault or any(record.fields):
            yield _csv_row(names, record)


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    fields: list[str]
    source: str
    fault: str | None = None


def _csv_row(names: list[str], record: _Record) -> RawRow:
    try:
        _check_line(record.source)
        if record.fault:
            raise ValueError(f"expected a CSV row, found {record.fault}")
        if len(record.fields) != len(names):
            raise ValueError(f"expected {len(names)} columns ({', '.join(names)}), found {len(record.fields)}")
    except ValueError as fault:
        return RawRow(record.line, None, str(fault), _readable(record.source))
    return RawRow(record.line, {name: field for name, field in zip(names, record.fields, strict=True) if name}, text=record.source)


def _records(lines: list[str], delimiter: str) -> Iterator[_Record]:
    """Each record with its first line; after a quote that is left open reading goes on with the next line."""
    csv.field_size_limit(2**31 - 1)
    start = 0
    while start < len(lines):
        reader = csv.reader(lines[start : start + MAX_ROW_LINES], delimiter=delimiter, strict=True)
        try:
            fields = next(reader)
        except csv.Error as fault:
            yield _Record(start + 1, [], lines[start], f"{fault} (is a quote left open?)")
            start += 1
        else:
            end = start + reader.line_num
            yield _Record(start + 1, fields, "".join(lines[start:end]))
            start = end


def _delimiter(header: str) -> str:
    """The delimiter with which the header names text and label; more certain than csv.Sniffer, which guesses from the texts."""
    return max(DELIMITERS, key=lambda mark: len({"text", "label"} & {name.strip(' "\r\n').lower() for name in header.split(mark)}))


def _parquet(data: bytes) -> Iterator[RawRow]:
    try:
        batches = pq.ParquetFile(io.BytesIO(data)).iter_batches()
        rows = (row for batch in batches for row in batch.to_pylist())
        yield from (RawRow(number, row, text=_shown(row)) for number, row in enumerate(rows, 1))
    except (pa.ArrowException, OSError, ValueError) as fault:
        reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        yield RawRow(
            0, None, f"expected a Parquet file, found one that cannot be read (truncated?): {reason}", data[:200].decode("latin-1")
        )


def _shown(row: dict[str, Any]) -> str:
    return json.dumps(row, default=str, ensure_ascii=False)
