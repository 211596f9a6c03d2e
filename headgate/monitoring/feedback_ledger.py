"""What became of every correction: the Delta table `<lake>/feedback-ledger/<model>`, one row a correction.

The table is partitioned by whether the correction is still open and by its day, so that a look at what is open, or at the corrections of
one day, reads those alone. A row holds what will land; whatever is killed, `decided` rows are landed by the next collection.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from headgate.data import delta
from headgate.lake import Lake
from headgate.record import Record

State = Literal["decided", "landed", "held", "waiting", "refused", "superseded"]
OPEN: tuple[State, ...] = ("decided", "held", "waiting")
COUNTED: tuple[State, ...] = ("decided", "landed")
PARTITIONS = ("open", "day")
TEXTS = ("key", "day", "open", "state", "reason", "prediction_id", "label", "annotator", "origin", "text", "row", "batch", "by")
SCHEMA = pa.schema([*((name, pa.string()) for name in TEXTS), *((name, pa.timestamp("us", "UTC")) for name in ("ts", "at"))])


class Entry(Record):
    """One correction and what became of it. row: its annotation as JSON, once it may land; batch: of one file; by: who released it."""

    key: str
    day: str
    state: State
    reason: str = ""
    prediction_id: str = ""
    label: str = ""
    annotator: str = ""
    origin: str
    text: str | None = None
    row: str | None = None
    batch: str | None = None
    by: str | None = None
    ts: datetime
    at: datetime

    def record(self) -> dict[str, Any]:
        """The row of the table."""
        return self.model_dump() | {"open": "yes" if self.state in OPEN else "no"}


class Ledger:
    """The corrections of one model; writers in several processes lose nothing."""

    def __init__(self, lake: Lake, model: str) -> None:
        self.lake, self.model = lake, model
        self.key = f"feedback-ledger/{model}"

    def open(self) -> list[Entry]:
        """What is decided and not landed, held, or waiting for its prediction; in the order of time."""
        return self._read([("open", "=", "yes")])

    def of_days(self, days: Iterable[str]) -> list[Entry]:
        """All corrections of these days, in the order of time."""
        wanted = sorted(set(days))
        return self._read([("day", "in", wanted)]) if wanted else []

    def all(self) -> list[Entry]:
        """Every correction, in the order of time."""
        return self._read(None)

    def write(self, entries: Iterable[Entry]) -> None:
        """Add corrections, or write what became of known ones, in one commit; one that is closed already stays as it is."""
        if wanted := {entry.key: entry for entry in entries}:
            delta.retried(lambda: self._write_once(wanted))

    def _write_once(self, wanted: Mapping[str, Entry]) -> None:
        if (table := delta.open_table(self.lake, self.key)) is None:
            return delta.create(self.lake, self.key, _table(wanted.values()), {}, partitions=PARTITIONS)
        closed = {
            one.key for one in self._of(table, [("day", "in", sorted({one.day for one in wanted.values()}))]) if one.state not in OPEN
        }
        if changed := [entry for key, entry in wanted.items() if key not in closed]:
            delta.upsert(self.lake, self.key, table, _table(changed), ("day", "key"), {})
        return None

    def _read(self, filters: list[tuple[str, str, Any]] | None) -> list[Entry]:
        table = delta.open_table(self.lake, self.key)
        return self._of(table, filters) if table else []

    def _of(self, table: Any, filters: list[tuple[str, str, Any]] | None) -> list[Entry]:
        with delta.told_of(table.table_uri):
            rows = table.to_pyarrow_table(columns=SCHEMA.names, filters=filters).cast(SCHEMA).drop_columns(["open"])
        return sorted((Entry(**row) for row in rows.to_pylist()), key=lambda entry: (entry.ts, entry.key))


def changed(entry: Entry, at: datetime, **fields: Any) -> Entry:
    """The entry with other fields, as of now."""
    return entry.model_copy(update={**fields, "at": at})


def by_state(entries: Iterable[Entry]) -> Callable[[State], list[Entry]]:
    """The entries of a state, in their order."""
    kept = list(entries)
    return lambda state: [entry for entry in kept if entry.state == state]


def _table(entries: Iterable[Entry]) -> pa.Table:
    return pa.Table.from_pylist([entry.record() for entry in entries], schema=SCHEMA)
