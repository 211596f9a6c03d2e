"""A data set as a Delta table: merged by id, loadable at every version, with a feed of what changed."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from pydantic import BaseModel, ConfigDict

from headgate.data import delta
from headgate.data.ordering import by_id
from headgate.data.rows import Annotation, digest_of, row_hash, split_of
from headgate.data.version import DataVersion, checked_name
from headgate.errors import BadInput, NotFound, Stale
from headgate.lake import Lake

FROZEN = "frozen"
TIME = pa.timestamp("us", "UTC")
TEXTS = ("id", "text", "label", "group_id", "source", "annotator", "headers", "split", "arrived", "row_hash")
SCHEMA = pa.schema([*((name, pa.string()) for name in TEXTS[:6]), ("annotated_at", TIME), *((name, pa.string()) for name in TEXTS[6:])])
ROW_COLUMNS = ["id", "text", "label", "group_id", "source", "annotator", "annotated_at", "headers", "split"]
CHANGES = pa.schema([*SCHEMA, ("_change_type", pa.string()), ("_commit_version", pa.int64()), ("_commit_timestamp", pa.timestamp("ms"))])


class MergeResult(BaseModel):
    """What a merge did; `version == previous` where nothing changed. outdated: ids of rows that are older than the one in the table."""

    model_config = ConfigDict(frozen=True)

    version: DataVersion
    previous: DataVersion | None
    added: int = 0
    corrected: int = 0
    removed: int = 0
    unchanged: int = 0
    outdated: tuple[str, ...] = ()


class _Arrival(NamedTuple):
    """A row as the table holds it. Of one id the greatest `order` wins in any order of merges: late and repeated ones are harmless."""

    row: Annotation
    arrived: str
    hash: int

    @property
    def order(self) -> tuple[datetime, str, int]:
        return self.row.annotated_at, self.arrived, self.hash

    @property
    def headers(self) -> str | None:
        found = self.row.headers
        return None if found is None else json.dumps(found, ensure_ascii=False, sort_keys=True)


class DatasetTable:
    """One data set in the lake. Writers in any number of processes lose nothing; every version stays loadable."""

    def __init__(self, lake: Lake, dataset: str) -> None:
        self.lake = lake
        self.dataset = checked_name(dataset)
        self.key = f"datasets/{dataset}"

    def versions(self) -> list[DataVersion]:
        """Every data version, oldest first; Delta versions that only compact the table are none."""
        table = delta.open_table(self.lake, self.key)
        return self._versions(table)[::-1] if table else []

    def latest(self) -> DataVersion | None:
        """The newest data version, or None before the first rows."""
        table = delta.open_table(self.lake, self.key)
        return self._latest(table) if table else None

    def load(self, version: int | None = None) -> pd.DataFrame:
        """The rows of a data version (None: the newest) in the order of their ids; NotFound names the versions that exist."""
        found = self._existing(version).version
        with self._telling_vacuum(found):
            rows = delta.read_fast(delta.open_version(self.lake, self.key, found), pa.schema([SCHEMA.field(name) for name in ROW_COLUMNS]))
        return _frame(by_id(rows))

    def merge(self, rows: Iterable[Annotation], arrived: str | None = None) -> MergeResult:
        """Add new ids and replace those annotated earlier, or at the same time but arrived earlier; no change makes no new version."""
        arrived = arrived or f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        return self.merge_arrivals([(row, arrived) for row in rows])

    def merge_arrivals(self, rows: Iterable[tuple[Annotation, str]]) -> MergeResult:
        """Merge rows that arrived at different times; of one id the last in (annotated_at, arrived) counts."""
        arrivals: dict[str, _Arrival] = {}
        for row, arrived in rows:
            arrival = _Arrival(row, arrived, row_hash(row))
            before = arrivals.get(row.id)
            if before is None or before.order[:2] <= arrival.order[:2]:
                arrivals[row.id] = arrival
        if not arrivals:
            raise BadInput(f"data set {self.dataset}: expected rows to merge, found none")
        return delta.retried(lambda: self._merge_once(arrivals))

    def append_new(self, rows: pa.Table, total: int) -> MergeResult | None:
        """Add rows of `SCHEMA`, each of another id, whose hashes have this sum; None, and nothing done, if the table has one of the ids."""
        return delta.retried(lambda: self._append_once(rows, total))

    def _append_once(self, rows: pa.Table, total: int) -> MergeResult | None:
        table = delta.open_table(self.lake, self.key)
        if table is None:
            metadata = {"digest": digest_of(total), "rows": len(rows)}
            delta.create(self.lake, self.key, rows, metadata)
            return MergeResult(version=DataVersion(dataset=self.dataset, version=0, **metadata), previous=None, added=len(rows))
        self._refuse_frozen(table)
        previous = self._latest(table)
        if len(delta.read_some(table, pa.schema([SCHEMA.field("id")]), "id", rows["id"].combine_chunks())):
            return None
        metadata = {"digest": digest_of(int(previous.digest, 16) + total), "rows": previous.rows + len(rows)}
        delta.append(self.lake, self.key, table, rows, metadata)
        version = DataVersion(dataset=self.dataset, version=table.version(), **metadata)
        return MergeResult(version=version, previous=previous, added=len(rows))

    def changes(self, since: int, until: int | None = None) -> pd.DataFrame:
        """The change feed after version `since` (-1: everything) up to `until` (None: now).

        Rows with _change_type (insert, update_preimage, update_postimage, delete), _commit_version and _commit_timestamp.
        """
        last = self._existing(until).version
        table = delta.open_version(self.lake, self.key, last)
        with delta.told_of(table.table_uri):
            feed = pa.table(table.load_cdf(starting_version=since + 1, ending_version=max(last, since + 1), allow_out_of_range=True))
        order = [("_commit_version", "ascending"), ("id", "ascending"), ("_change_type", "descending")]
        return _frame(feed.select(CHANGES.names).cast(CHANGES).sort_by(order))[[*ROW_COLUMNS, *CHANGES.names[-3:]]]

    def history(self, row_id: str) -> pd.DataFrame:
        """What one id has been, oldest first, with the data version that wrote it."""
        feed = self.changes(-1)
        found = feed[(feed["id"] == row_id) & (feed["_change_type"] != "update_preimage")]
        return (
            found.rename(columns={"_commit_version": "version"}).drop(columns=["_change_type", "_commit_timestamp"]).reset_index(drop=True)
        )

    def restore(self, version: int, onto: DataVersion) -> MergeResult:
        """Make a new version with the content of an old one on top of `onto`, the newest that the caller saw; Stale if it is not any more.

        Nothing is rewritten: what is taken back stays in the history of its rows. An equal content makes no new version.
        """
        return delta.retried(lambda: self._restore_once(self._existing(version), onto))

    def _restore_once(self, old: DataVersion, onto: DataVersion) -> MergeResult:
        table = delta.open_table(self.lake, self.key)
        assert table is not None
        self._refuse_frozen(table)
        if (newest := self._latest(table)) != onto:
            raise Stale(
                f"data set {self.dataset}: expected version {onto.version} to be the newest, found {newest.version}; "
                f"see what came: `headgate data diff {onto.version} {newest.version}`, then restore again"
            )
        wanted, there = self._rows(old.version), delta.read(table, SCHEMA)
        before, after = _hashes(there), _hashes(wanted)
        removed = sorted(before.keys() - after.keys())
        written = {row_id for row_id, found in after.items() if before.get(row_id) != found}
        counts = {"added": len(written - before.keys()), "corrected": len(written & before.keys()), "removed": len(removed)}
        if not written and not removed:
            return MergeResult(version=onto, previous=onto, unchanged=len(before))
        metadata = {"digest": old.digest, "rows": old.rows, "restored": old.version}
        rows = wanted.filter(pc.is_in(wanted["id"], pa.array(sorted(written), pa.string())))
        delta.replace(self.lake, self.key, table, rows, removed, metadata)
        version = DataVersion(dataset=self.dataset, version=table.version(), digest=old.digest, rows=old.rows)
        return MergeResult(version=version, previous=onto, unchanged=len(after) - len(written), **counts)

    def made(self) -> list[tuple[DataVersion, datetime, int | None]]:
        """Every data version, oldest first, with the time when it was made, and the version that it restored if it did."""
        table = delta.open_table(self.lake, self.key)
        commits = delta.commits(table) if table else []
        return [
            (
                DataVersion(dataset=self.dataset, version=entry["version"], **entry[delta.METADATA]),
                datetime.fromtimestamp(entry["timestamp"] / 1000, UTC),
                entry[delta.METADATA].get("restored"),
            )
            for entry in reversed(commits)
        ]

    def _rows(self, version: int) -> pa.Table:
        """Every row as the table holds it; NotFound if a vacuum gave this version up."""
        with self._telling_vacuum(version):
            return delta.read(delta.open_version(self.lake, self.key, version), SCHEMA)

    @contextmanager
    def _telling_vacuum(self, version: int) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise NotFound(
                f"data set {self.dataset}: version {version} cannot be loaded any more, `headgate data vacuum` removed its files; "
                "what changed in it is still told by `headgate data diff` and `headgate data show ID --history`"
            ) from None

    def _merge_once(self, arrivals: dict[str, _Arrival]) -> MergeResult:
        table = delta.open_table(self.lake, self.key)
        if table is None:
            version = self._create(list(arrivals.values()))
            return MergeResult(version=version, previous=None, added=len(arrivals))
        self._refuse_frozen(table)
        previous = self._latest(table)
        held = _held(table, list(arrivals))
        added = [a for a in arrivals.values() if a.row.id not in held]
        other = [a for a in arrivals.values() if a.row.id in held and held[a.row.id][2] != a.hash]
        corrected = [a for a in other if a.order > held[a.row.id]]
        counts = {"added": len(added), "corrected": len(corrected), "unchanged": len(arrivals) - len(added) - len(other)}
        outdated = tuple(a.row.id for a in other if a.order <= held[a.row.id])
        version = previous
        if changed := [*added, *corrected]:
            total = int(previous.digest, 16) + sum(a.hash for a in changed) - sum(held[a.row.id][2] for a in corrected)
            metadata = {"digest": digest_of(total), "rows": previous.rows + len(added)}
            if corrected:
                delta.upsert(self.lake, self.key, table, _table(changed), ("id",), metadata)
            else:
                delta.append(self.lake, self.key, table, _table(added), metadata)
            version = DataVersion(dataset=self.dataset, version=table.version(), **metadata)
        return MergeResult(version=version, previous=previous, outdated=outdated, **counts)

    def create_frozen(self, rows: Iterable[Annotation]) -> DataVersion:
        """Make the whole table at once, closed to every merge; Conflict if there is one already."""
        arrivals = [_Arrival(row, "", row_hash(row)) for row in rows]
        return self._create(arrivals, FROZEN)

    def _create(self, arrivals: list[_Arrival], description: str = "") -> DataVersion:
        metadata = {"digest": digest_of(sum(a.hash for a in arrivals)), "rows": len(arrivals)}
        delta.create(self.lake, self.key, _table(arrivals), metadata, description)
        return DataVersion(dataset=self.dataset, version=0, **metadata)

    def _refuse_frozen(self, table: DeltaTable) -> None:
        if table.metadata().description == FROZEN:
            raise BadInput(f"data set {self.dataset} is frozen and never changes; give the new rows to a data set of another name")

    def _versions(self, table: DeltaTable, limit: int | None = None) -> list[DataVersion]:
        """Newest first."""
        commits = delta.commits(table, limit)
        return [DataVersion(dataset=self.dataset, version=entry["version"], **entry[delta.METADATA]) for entry in commits]

    def _latest(self, table: DeltaTable) -> DataVersion:
        found = self._versions(table, 1) or self._versions(table)
        if not found:
            raise BadInput(f"{self.lake.join(self.key)}: expected a table that headgate wrote, found one without its commits")
        return found[0]

    def _existing(self, version: int | None) -> DataVersion:
        """One version (None: the newest), from its own commit; all are listed only to say which there are."""
        if found := self.latest() if version is None else self._at(version):
            return found
        known = self.versions()
        if not known:
            raise NotFound(f"data set {self.dataset}: no rows in {self.lake.uri} yet; ingest a file first")
        raise NotFound(f"data set {self.dataset}: no version {version}; versions: {', '.join(str(one.version) for one in known)}")

    def _at(self, version: int) -> DataVersion | None:
        """The data version that this very commit made, if it made one."""
        entry = self.lake.get(f"{self.key}/_delta_log/{version:020d}.json") if version >= 0 else None
        actions = [json.loads(line) for line in entry.data.splitlines()] if entry else []
        made: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
        return DataVersion(dataset=self.dataset, version=version, **made[delta.METADATA]) if delta.METADATA in made else None


def _held(table: DeltaTable, ids: list[str]) -> dict[str, tuple[datetime, str, int]]:
    """The order of those rows of the table that have one of the ids."""
    columns = pa.schema([SCHEMA.field(name) for name in ("id", "annotated_at", "arrived", "row_hash")])
    matching = delta.read_some(table, columns, "id", pa.array(ids, pa.string())).to_pylist()
    return {row["id"]: (row["annotated_at"], row["arrived"], int(row["row_hash"], 16)) for row in matching}


def _hashes(rows: pa.Table) -> dict[str, str]:
    return dict(zip(rows["id"].to_pylist(), rows["row_hash"].to_pylist(), strict=True))


def _table(arrivals: list[_Arrival]) -> pa.Table:
    """The rows in the order of their ids: files that are sorted are loaded in order at little cost."""
    arrivals = sorted(arrivals, key=lambda arrival: arrival.row.id)
    rows = [arrival.row for arrival in arrivals]
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in ROW_COLUMNS if name not in ("headers", "split")}
    columns |= {"headers": [arrival.headers for arrival in arrivals], "split": [split_of(row.group_id) for row in rows]}
    columns |= {"arrived": [arrival.arrived for arrival in arrivals], "row_hash": [f"{arrival.hash:032x}" for arrival in arrivals]}
    return pa.table(columns, schema=SCHEMA)


def _frame(rows: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = rows.to_pandas()
    headers = np.full(len(rows), None, dtype=object)
    given = np.flatnonzero(rows["headers"].is_valid())
    headers[given] = [orjson.loads(value) for value in rows["headers"].take(given).to_pylist()]
    return frame.assign(headers=pd.Series(headers, index=frame.index, dtype=object))
