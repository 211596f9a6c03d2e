"""JSON Lines of plain rows, judged by whole columns instead of row by row.

A file is plain where each line is an object of strings (with or without an object of strings as headers), all of them valid. At any doubt
there is no answer: then `headgate.data.parsing` reads the file, which tells every fault. Of a plain file both make the same rows.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, ClassVar

import orjson
import pyarrow as pa

from headgate.data.json_rows import is_export
from headgate.data.ordering import order_of
from headgate.data.parsing import KNOWN, BadRow
from headgate.data.raw import MAX_LINE_CHARACTERS
from headgate.data.rows import AHEAD, EPOCH, FIELDS, SOURCES, plain_id, plain_name, plain_time, split_of
from headgate.data.table import SCHEMA

NOT_HERE = (b"\x00", b"\\u0000", b"\\u0022")
NONE = type(None)
CANONICAL = orjson.OPT_UTC_Z | orjson.OPT_SORT_KEYS
Columns = dict[str, list[Any]]


class _NotPlain(Exception):
    """Something needs a closer look."""


@dataclass(frozen=True, slots=True)
class PlainFile:
    """The valid values of every field, one entry a row, in the order of the file."""

    name: str
    columns: Columns
    notices: tuple[str, ...]
    bad: ClassVar[tuple[BadRow, ...]] = ()

    @property
    def rows(self) -> list[Any]:
        """One entry a row: its id."""
        return self.columns["id"]


def plain_file(name: str, data: bytes, labels: Collection[str] = (), now: datetime | None = None) -> PlainFile | None:
    """The columns of a file all whose rows are plain and good, None for any other; what is good is as for `parsing.judge_file`."""
    if not data.startswith(b"{") or any(part in data for part in NOT_HERE):
        return None
    try:
        rows = _objects(data)
        names = set(chain.from_iterable(rows))
        if is_export(rows[0]) or not _whole(data, rows, names):
            return None
        columns = _columns(rows, labels)
        _not_ahead(columns, now)
    except (_NotPlain, orjson.JSONDecodeError):
        return None
    extra = ", ".join(sorted(names - KNOWN))
    return PlainFile(name, columns, (f"{name}: ignored the unknown fields {extra}",) if extra else ())


def _objects(data: bytes) -> list[dict[str, Any]]:
    lines = [line for line in data.split(b"\n") if line.strip()]
    if max(map(len, lines)) > MAX_LINE_CHARACTERS:
        raise _NotPlain
    rows = list(map(orjson.loads, lines))
    if set(map(type, rows)) != {dict}:
        raise _NotPlain
    return rows


def _whole(data: bytes, rows: list[dict[str, Any]], names: set[str]) -> bool:
    """Whether the rows hold strings alone, and all that the file does.

    The parser is silent about a name that stands twice in an object: such a file has more quotes than its names and strings account for.
    """
    values = list(chain.from_iterable(map(dict.values, rows)))
    headers = [found for row in rows if type(found := row.get("headers")) is dict]
    parts = list(chain.from_iterable(map(dict.values, headers)))
    if set(map(type, parts)) - {str, NONE} or Counter(map(type, values))[dict] != len(headers) or '"' in "".join(names):
        return False
    if set(map(type, values)) - {str, NONE, dict}:
        return False
    strings = [value for value in chain(values, parts, chain.from_iterable(headers)) if type(value) is str]
    return data.count(b'"') == 2 * (sum(map(len, rows)) + len(strings)) + "".join(strings).count('"')


def _columns(rows: list[dict[str, Any]], labels: Collection[str]) -> Columns:
    text, label, row_id, group_id, source, annotator, at, headers = ([row.get(name) for row in rows] for name in FIELDS)
    if not all(type(value) is str and value.strip() for value in text):
        raise _NotPlain
    found: Columns = {"id": list(map(_id, row_id, text)), "text": text}
    found["label"] = _each(label, lambda value: plain_name(value) if value else None)
    if labels and not set(labels).issuperset(found["label"]):
        raise _NotPlain
    groups = _each(group_id, lambda value: plain_id(value) if value else "")
    found["group_id"] = [group or own for group, own in zip(groups, found["id"], strict=True)]
    found["source"] = _each(source, lambda value: (value or "annotation") if not value or value in SOURCES else None)
    found["annotator"] = _each(annotator, lambda value: plain_name(value) if value else "")
    found["annotated_at"] = _each(at, lambda value: plain_time(value) if value else EPOCH)
    return found | {"headers": list(map(_headers, headers))}


def _not_ahead(columns: Columns, now: datetime | None) -> None:
    if now is not None and max(columns["annotated_at"]) > now + AHEAD:
        raise _NotPlain


def _each(values: list[Any], convert: Callable[[Any], Any]) -> list[Any]:
    """Every value converted, equal ones once."""
    found = {value: convert(value) for value in set(values)}
    if None in found.values():
        raise _NotPlain
    return list(map(found.__getitem__, values))


def _id(value: Any, text: Any) -> str:
    found = plain_id(value) if value else hashlib.sha256(text.encode()).hexdigest()[:16]
    if found is None:
        raise _NotPlain
    return found


def _headers(value: Any) -> dict[str, str] | None:
    if value is None or value == "":
        return None
    if type(value) is not dict:
        raise _NotPlain
    return {name: part for name, part in value.items() if part is not None}


def as_table(files: Sequence[tuple[str, PlainFile]]) -> tuple[pa.Table, int]:
    """The rows of files, each with when it arrived, as a data set's table holds them, by id, and the sum of their hashes."""
    columns: Columns = {name: list(chain.from_iterable(file.columns[name] for _, file in files)) for name in FIELDS}
    digests = _digests(columns)
    splits = _each(columns["group_id"], split_of)
    arrived = list(chain.from_iterable([when] * len(file.rows) for when, file in files))
    headers = [None if one is None else json.dumps(one, ensure_ascii=False, sort_keys=True) for one in columns["headers"]]
    columns |= {"headers": headers, "split": splits, "arrived": arrived, "row_hash": [digest.hex() for digest in digests]}
    table = pa.table(columns).select(SCHEMA.names).cast(SCHEMA)
    order = order_of(table["id"].cast(pa.large_string()).combine_chunks())
    return table.take(pa.array(order)), sum(int.from_bytes(digest, "big") for digest in digests)


def _digests(columns: Columns) -> list[bytes]:
    """What `rows.row_hash` makes of each row, as bytes."""
    rows = zip(*(columns[name] for name in FIELDS), strict=True)
    return [
        hashlib.sha256(
            orjson.dumps(
                {
                    "annotated_at": at,
                    "annotator": annotator,
                    "group_id": group_id,
                    "headers": headers,
                    "id": row_id,
                    "label": label,
                    "source": source,
                    "text": text,
                },
                option=CANONICAL,
            )
        ).digest()[:16]
        for text, label, row_id, group_id, source, annotator, at, headers in rows
    ]
