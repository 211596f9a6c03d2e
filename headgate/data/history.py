"""What a data set has been: its versions with their labels, what differs between two of them, and every annotation of a row.

All of it is read from the change feed, which a vacuum leaves whole: versions that cannot be loaded any more are told as well.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import pandas as pd

from headgate.data.table import ROW_COLUMNS, DatasetTable
from headgate.data.version import DataVersion
from headgate.errors import NotFound
from headgate.record import Record

CAME, WENT = ("insert", "update_postimage"), ("delete", "update_preimage")
CONTENT = [name for name in ROW_COLUMNS if name not in ("id", "split")]
Kind = Literal["added", "corrected", "removed"]


class MadeVersion(Record):
    """A data version with its rows by label, when it was made, and the version that it restored if it did."""

    data: DataVersion
    made_at: datetime
    labels: dict[str, int]
    restored: int | None = None


class RowChange(Record):
    """One id that differs between two versions; `before` is None where it was added, `after` where it was removed."""

    id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @property
    def kind(self) -> Kind:
        """What became of the row."""
        return "added" if self.before is None else "removed" if self.after is None else "corrected"

    @property
    def label(self) -> str:
        """The label that the row has now, or had last."""
        return str((self.after or self.before or {})["label"])


def versions_made(table: DatasetTable) -> list[MadeVersion]:
    """Every data version, oldest first."""
    made = table.made()
    if not made:
        return []
    counts = dict(_label_counts(table.changes(-1), [data.version for data, _, _ in made]))
    return [MadeVersion(data=data, made_at=at, labels=counts[data.version], restored=old) for data, at, old in made]


def _label_counts(feed: pd.DataFrame, versions: list[int]) -> Iterator[tuple[int, dict[str, int]]]:
    """The rows by label after each version, from the whole feed in order."""
    steps = feed["_change_type"].map(dict.fromkeys(CAME, 1) | dict.fromkeys(WENT, -1))
    moved: dict[int, Counter[str]] = defaultdict(Counter)
    for version, label, step in zip(feed["_commit_version"], feed["label"], steps, strict=True):
        moved[version][label] += step
    total: Counter[str] = Counter()
    for version in versions:
        total.update(moved[version])
        yield version, {label: total[label] for label in sorted(total) if total[label]}


def difference(table: DatasetTable, old: int, new: int) -> list[RowChange]:
    """The rows that differ from version `old` to version `new` (in either order), sorted by id; NotFound names the versions that exist."""
    known = {data.version for data in table.versions()}
    if missing := sorted({old, new} - known):
        found = ", ".join(map(str, sorted(known))) or "none; ingest a file first"
        raise NotFound(f"data set {table.dataset}: no version {missing[0]}; versions: {found}")
    changes = net_changes(table.changes(min(old, new), max(old, new)))
    return changes if old <= new else [RowChange(id=one.id, before=one.after, after=one.before) for one in changes]


def net_changes(feed: pd.DataFrame) -> list[RowChange]:
    """What a stretch of the change feed comes to, by id; a row that ends as it began is none."""
    first, last = feed.groupby("id").head(1).set_index("id"), feed.groupby("id").tail(1).set_index("id")
    changes = []
    for row_id in sorted(first.index):
        before, after = _content(first.loc[row_id], WENT), _content(last.loc[row_id], CAME)
        if before != after:
            changes.append(RowChange(id=row_id, before=before, after=after))
    return changes


def _content(row: pd.Series, kinds: tuple[str, str]) -> dict[str, Any] | None:
    return {name: row[name] for name in CONTENT} if row["_change_type"] in kinds else None


def row_history(table: DatasetTable, row_id: str) -> list[dict[str, Any]]:
    """What one id has been, oldest first: its fields, `version`, and `removed`; NotFound if there never was such a row."""
    feed = table.changes(-1)
    found = feed[(feed["id"] == row_id) & (feed["_change_type"] != "update_preimage")]
    if found.empty:
        raise NotFound(f"data set {table.dataset}: no row with the id {row_id!r} in any version; `headgate data diff A B` shows ids")
    return [
        {name: row[name] for name in ROW_COLUMNS} | {"version": row["_commit_version"], "removed": row["_change_type"] == "delete"}
        for row in found.to_dict("records")
    ]
