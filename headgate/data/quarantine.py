"""Rows that were refused, with file, line and reason, in the Delta table `<lake>/quarantine/<dataset>`."""

from collections.abc import Iterable
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa

from headgate.data import delta
from headgate.data.parsing import BadRow
from headgate.data.version import checked_name
from headgate.lake import Lake

MAX_RAW_CHARACTERS = 20_000
COLUMNS = ["file", "line", "raw", "reason", "landed_at"]
SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
        ("raw", pa.string()),
        ("reason", pa.string()),
        ("landed_at", pa.timestamp("us", "UTC")),
    ]
)


def quarantine(lake: Lake, dataset: str, bad: Iterable[tuple[str, str, BadRow]]) -> None:
    """Keep refused rows, each with its file's SHA-256 and time of landing; a row that is there already stays as it is."""
    records = {(sha256, row.line): _record(sha256, landed_at, row) for sha256, landed_at, row in bad}
    if records:
        delta.retried(lambda: _add(lake, _key(dataset), records))


def quarantined(lake: Lake, dataset: str) -> pd.DataFrame:
    """Every refused row with file, line, raw, reason and landed_at, as they came."""
    table = delta.open_table(lake, _key(dataset))
    rows = delta.read(table, SCHEMA) if table else SCHEMA.empty_table()
    frame: pd.DataFrame = rows.sort_by([("landed_at", "ascending"), ("file", "ascending"), ("line", "ascending")]).to_pandas()
    return frame[COLUMNS]


def _add(lake: Lake, key: str, records: dict[tuple[str, int], dict[str, object]]) -> None:
    if (table := delta.open_table(lake, key)) is None:
        return delta.create(lake, key, pa.Table.from_pylist(list(records.values()), schema=SCHEMA), {})
    names = pa.schema([SCHEMA.field("sha256"), SCHEMA.field("line")])
    there = {(row["sha256"], row["line"]) for row in delta.read(table, names).to_pylist()}
    if new := [record for name, record in records.items() if name not in there]:
        delta.upsert(lake, key, table, pa.Table.from_pylist(new, schema=SCHEMA), ("sha256", "line"), {})
    return None


def _record(sha256: str, landed_at: str, row: BadRow) -> dict[str, object]:
    raw = row.raw if len(row.raw) <= MAX_RAW_CHARACTERS else f"{row.raw[:MAX_RAW_CHARACTERS]}... ({len(row.raw)} characters)"
    landed = datetime.fromisoformat(landed_at).astimezone(UTC)
    text = {"file": row.file, "raw": raw, "reason": row.reason}
    return {"sha256": sha256, "line": row.line, "landed_at": landed} | {name: _storable(value) for name, value in text.items()}


def _storable(text: str) -> str:
    """The text as a table can hold it: half characters become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _key(dataset: str) -> str:
    return f"quarantine/{checked_name(dataset)}"
