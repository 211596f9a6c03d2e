"""JSON Lines and JSON arrays of rows, and the exports of annotation tools in either form.

The first readable record tells whose export a file is. Rows of an export are numbered as they come, since one record may hold several.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, NoReturn

import orjson

from headgate.data import argilla, label_studio
from headgate.data.raw import Converted, RawFile, RawRow, check_line, readable

ARRAY = re.compile(r"\s*\[\s*(\{|$|\])", re.MULTILINE)
ONE_OBJECT = re.compile(r"\s*\{[ \t]*\r?\n")
NONE = type(None)
BETWEEN = re.compile(r"[\s,]*")
Convert = Callable[[Mapping[str, Any]], Converted]


class _Item(NamedTuple):
    """One JSON object or a fault, with its line or, in an array, its place."""

    line: int
    found: dict[str, Any] | None
    source: str
    fault: str | None = None


def json_rows(text: str) -> RawFile:
    """The rows of a JSON file, of whatever form."""
    array = bool(ARRAY.match(text))
    items = _elements(text) if array or ONE_OBJECT.match(text) else _lines(text)
    first: list[_Item] = []
    for item in items:
        first.append(item)
        if item.found is not None:
            break
    name, convert = _export(first[-1].found or {}) if first else ("", None)
    both = chain(first, items)
    if convert is None:
        return RawFile("a JSON array" if array else "JSON Lines", (_plain(item) for item in both))
    remarks: list[str] = []
    return RawFile(name, _converted(name, both, convert, remarks), remarks)


def is_export(record: Mapping[str, Any]) -> bool:
    """Whether a file's first record tells that an annotation tool wrote it."""
    return _export(record)[1] is not None


def _export(record: Mapping[str, Any]) -> tuple[str, Convert | None]:
    if label_studio.is_task(record):
        return "Label Studio's JSON", label_studio.convert_task
    if label_studio.is_minimal(record):
        return "Label Studio's JSON-MIN", label_studio.convert_minimal
    if argilla.is_record(record) and "label" not in record:
        return "Argilla's records", argilla.convert_record
    return "", None


def _plain(item: _Item) -> RawRow:
    return RawRow(item.line, item.found, item.fault, item.source if item.fault is None else readable(item.source))


def _converted(name: str, items: Iterator[_Item], convert: Convert, remarks: list[str]) -> Iterator[RawRow]:
    """Every row of an export; when all are read the remarks say what was left out."""
    number, records, skipped = 0, 0, Counter[str]()
    for item in items:
        records += 1
        found = convert(item.found) if item.found is not None else Converted((item.fault or "unreadable",))
        skipped.update(found.skipped)
        for row in found.rows:
            number += 1
            fault = row if isinstance(row, str) else None
            yield RawRow(number, None if isinstance(row, str) else row, fault, readable(item.source))
    remarks.append(f"{name}: {records} record(s) hold {number} row(s), which are numbered as they come")
    remarks += [f"left out {count} {reason}" for reason, count in sorted(skipped.items())]


def _lines(text: str) -> Iterator[_Item]:
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _Item(number, json_object(line), line)
        except ValueError as fault:
            hint = "; the file breaks off here: it may be truncated" if number == len(lines) else ""
            yield _Item(number, None, line, f"{fault}{hint}")


def _elements(text: str) -> Iterator[_Item]:
    """An array's elements, or objects that follow one another; a broken one ends the reading: nothing tells where the next starts."""
    decoder = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_object)
    at, number, closing = _start(text), 0, "]" if ARRAY.match(text) else ""
    while at < len(text) and text[at] != closing:
        number += 1
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as fault:
            yield _Item(number, None, text[at : at + 1_000], f"{_told(fault)}; nothing after element {number} could be read")
            return
        yield _element(number, found, text[at:end])
        at = _after(text, end)
    if wrong := _unclosed(text[at:], closing, number):
        yield _Item(number + 1, None, text[at : at + 1_000], wrong)


def _unclosed(rest: str, closing: str, number: int) -> str:
    """What is wrong with the text after the last element."""
    if closing and not rest:
        return f"the array breaks off after element {number}: it may be truncated"
    if rest[1:].strip():
        return f"expected nothing after the array of {number} element(s), found more text, which was not read"
    return "" if number else "the file is empty; expected at least one row with text and label"


def _start(text: str) -> int:
    at = len(text) - len(text.lstrip())
    return _after(text, at + 1) if text.startswith("[", at) else at


def _after(text: str, at: int) -> int:
    match = BETWEEN.match(text, at)
    return match.end() if match else at


def _element(number: int, found: Any, source: str) -> _Item:
    try:
        check_line(source)
        if not isinstance(found, dict):
            raise ValueError(f"expected a JSON object, found {type(found).__name__}")
    except ValueError as fault:
        return _Item(number, None, source, str(fault))
    return _Item(number, found, source)


def json_object(line: str) -> dict[str, Any]:
    """The object in a line; ValueError says what else stands there."""
    check_line(line)
    if (plain := _plain_object(line)) is not None:
        return plain
    try:
        found = json.loads(line, parse_constant=_no_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as fault:
        raise ValueError(_told(fault)) from None
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, found {type(found).__name__}")
    return found


def _plain_object(line: str) -> dict[str, Any] | None:
    """A flat object of strings, booleans and nothing, by the faster parser; None where only the strict one can tell.

    orjson is silent about a field that stands twice. In a flat object without escaped quotes there are two quotes a name and two a
    string, so that one more name would show.
    """
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if type(found) is not dict:
        return None
    kinds = list(map(type, found.values()))
    strings = kinds.count(str)
    if (strings != len(kinds) and strings + kinds.count(NONE) + kinds.count(bool) != len(kinds)) or line.count('"') != 2 * (
        len(kinds) + strings
    ):
        return None
    return found


def _told(fault: Exception) -> str:
    if isinstance(fault, RecursionError):
        return "expected a JSON object, found JSON that is nested too deeply"
    if isinstance(fault, json.JSONDecodeError):
        return f"expected a JSON object, found broken JSON: {fault.msg} at column {fault.colno}"
    return str(fault)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"expected JSON, found {name}, which JSON does not have")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = sorted(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"expected each field once, found twice: {', '.join(twice)}")
    return found
