"""A small data set with a past, for tests of what became of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from deltalake import DeltaTable

from headgate.data.rows import Annotation, parse_row
from headgate.data.table import DatasetTable
from headgate.lake import Lake


def row(row_id: str, label: str = "x", day: int = 0, **fields: Any) -> Annotation:
    when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return parse_row({"id": row_id, "text": f"text {row_id}", "label": label, "annotated_at": when, "annotator": "ada"} | fields)


def table_with_history(lake: Lake) -> DatasetTable:
    """Version 0: a, b; 1: c; 2: a corrected; 3 only compacts; 4: b corrected, d."""
    table = DatasetTable(lake, "replies")
    table.merge([row("a"), row("b")])
    table.merge([row("c")])
    table.merge([row("a", "y", day=1)])
    DeltaTable(lake.join("datasets/replies"), storage_options=lake.storage_options()).optimize.compact()
    table.merge([row("b", "z", day=2), row("d", "y")])
    return table


def contents(table: DatasetTable, version: int | None = None) -> list[list[Any]]:
    return [list(values) for values in table.load(version).to_numpy()]
