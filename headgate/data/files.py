"""Files that annotators drop, read row by row, whatever their format: the content tells it, the name only where the content does not.

A bad row never hides a good one: whatever is wrong becomes a fault with its line, and reading goes on.
"""

import io
import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headgate.data.delimited import MAX_ROW_LINES, Dialect, csv_rows, dialect_of
from headgate.data.encodings import decoded
from headgate.data.json_rows import json_rows
from headgate.data.raw import RawFile, RawRow

__all__ = ["MAX_ROW_LINES", "RawRow", "read_annotations", "read_file"]

FORMATS = "JSON Lines, a JSON array, CSV, Parquet, Label Studio's JSON, Argilla's records, or a folder of e-mails with a CSV of labels"
JSON_NAMES, CSV_NAMES = (".jsonl", ".ndjson", ".json"), (".csv", ".tsv")
JSON_LINE = re.compile(r"\s*[\[{]")
MAIL_HEADERS = "received|from|to|date|subject|message-id|return-path|delivered-to|mime-version"
MAIL = re.compile(rf"\s*(From [^\n]{{0,1000}}\n)?({MAIL_HEADERS}):", re.IGNORECASE)
LINES_LOOKED_AT = 20


def read_annotations(name: str, data: bytes) -> Iterator[RawRow]:
    """Every row with its line (in Parquet, arrays and exports: its number), counted from 1; never raises for what is in the file."""
    return read_file(name, data).rows


def read_file(name: str, data: bytes) -> RawFile:
    """A file's format, its rows, and remarks about how it was read; never raises for what is in the file."""
    suffix = PurePosixPath(name).suffix.lower()
    if data.startswith(b"PAR1"):
        return RawFile("Parquet", _parquet(data))
    try:
        text = decoded(data)
    except ValueError as fault:
        return _refused(f"{fault}; formats: {FORMATS}", data)
    file = _read_text(suffix, text.text, data)
    if text.remark:
        file.remarks.append(text.remark)
    return file


def _read_text(suffix: str, text: str, data: bytes) -> RawFile:
    if suffix == ".parquet" and not _is_json(text) and not dialect_of(text):
        return RawFile("Parquet", _parquet(data))
    if not text.strip():
        return _refused("the file is empty; expected at least one row with text and label", data)
    if (dialect := dialect_of(text)) and not JSON_LINE.match(text):
        return RawFile("CSV", csv_rows(text, dialect))
    if _is_json(text):
        return json_rows(text)
    if MAIL.match(text):
        found = "found e-mail without its labels; put it into a folder with a CSV file of the columns id and label, and land the folder"
        return _refused(found, data)
    return _by_name(suffix, text, data)


def _is_json(text: str) -> bool:
    """Whether one of the first lines starts as JSON does: a broken first line must not hide the rest."""
    lines = [line for line in text[:100_000].split("\n") if line.strip()]
    return any(JSON_LINE.match(line) for line in lines[:LINES_LOOKED_AT])


def _by_name(suffix: str, text: str, data: bytes) -> RawFile:
    """What the name says, for the faults that it leads to; without a known name, one fault for the file."""
    if suffix in JSON_NAMES:
        return json_rows(text)
    if suffix in CSV_NAMES:
        return RawFile("CSV", csv_rows(text, Dialect("\t" if suffix == ".tsv" else ",")))
    line = text.strip().split("\n", 1)[0][:80]
    return _refused(f"unknown format: expected {FORMATS}; found a file that starts with {line!r}", data)


def _refused(fault: str, data: bytes) -> RawFile:
    return RawFile("unknown", iter([RawRow(0, None, fault, data[:200].decode("latin-1"))]))


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
