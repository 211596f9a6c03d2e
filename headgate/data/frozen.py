"""Frozen data sets, such as regression sets: written once, never changed."""

from collections.abc import Sequence

import pandas as pd

from headgate.data.rows import Annotation, digest_of, row_hash
from headgate.data.table import DatasetTable
from headgate.data.version import DataVersion
from headgate.errors import BadInput, Conflict, NotFound
from headgate.lake import Lake


def freeze(lake: Lake, name: str, rows: Sequence[Annotation]) -> DataVersion:
    """Write the set unless it is there already; BadInput if another one is. Repeating is harmless."""
    _check_ids(name, rows)
    table = DatasetTable(lake, name)
    if (there := table.latest()) is None:
        try:
            return table.create_frozen(rows)
        except Conflict:
            there = table.latest()
    digest = digest_of(sum(map(row_hash, rows)))
    if there is None or there.digest != digest:
        found = f"{there.rows} rows with digest {there.digest}" if there else "an unfinished table"
        raise BadInput(f"frozen set {name} never changes: it has {found}, given {len(rows)} rows with digest {digest}; use another name")
    return there


def load_frozen(lake: Lake, name: str) -> pd.DataFrame:
    """The rows of a frozen set; NotFound if there is none."""
    if DatasetTable(lake, name).latest() is None:
        raise NotFound(f"no frozen set {name} in {lake.uri}; freeze its rows first")
    return DatasetTable(lake, name).load()


def _check_ids(name: str, rows: Sequence[Annotation]) -> None:
    ids = [row.id for row in rows]
    if not ids:
        raise BadInput(f"frozen set {name}: expected rows, found none")
    seen: set[str] = set()
    if doubled := sorted({row_id for row_id in ids if row_id in seen or seen.add(row_id)}):  # type: ignore[func-returns-value]
        raise BadInput(f"frozen set {name}: expected each id once, found twice: {', '.join(doubled[:10])}")
