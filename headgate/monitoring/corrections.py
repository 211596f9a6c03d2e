"""Corrections as they come: from `/feedback`, and from the files of products under `<lake>/corrections/<model>/`."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from headgate.data.delimited import Dialect, csv_rows, dialect_of
from headgate.data.encodings import decoded
from headgate.data.json_rows import json_rows
from headgate.data.raw import RawRow
from headgate.errors import BadInput
from headgate.lake import Lake
from headgate.monitoring.prediction_log import Offsets, new_lines, predicted_at
from headgate.record import Record, canonical
from headgate.serving.identifiers import is_prediction_id

MAX_NAME = 200
NEEDED = frozenset(["prediction_id", "label"])
EXPECTED = "expected prediction_id and label, and perhaps annotator, ts and text"


class Correction(Record):
    """The label that somebody gave the text of a prediction. text: what the product itself knows of it.

    ts: when, in UTC; where nobody says, when the prediction was made, so that a file that is sent again says the same.
    """

    key: str
    prediction_id: str
    label: str
    annotator: str = ""
    ts: datetime
    text: str | None = None
    origin: str

    @property
    def day(self) -> str:
        """The day on which it was given, in UTC."""
        return f"{self.ts.astimezone(UTC):%Y-%m-%d}"


class Unreadable(Record):
    """A line from which no correction can be read, and why."""

    key: str
    ts: datetime
    origin: str
    reason: str

    @property
    def day(self) -> str:
        """The day on which it came, in UTC."""
        return f"{self.ts.astimezone(UTC):%Y-%m-%d}"


class Arrived(NamedTuple):
    """What came since the last look: each once, the files that were read, and how far the feedback was."""

    corrections: list[Correction]
    unreadable: list[Unreadable]
    files: list[str]
    offsets: Offsets


def arrived(lake: Lake, model: str, offsets: Mapping[str, int], now: datetime, days: int) -> Arrived:
    """Everything that was not read yet; feedback of the last `days` days, and every file of a product."""
    lines, reached = new_lines(lake, "feedback", model, offsets, now.date(), days)
    files = new_files(lake, model)
    raw: list[tuple[Mapping[str, Any] | str, str, datetime]] = [(line, line["_origin"], now) for line in lines]
    raw += [item for key in files for item in _of_file(lake, key)]
    found = [_judged(*item) for item in raw]
    corrections = {one.key: one for one in found if isinstance(one, Correction)}
    return Arrived(list(corrections.values()), [one for one in found if isinstance(one, Unreadable)], files, reached)


def new_files(lake: Lake, model: str) -> list[str]:
    """Keys of the products' files that were not read yet."""
    read = {PurePosixPath(key).stem for key in lake.keys(f"corrections-read/{model}")}
    return [key for key in lake.keys(f"corrections/{model}") if _mark(key) not in read]


def mark_read(lake: Lake, model: str, files: Iterable[str], now: datetime) -> None:
    """Say that files need not be read again."""
    for key in files:
        lake.put_if_absent(f"corrections-read/{model}/{_mark(key)}.json", canonical({"file": key, "at": now.isoformat()}))


def _of_file(lake: Lake, key: str) -> Iterator[tuple[Mapping[str, Any] | str, str, datetime]]:
    written = lake.written_at(key)
    for row in _rows(lake.read(key)):
        yield row.raw if row.raw is not None else row.fault or "unreadable", f"{key}:{row.line}", written


def _rows(data: bytes) -> Iterator[RawRow]:
    """The lines of JSON Lines, or of CSV in any dialect whose first line names prediction_id and label."""
    try:
        text = decoded(data).text
    except ValueError as fault:
        return iter([RawRow(0, None, str(fault))])
    if text.lstrip()[:1] in ("{", "["):
        return json_rows(text).rows
    return csv_rows(text, dialect_of(text, NEEDED) or Dialect(","), NEEDED)


def _judged(raw: Mapping[str, Any] | str, origin: str, otherwise: datetime) -> Correction | Unreadable:
    try:
        if isinstance(raw, str):
            raise BadInput(raw)
        return _correction(raw, origin)
    except BadInput as fault:
        return Unreadable(key=_digest([origin]), ts=otherwise, origin=origin, reason=str(fault))


def _correction(raw: Mapping[str, Any], origin: str) -> Correction:
    given = {name: raw.get(name) for name in ("prediction_id", "label", "annotator", "text")}
    faults = [f"{name}: expected a string, found {type(value).__name__}" for name, value in given.items() if not _is_text(name, value)]
    if faults:
        raise BadInput(f"{EXPECTED}; {'; '.join(faults)}")
    name, label, annotator = (str(given[part] or "").strip() for part in ("prediction_id", "label", "annotator"))
    if not is_prediction_id(name):
        raise BadInput(f"prediction_id: expected the id of an answer, found {name[:60]!r}")
    if max(len(label), len(annotator)) > MAX_NAME or not label or not f"{label}{annotator}".isprintable():
        raise BadInput(f"label and annotator: expected one printable line of at most {MAX_NAME} characters each, the label not empty")
    ts = max(_time(raw.get("ts"), predicted_at(name)), predicted_at(name))  # nobody corrects what was not said yet: a clock is wrong
    return Correction(
        key=_digest([name, annotator, label, ts.isoformat()]),
        prediction_id=name,
        label=label,
        annotator=annotator,
        ts=ts,
        text=str(given["text"]) if given["text"] else None,
        origin=origin,
    )


def _is_text(name: str, value: Any) -> bool:
    return isinstance(value, str) or (value is None and name in ("annotator", "text"))


def _time(value: Any, otherwise: datetime) -> datetime:
    if value in (None, ""):
        return otherwise
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(f"ts: expected an ISO 8601 time such as 2026-01-31T12:00:00Z, found {str(value)[:60]!r}") from None


def _mark(key: str) -> str:
    return _digest([key])


def _digest(parts: list[str]) -> str:
    return hashlib.sha256(canonical(parts)).hexdigest()[:32]
