"""CSV in the dialects that spreadsheets and databases write: any delimiter, either quote, quotes doubled or escaped."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from headgate.data.raw import RawRow, check_line, readable

MAX_ROW_LINES = 1_000
NEEDED = frozenset(["text", "label"])
SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
DELIMITERS = re.compile(r"[^\w\s\"'.\-/\\]|\t")
MAX_HEADER = 10_000


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file separates and quotes its fields; `skip` lines stand before its header."""

    delimiter: str
    quote: str = '"'
    skip: int = 0


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    fields: list[str]
    source: str
    fault: str | None = None


def dialect_of(text: str, needed: frozenset[str] = NEEDED) -> Dialect | None:
    """The dialect in which the first line names the needed columns, or None; surer than csv.Sniffer, which guesses from the texts."""
    named = SEPARATOR_LINE.match(text)
    header = text[named.end() if named else 0 :][:MAX_HEADER].split("\n", 1)[0]
    marks = [named.group(1)] if named else dict.fromkeys([",", ";", "\t", "|", *DELIMITERS.findall(header)])
    for mark in marks:
        names = [name.strip().lower() for name in header.split(mark)]
        for quote in ('"', "'"):
            if {name.strip(quote) for name in names} >= needed:
                return Dialect(mark, quote, 1 if named else 0)
    return None


def csv_rows(text: str, dialect: Dialect, needed: frozenset[str] = NEEDED) -> Iterator[RawRow]:
    """Every row with its first line; a fault where the first line does not name the needed columns, each once."""
    lines = io.StringIO(text, newline="").readlines()
    records = _records(lines, dialect)
    header = next(records)
    names = [name.strip().lower() for name in header.fields]
    if header.fault or not set(names) >= needed or len(set(names) - {""}) < sum(map(bool, names)):
        found = header.fault or readable(", ".join(names))
        expected = f"expected a first line that names the columns {' and '.join(sorted(needed, reverse=True))}, each once"
        yield RawRow(header.line, None, f"{expected}; found: {found[:200]}", readable(header.source[:1000]))
        return
    for record in records:
        if record.fault or any(record.fields):
            yield _csv_row(names, record)


def _csv_row(names: list[str], record: _Record) -> RawRow:
    try:
        check_line(record.source)
        if record.fault:
            raise ValueError(f"expected a CSV row, found {record.fault}")
        if len(record.fields) != len(names):
            raise ValueError(f"expected {len(names)} columns ({', '.join(names)}), found {len(record.fields)}")
    except ValueError as fault:
        return RawRow(record.line, None, str(fault), readable(record.source))
    return RawRow(record.line, {name: field for name, field in zip(names, record.fields, strict=True) if name}, text=record.source)


def _records(lines: list[str], dialect: Dialect) -> Iterator[_Record]:
    """Each record with its first line; after a quote that is left open reading goes on with the next line."""
    csv.field_size_limit(2**31 - 1)
    start = dialect.skip
    while start < len(lines):
        try:
            fields, used = _record(lines, start, dialect)
        except csv.Error as fault:
            yield _Record(start + 1, [], lines[start], f"{fault} (is a quote left open?)")
            start += 1
        else:
            yield _Record(start + 1, fields, "".join(lines[start : start + used]))
            start += used


def _record(lines: list[str], start: int, dialect: Dialect) -> tuple[list[str], int]:
    """The fields of the record that starts on a line, and how many lines it has: quotes doubled, else escaped by a backslash."""
    try:
        return _read(lines, start, dialect, escape=None)
    except csv.Error:
        if "\\" + dialect.quote not in lines[start]:
            raise
        return _read(lines, start, dialect, escape="\\")


def _read(lines: list[str], start: int, dialect: Dialect, escape: str | None) -> tuple[list[str], int]:
    source = (lines[number] for number in range(start, min(start + MAX_ROW_LINES, len(lines))))
    reader = csv.reader(
        source, delimiter=dialect.delimiter, quotechar=dialect.quote, escapechar=escape, doublequote=escape is None, strict=True
    )
    return next(reader), reader.line_num
