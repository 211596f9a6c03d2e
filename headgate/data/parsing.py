"""A whole file judged: its good rows, its bad rows with their reasons, and what a person should know."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from headgate.data.files import RawRow, read_file
from headgate.data.rows import AHEAD, Annotation, parse_row
from headgate.errors import BadInput, NotFound

REPEATED = "repeat another row exactly and count once"
AGREED = "agree with another annotator's row of the same id and count once"
SUPERSEDED = "are superseded by a later annotation of the same id in the file"
DOUBLE = "double"
KNOWN = frozenset(Annotation.model_fields) | {"split"}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was refused; line 0 means the whole file."""

    file: str
    line: int
    reason: str
    raw: str

    def __str__(self) -> str:
        return f"{self.file}{f', line {self.line}' if self.line else ''}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """Good rows with one row an id, bad rows in the order of the file, and notices."""

    name: str
    rows: tuple[Annotation, ...]
    bad: tuple[BadRow, ...]
    notices: tuple[str, ...]


class GoodRow(NamedTuple):
    """A row that was accepted, with its line and its source."""

    line: int
    row: Annotation
    raw: str


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """Every row of a file, in its order, good or bad, before rows of one id are weighed against one another."""

    name: str
    good: tuple[GoodRow, ...]
    bad: tuple[BadRow, ...]
    notices: tuple[str, ...]


def parse_file(name: str, data: bytes, labels: Collection[str] = ()) -> ParsedFile:
    """Judge every row of a file; with labels given, any other label is a fault."""
    return one_row_an_id(judge_file(name, data, labels))


def judge_file(name: str, data: bytes, labels: Collection[str] = (), now: datetime | None = None) -> JudgedFile:
    """Judge every row of a file by itself: two rows of one id are both good. With `now` given, a time well beyond it is a fault."""
    good: list[GoodRow] = []
    bad: list[BadRow] = []
    extra: set[str] = set()
    file = read_file(name, data)
    for raw in file.rows:
        try:
            good.append(GoodRow(raw.line, _judged(raw, labels, now), raw.text))
            if raw.raw and not KNOWN.issuperset(raw.raw):
                extra |= raw.raw.keys() - KNOWN
        except BadInput as fault:
            bad.append(BadRow(name, raw.line, str(fault), raw.text))
    notices = [f"{name}: {remark}" for remark in file.remarks]
    if extra:
        notices.append(f"{name}: ignored the unknown fields {', '.join(sorted(extra))}")
    return JudgedFile(name, tuple(good), tuple(bad), tuple(notices))


def read_rows(path: Path, labels: Collection[str] = ()) -> ParsedFile:
    """Judge a file of this machine; NotFound if there is none, BadInput if no row of it is good."""
    try:
        parsed = parse_file(path.name, path.read_bytes(), labels)
    except OSError as fault:
        raise NotFound(f"expected a file at {path}, which could not be read: {fault.strerror}") from None
    if not parsed.rows:
        first = "\n".join(f"  {row}" for row in parsed.bad[:5])
        raise BadInput(f"{path}: no usable row; the first faults:\n{first}")
    return parsed


def _judged(raw: RawRow, labels: Collection[str], now: datetime | None) -> Annotation:
    if raw.raw is None:
        raise BadInput(raw.fault or "unreadable")
    return admitted(parse_row(raw.raw), labels, now)


def admitted(row: Annotation, labels: Collection[str], now: datetime | None) -> Annotation:
    """The row; BadInput if its label is none of those given, or if its time is so far beyond `now` that no later annotation could win."""
    faults = []
    if labels and row.label not in labels:
        faults.append(f"label: unknown {row.label!r}; expected one of {', '.join(sorted(labels))}")
    if now is not None and row.annotated_at > now + AHEAD:
        faults.append(f"annotated_at: expected a time not in the future, found {row.annotated_at.isoformat()}")
    if faults:
        raise BadInput("; ".join(faults))
    return row


def one_row_an_id(file: JudgedFile) -> ParsedFile:
    """Later annotated_at wins, then the later line; a row that only its line decides against is bad, since one of the two must be wrong."""
    if len({item.row.id for item in file.good}) == len(file.good):
        rows, faulty = tuple(item.row for item in file.good), sorted(file.bad, key=lambda row: row.line)
        return ParsedFile(file.name, rows, tuple(faulty), file.notices)
    kept: dict[str, GoodRow] = {}
    bad: list[BadRow] = list(file.bad)
    counts: Counter[str] = Counter()
    for item in file.good:
        before = kept.get(item.row.id)
        kept[item.row.id], outcome = (item, "") if before is None else _later(before, item)
        counts[outcome] += 1
        if before is not None and outcome == DOUBLE:
            bad.append(_double(file.name, before, item.line))
    notices = [f"{file.name}: {counts[outcome]} row(s) {outcome}" for outcome in (REPEATED, AGREED, SUPERSEDED) if counts[outcome]]
    ordered = tuple(sorted(bad, key=lambda row: row.line))
    return ParsedFile(file.name, tuple(item.row for item in kept.values()), ordered, (*notices, *file.notices))


def _later(before: GoodRow, item: GoodRow) -> tuple[GoodRow, str]:
    """Which of two rows of one id counts, and what that makes of the other."""
    if before.row == item.row:
        return before, REPEATED
    if before.row.annotated_at != item.row.annotated_at:
        return max(before, item, key=lambda entry: entry.row.annotated_at), SUPERSEDED
    if before.row.model_copy(update={"annotator": item.row.annotator}) == item.row:
        return item, AGREED
    return item, DOUBLE


def _double(name: str, before: GoodRow, line: int) -> BadRow:
    reason = f"id {before.row.id!r} stands again on line {line} with other content and the same annotated_at; line {line} was taken"
    return BadRow(name, before.line, reason, before.raw)
