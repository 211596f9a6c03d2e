"""A row as it stands in a file, before anybody judged it, and what no row's source may hold."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_LINE_CHARACTERS = 1_000_000
NOT_UTF_8 = re.compile("[\udc80-\udcff]")


class RawRow(NamedTuple):
    """One row as it stands in the file: either `raw` or a `fault`; line 0 means the whole file."""

    line: int
    raw: dict[str, Any] | None
    fault: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Converted:
    """What one record of an export holds: raw rows, or faults in their place, and why other parts were left out, one entry each."""

    rows: tuple[dict[str, Any] | str, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file's rows, its format, and remarks for a person, which are complete once the rows were read."""

    format: str
    rows: Iterator[RawRow]
    remarks: list[str] = field(default_factory=list)


def check_line(line: str) -> None:
    """ValueError if no row could stand in this text."""
    if len(line) > MAX_LINE_CHARACTERS:
        raise ValueError(f"expected at most {MAX_LINE_CHARACTERS:,} characters in a row, found {len(line):,}")
    if "\x00" in line:
        raise ValueError("expected text, found NUL bytes")
    if not line.isascii() and (marked := NOT_UTF_8.search(line)):
        raise ValueError(
            f"expected UTF-8, found the byte 0x{ord(marked.group()) - 0xDC00:02x}; as Windows-1252 it would read "
            f"{readable(line)[:80]!r}; save the file as UTF-8 and land it again"
        )


def readable(line: str) -> str:
    """The line; if it is not UTF-8, as Windows-1252 would read it; half characters become question marks."""
    if line.isascii():
        return line
    try:
        data = line.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return line.encode("utf-8", "replace").decode()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
