"""Which old data versions may be given up, and which files only they need.

Each table's retention of log and deleted files is 100 years, and its log is never cleaned up (`headgate.data.delta`), so that a VACUUM
by Spark, delta-rs or Databricks with its defaults leaves every version loadable. The change feed is kept whole here too.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from deltalake.fs import DeltaStorageHandler

from headgate.data.delta import told_of
from headgate.data.table import DatasetTable
from headgate.data.version import DataVersion
from headgate.errors import NotFound, Refused
from headgate.lake import Lake
from headgate.record import Record


@dataclass(frozen=True, slots=True)
class Commit:
    """One Delta commit: the data files that it added (with bytes) and removed, and those that the change feed reads."""

    version: int
    at: datetime
    added: Mapping[str, int]
    removed: frozenset[str]
    fed: frozenset[str]


class VersionFate(Record):
    """A data version and why it is kept; with no reason its files may go."""

    data: DataVersion
    made_at: datetime
    kept_because: tuple[str, ...]


class VacuumPlan(Record):
    """What a vacuum would give up: versions, and data files with their bytes, relative to the table."""

    dataset: str
    fates: tuple[VersionFate, ...]
    files: dict[str, int]

    @property
    def given_up(self) -> list[int]:
        """The versions that could not be loaded afterwards."""
        return [fate.data.version for fate in self.fates if not fate.kept_because]


def plan_vacuum(
    table: DatasetTable, held: Mapping[int, Collection[str]], now: datetime, keep_days: float, only: Collection[int] = ()
) -> VacuumPlan:
    """Say which versions may go: neither newest, nor held, nor superseded within keep_days.

    `held` names who needs a version. With `only`, those versions and no other; Refused if one of them has to be kept.
    """
    made = [(data, at) for data, at, _ in table.made()]
    if not made or (missing := sorted(set(only) - {data.version for data, _ in made})):
        found = ", ".join(str(data.version) for data, _ in made) or "none"
        wanted = f"version {missing[0]}" if made else "a version"
        raise NotFound(f"data set {table.dataset}: expected {wanted}, found the versions: {found}")
    fates = judged(made, held, now, keep_days)
    if refused := [fate for fate in fates if fate.data.version in only and fate.kept_because]:
        lines = [f"  version {fate.data.version}: {'; '.join(fate.kept_because)}" for fate in refused]
        raise Refused("\n".join([f"data set {table.dataset}: expected versions that nothing needs, found", *lines, "nothing was removed"]))
    if only:
        fates = [fate if fate.data.version in only else fate.model_copy(update={"kept_because": ("not asked for",)}) for fate in fates]
    kept = {fate.data.version for fate in fates if fate.kept_because}
    commits = read_log(table.lake, table.key)
    unneeded = removable(commits, kept, now - timedelta(days=keep_days))
    there = {PurePosixPath(key).name for key in table.lake.keys(table.key)}
    files = {path: size for path, size in unneeded.items() if path in there}
    return VacuumPlan(dataset=table.dataset, fates=tuple(_weighed(fates, commits, unneeded)), files=files)


def _weighed(fates: list[VersionFate], commits: list[Commit], unneeded: Collection[str]) -> Iterator[VersionFate]:
    """The same fates, where a version that loses no file is kept."""
    losing = {commit.version for commit, live in _living(commits) if not live.keys().isdisjoint(unneeded)}
    for fate in fates:
        free = not fate.kept_because and fate.data.version not in losing
        yield fate.model_copy(update={"kept_because": ("every file of it is needed otherwise",)}) if free else fate


def judged(
    made: list[tuple[DataVersion, datetime]], held: Mapping[int, Collection[str]], now: datetime, keep_days: float
) -> list[VersionFate]:
    """Each version with the reasons why it is kept. Its age counts from its successor, since a run may have begun on it till then."""
    superseded = [at for _, at in made[1:]]
    fates = []
    for number, (data, at) in enumerate(made):
        reasons = list(held.get(data.version, ()))
        if number == len(superseded):
            reasons.append("it is the newest")
        elif (age := now - superseded[number]) < timedelta(days=keep_days):
            reasons.append(f"it was the newest until {age.total_seconds() / 86400:.1f} days ago; {keep_days:g} days are kept")
        fates.append(VersionFate(data=data, made_at=at, kept_because=tuple(reasons)))
    return fates


def removable(commits: list[Commit], kept: Collection[int], before: datetime) -> dict[str, int]:
    """The data files, with their bytes, that neither the kept versions nor the newest commit nor the change feed needs.

    A file that was live after `before` stays: somebody may read it still, for one a writer that began on a compaction.
    """
    live: Mapping[str, int] = {}
    every: dict[str, int] = {}
    needed: set[str] = set()
    for commit, live in _living(commits):
        every |= commit.added
        needed |= commit.fed
        if commit.at > before:
            needed |= commit.removed
        if commit.version in kept:
            needed |= live.keys()
    return {path: size for path, size in sorted(every.items()) if path not in needed | live.keys()}


def _living(commits: list[Commit]) -> Iterator[tuple[Commit, dict[str, int]]]:
    """Each commit with the files, and their bytes, that the table consists of after it."""
    live: dict[str, int] = {}
    for commit in commits:
        live = {path: size for path, size in live.items() if path not in commit.removed} | dict(commit.added)
        yield commit, live


def remove(lake: Lake, plan: VacuumPlan) -> int:
    """Delete the plan's files and say how many there were; one that is gone already counts as deleted, so repeating is harmless."""
    where = lake.join(f"datasets/{plan.dataset}")
    with told_of(where):
        store = DeltaStorageHandler(where, lake.storage_options())
        for path in plan.files:
            with suppress(FileNotFoundError):
                store.delete_file(path)
    return len(plan.files)


def read_log(lake: Lake, key: str) -> list[Commit]:
    """Every commit of a Delta table from version 0; Refused if the log is not whole."""
    names = [name for name in lake.keys(f"{key}/_delta_log") if re.fullmatch(r"\d{20}\.json", PurePosixPath(name).name)]
    found = [_commit(int(PurePosixPath(name).stem), lake.read(name)) for name in names]
    if [commit.version for commit in found] != list(range(len(found))):
        raise Refused(f"{lake.join(key)}: expected every commit of the log from 0 on, found some missing; nothing is removed from it")
    return found


def _commit(version: int, data: bytes) -> Commit:
    actions = [next(iter(json.loads(line).items())) for line in data.splitlines() if line.strip()]
    moved = [(kind, action) for kind, action in actions if kind in ("add", "remove")]
    feeds = [] if any(kind == "cdc" for kind, _ in actions) else [action for _, action in moved if action["dataChange"]]
    made = next(action["timestamp"] for kind, action in actions if kind == "commitInfo")
    return Commit(
        version=version,
        at=datetime.fromtimestamp(made / 1000, UTC),
        added={_path(action): int(action["size"]) for kind, action in moved if kind == "add"},
        removed=frozenset(_path(action) for kind, action in moved if kind == "remove"),
        fed=frozenset(map(_path, feeds)),
    )


def _path(action: dict[str, Any]) -> str:
    return unquote(str(action["path"]))
