"""Delta tables through delta-rs, where a writer that was overtaken starts over from what is there now.

Commits are never rebased (`max_commit_retries=0`): digest and row count belong to exactly the version they were computed from.
Each carries an id of its own, by which a commit whose answer was lost on the way is told from somebody else's.
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, QueryBuilder, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from headgate.data.turns import turn
from headgate.errors import Conflict, HeadgateError, NotFound, Unavailable
from headgate.lake import Lake
from headgate.s3_faults import delta_fault, one_line

T = TypeVar("T")
METADATA, WRITE = "headgate", "headgate_write"
CONTENDED_S = 600.0
OUTAGES = 3
SHORTEST_WAIT_S, LONGEST_WAIT_S, WIDEST = 0.05, 60.0, 16
COMPACTIONS = 3
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
    with _committing(lake, key, None, metadata) as commit:
        write_deltalake(
            lake.join(key),
            rows,
            mode="error",
            description=description,
            partition_by=list(partitions) or None,
            configuration=KEPT_FOR_EVER,
            storage_options=lake.storage_options(),
            commit_properties=commit,
        )


def append(lake: Lake, key: str, table: DeltaTable, rows: pa.Table, metadata: dict[str, Any]) -> None:
    """Add rows that match none, in one commit on top of this very version; Conflict if there is a newer one. Reads nothing."""
    with _committing(lake, key, table, metadata) as commit:
        write_deltalake(table, rows, mode="append", commit_properties=commit)


def upsert(lake: Lake, key: str, table: DeltaTable, rows: pa.Table, matched_by: tuple[str, ...], metadata: dict[str, Any]) -> None:
    """Replace the rows that match and add the others, in one commit on top of this very version; Conflict if there is a newer one."""
    predicate = " AND ".join(f"old.{column} = new.{column}" for column in matched_by)
    with _committing(lake, key, table, metadata) as commit:
        merge = table.merge(rows, predicate, source_alias="new", target_alias="old", commit_properties=commit)
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
    with _committing(lake, key, table, metadata) as commit:
        merge = table.merge(source, "old.id = new.id", source_alias="new", target_alias="old", commit_properties=commit)
        merge = merge.when_matched_delete(f"new.{REMOVED}").when_matched_update(columns)
        merge.when_not_matched_insert(columns, f"NOT new.{REMOVED}").execute()


def compact(lake: Lake, key: str) -> int:
    """Rewrite small files as few larger ones and say how many went; 0 where there is nothing to do or other writers were faster.

    It changes no row and makes no data version, so that delta-rs may rebase it on merges and appends, and losing to one that rewrote the
    same files costs nothing: the next compaction finds them again. Only one runs at a time: delta-rs 1.6 also rebases one compaction on
    another that rewrote the same files (it takes neither retries nor a transaction id from us), and then their rows are there twice.
    """
    with turn(lake, f"compacting/{key}.json") as ours:
        return _compacted(lake, key) if ours else 0


def _compacted(lake: Lake, key: str) -> int:
    for _ in range(COMPACTIONS):
        if (table := open_table(lake, key)) is None:
            raise NotFound(f"{lake.join(key)}: expected a table, found none; ingest a file first")
        try:
            with _translated(lake, key):
                return int(table.optimize.compact()["numFilesRemoved"])
        except Conflict:
            continue
    return 0


def read(table: DeltaTable, schema: pa.Schema) -> pa.Table:
    """Every row of the opened version, with the columns of the schema; FileNotFoundError if a vacuum took its files."""
    with told_of(table.table_uri):
        return table.to_pyarrow_table(columns=schema.names).cast(schema)


def read_fast(table: DeltaTable, schema: pa.Schema) -> pa.Table:
    """The same rows through delta-rs's own engine, which decodes on all cores; texts are views of what was read."""
    columns = ", ".join(f'"{name}"' for name in schema.names)
    try:
        return pa.table(QueryBuilder().register("rows", table).execute(f"SELECT {columns} FROM rows"))  # noqa: S608 - own names
    except (DeltaError, OSError, pa.ArrowException):  # whatever it is, the plain reading tells it by the right name, or does better
        return read(table, schema)


