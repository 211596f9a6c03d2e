"""Delta tables through delta-rs, where a writer that was overtaken starts over from what is there now.

Commits are never rebased (`max_commit_retries=0`): digest and row count belong to exactly the version they were computed from.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from headgate.errors import Conflict, NotFound, Unavailable
from headgate.lake import Lake

T = TypeVar("T")
METADATA = "headgate"
ATTEMPTS = 30
REMOVED = "headgate_removed"
KEPT_FOR_EVER = {
    "delta.enableChangeDataFeed": "true",
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}


def open_table(lake: Lake, key: str) -> DeltaTable | None:
    """The newest version of the table at a key, or None."""
    with _translated(lake, key):
        try:
            return DeltaTable(lake.join(key), storage_options=lake.storage_options())
        except TableNotFoundError:
            return None


def open_version(lake: Lake, key: str, version: int) -> DeltaTable:
    """One version of the table at a key, which must exist."""
    with _translated(lake, key):
        return DeltaTable(lake.join(key), version=version, storage_options=lake.storage_options())


def create(lake: Lake, key: str, rows: pa.Table, metadata: dict[str, Any], description: str = "", partitions: tuple[str, ...] = ()) -> None:
    """Version 0 with its first rows, in one commit; Conflict if somebody was faster."""
    with _translated(lake, key):
        write_deltalake(
            lake.join(key),
            rows,
            mode="error",
            description=description,
            partition_by=list(partitions) or None,
            configuration=KEPT_FOR_EVER,
            storage_options=lake.storage_options(),
            commit_properties=_commit(metadata),
        )


def upsert(lake: Lake, key: str, table: DeltaTable, rows: pa.Table, matched_by: tuple[str, ...], metadata: dict[str, Any]) -> None:
    """Replace the rows that match and add the others, in one commit on top of this very version; Conflict if there is a newer one."""
    predicate = " AND ".join(f"old.{column} = new.{column}" for column in matched_by)
    with _translated(lake, key):
        merge = table.merge(rows, predicate, source_alias="new", target_alias="old", commit_properties=_commit(metadata))
        merge.when_matched_update_all().when_not_matched_insert_all().execute()


def replace(lake: Lake, key: str, table: DeltaTable, rows: pa.Table, removed: list[str], metadata: dict[str, Any]) -> None:
    """Write rows over those of the same id and remove the rows with the ids `removed`, in one commit on top of this very version."""
    gone = pa.table({"id": pa.array(removed, pa.string())})
    marks = [pa.array([mark] * count) for mark, count in ((False, len(rows)), (True, len(removed)))]
    source = pa.concat_tables(
        [part.append_column(REMOVED, mark.cast(pa.bool_())) for part, mark in zip((rows, gone), marks, strict=True)],
        promote_options="default",
    )
    columns = {name: f"new.{name}" for name in rows.column_names}
    with _translated(lake, key):
        merge = table.merge(source, "old.id = new.id", source_alias="new", target_alias="old", commit_properties=_commit(metadata))
        merge = merge.when_matched_delete(f"new.{REMOVED}").when_matched_update(columns)
        merge.when_not_matched_insert(columns, f"NOT new.{REMOVED}").execute()


def read(table: DeltaTable, schema: pa.Schema) -> pa.Table:
    """Every row of the opened version, with the columns of the schema."""
    return table.to_pyarrow_table(columns=schema.names).cast(schema)


def retried(attempt: Callable[[], T]) -> T:
    """Run the attempt again from the start while others commit first; Conflict after about half a minute."""
    for number in range(ATTEMPTS):
        try:
            return attempt()
        except Conflict:
            time.sleep(random.uniform(0.5, 1) * min(0.02 * 2**number, 1.5))  # noqa: S311 - spreads writers, guards nothing
    return attempt()


def _commit(metadata: dict[str, Any]) -> CommitProperties:
    return CommitProperties(custom_metadata={METADATA: metadata}, max_commit_retries=0)


@contextmanager
def _translated(lake: Lake, key: str) -> Iterator[None]:
    """Headgate's errors for delta-rs's own."""
    try:
        yield
    except CommitFailedError as fault:
        raise Conflict(f"{lake.join(key)}: somebody else committed first ({fault})") from fault
    except TableNotFoundError:
        raise
    except DeltaError as fault:
        if "already exists" in str(fault):
            raise Conflict(f"{lake.join(key)}: somebody else created it first") from fault
        raise NotFound(f"{lake.join(key)}: {fault}") from fault
    except OSError as fault:
        raise Unavailable(f"{lake.join(key)}: the object store answered {fault}") from fault
