"""Rows that were refused, with file, line and reason, in the Delta table `<lake>/quarantine/<dataset>`.

A row leaves the quarantine when a person decides about it (`headgate.data.quarantine_decisions`); the table itself keeps it.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import PurePosixPath

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
    """Every refused row that nobody decided about, with file, line, raw, reason and landed_at, as they came."""
    return with_ids(lake, dataset)[COLUMNS]


def with_ids(lake: Lake, dataset: str) -> pd.DataFrame:
    """The same rows with the file's sha256 and the `id` by which a person names a row: 12 digits of the sha256 and the line."""
    table = delta.open_table(lake, _key(dataset))
    rows = delta.read(table, SCHEMA) if table else SCHEMA.empty_table()
    frame: pd.DataFrame = rows.sort_by([("landed_at", "ascending"), ("file", "ascending"), ("line", "ascending")]).to_pandas()
    ids = [refused_id(sha256, line) for sha256, line in zip(frame["sha256"], frame["line"], strict=True)]
    frame = frame.assign(id=pd.Series(ids, index=frame.index, dtype=object))
    return frame[~frame["id"].isin(decided(lake, dataset))].reset_index(drop=True)


def refused_id(sha256: str, line: int) -> str:
    """How a person names a refused row."""
    return f"{sha256[:12]}-{line}"


def decided(lake: Lake, dataset: str) -> set[str]:
    """The ids of the rows that somebody decided about."""
    return {PurePosixPath(key).stem for key in lake.keys(decisions(dataset))}


def decisions(dataset: str) -> str:
    """Key of the folder with one record a decision."""
    return f"quarantine-decisions/{checked_name(dataset)}"


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