def read_some(table: DeltaTable, schema: pa.Schema, column: str, values: pa.Array) -> pa.Table:
    """The rows whose column has one of the values; the others are dropped while they are read.

    A filter of the dataset would do the same, but fails on the string views in files that a merge of delta-rs wrote.
    """
    found = []
    with told_of(table.table_uri):
        for batch in table.to_pyarrow_dataset().to_batches(columns=schema.names):
            rows = pa.table(batch).cast(schema)
            if len(matching := rows.filter(pc.is_in(rows[column], values))):
                found.append(matching)
    return pa.concat_tables(found) if found else schema.empty_table()


def commits(table: DeltaTable, limit: int | None = None) -> list[dict[str, Any]]:
    """What the newest `limit` commits (None: all) tell of themselves, newest first; those that only compact the table are left out."""
    with told_of(table.table_uri):
        return [entry for entry in table.history(limit) if METADATA in entry]


def retried(attempt: Callable[[], T]) -> T:
    """Run the attempt again from the start while others commit first or the store fails.

    Conflict after ten minutes, Unavailable after the third outage (each was waited for already). Waits are uniform in a window that
    doubles with each try and is measured in lengths of the attempt, so that any number of writers, quick or slow, spread out.
    """
    begun, tries, outages = time.monotonic(), 0, 0
    while True:
        started = time.monotonic()
        try:
            return attempt()
        except Conflict:
            if started - begun > CONTENDED_S:
                raise
        except Unavailable:
            outages += 1
            if outages == OUTAGES:
                raise
        tries += 1
        window = max(SHORTEST_WAIT_S, time.monotonic() - started) * min(2**tries, WIDEST)
        time.sleep(random.uniform(0, min(window, LONGEST_WAIT_S)))  # noqa: S311 - spreads writers, guards nothing


@contextmanager
def _committing(lake: Lake, key: str, table: DeltaTable | None, metadata: dict[str, Any]) -> Iterator[CommitProperties]:
    """Properties of one commit on top of this very version (None: of the first); a fault after it was made is none."""
    write = uuid4().hex
    version = table.version() + 1 if table else 0
    try:
        with _translated(lake, key):
            yield CommitProperties(custom_metadata={METADATA: metadata, WRITE: write}, max_commit_retries=0)
    except HeadgateError:
        if not _made(lake, key, version, write):
            raise
        if table:
            with _translated(lake, key):
                table.load_as_version(version)


def _made(lake: Lake, key: str, version: int, write: str) -> bool:
    """Whether this version came by this very write: its answer got lost, or something after it failed."""
    entry = lake.get(f"{key}/_delta_log/{version:020d}.json")
    actions = [json.loads(line) for line in entry.data.splitlines()] if entry else []
    return any(action.get("commitInfo", {}).get(WRITE) == write for action in actions)


@contextmanager
def _translated(lake: Lake, key: str) -> Iterator[None]:
    with told_of(lake.join(key)):
        yield


@contextmanager
def told_of(where: str) -> Iterator[None]:
    """Headgate's errors for delta-rs's own, about the table at an address."""
    try:
        yield
    except CommitFailedError as fault:
        raise Conflict(f"{where}: somebody else committed first ({fault})") from fault
    except (TableNotFoundError, FileNotFoundError):
        raise
    except DeltaError as fault:
        if "already exists" in str(fault):
            raise Conflict(f"{where}: somebody else created it first") from fault
        raise delta_fault(where, str(fault)) or NotFound(f"{where}: {one_line(str(fault))}") from fault
    except OSError as fault:
        raise delta_fault(where, str(fault)) or Unavailable(f"{where}: the object store answered {one_line(str(fault))}") from fault
