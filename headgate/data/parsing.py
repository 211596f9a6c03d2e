"""A whole file judged: its good rows, its bad rows with their reasons, and what a person should know."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from headgate.data.files import RawRow, read_annotations
from headgate.data.rows import Annotation, parse_row
from headgate.errors import BadInput, NotFound


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


def parse_file(name: str, data: bytes, labels: Collection[str] = ()) -> ParsedFile:
    """Judge every row of a file; with labels given, any other label is a fault."""
    good: list[tuple[int, Annotation, str]] = []
    bad: list[BadRow] = []
    extra: set[str] = set()
    for raw in read_annotations(name, data):
        try:
            row = _judged(raw, labels)
        except BadInput as fault:
            bad.append(BadRow(name, raw.line, str(fault), raw.text))
        else:
            good.append((raw.line, row, raw.text))
            extra |= set(raw.raw or ()) - set(Annotation.model_fields) - {"split"}
    rows, doubles, notices = _one_row_an_id(name, good)
    if extra:
        notices.append(f"{name}: ignored the unknown fields {', '.join(sorted(extra))}")
    return ParsedFile(name, tuple(rows), tuple(sorted([*bad, *doubles], key=lambda row: row.line)), tuple(notices))


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


def _judged(raw: RawRow, labels: Collection[str]) -> Annotation:
    if raw.raw is None:
        raise BadInput(raw.fault or "unreadable")
    row = parse_row(raw.raw)
    if labels and row.label not in labels:
        raise BadInput(f"label: unknown {row.label!r}; expected one of {', '.join(sorted(labels))}")
    return row


def _one_row_an_id(name: str, good: list[tuple[int, Annotation, str]]) -> tuple[list[Annotation], list[BadRow], list[str]]:
    """Later annotated_at wins, then the later line; a row that only its line decides against is bad, since one of the two must be wrong."""
    kept: dict[str, tuple[int, Annotation, str]] = {}
    bad: list[BadRow] = []
    repeated = superseded = 0
    for item in good:
        line, row, _ = item
        if (before := kept.get(row.id)) is None:
            kept[row.id] = item
        elif before[1] == row:
            repeated += 1
        elif before[1].annotated_at == row.annotated_at:
            bad.append(_double(name, before, line))
            kept[row.id] = item
        else:
            superseded += 1
            kept[row.id] = max(before, item, key=lambda entry: entry[1].annotated_at)
    notices = [f"{name}: {repeated} row(s) repeat another row exactly and count once"] if repeated else []
    if superseded:
        notices.append(f"{name}: {superseded} row(s) are superseded by a later annotation of the same id in the file")
    return [row for _, row, _ in kept.values()], bad, notices


def _double(name: str, before: tuple[int, Annotation, str], line: int) -> BadRow:
    reason = f"id {before[1].id!r} stands again on line {line} with other content and the same annotated_at; line {line} was taken"
    return BadRow(name, before[0], reason, before[2])
