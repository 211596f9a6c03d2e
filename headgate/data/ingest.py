"""From landed files to a data version: good rows are merged, bad rows quarantined, finished files recorded.

Each step is harmless to repeat and the record comes last, so that a killed, repeated or concurrent ingest loses and doubles nothing.
"""

import gc
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from headgate.data import delta
from headgate.data.conflicts import Conflict, Policy, Vote, disagree, repeated, rough, settle
from headgate.data.landing import AT_ONCE, LandedFile, ingested_key, mark_read, pending_and_copies
from headgate.data.parsing import ParsedFile, judge_file, one_row_an_id
from headgate.data.plain_files import PlainFile, as_table, plain_file
from headgate.data.quarantine import quarantine, quarantined
from headgate.data.quarantine_decisions import land_decided
from headgate.data.rows import Annotation
from headgate.data.table import DatasetTable, MergeResult
from headgate.data.version import DataVersion
from headgate.lake import Lake

__all__ = ["IngestResult", "ingest", "quarantined"]

SHOWN_BAD_ROWS = 10
SHOWN_CONFLICTS = 10
SHOWN_OUTDATED = 5
VOTES = pa.schema(
    [(name, pa.string()) for name in ("id", "text", "label", "annotator", "source", "arrived")]
    + [("annotated_at", pa.timestamp("us", "UTC"))]
)
Parsed = list[tuple[LandedFile, ParsedFile]]
Done = Sequence[tuple[LandedFile, ParsedFile | PlainFile]]

Merged = tuple[Done, list[MergeResult], tuple[Conflict, ...]]


class Rules(NamedTuple):
    """What rows are judged by: the labels that may stand (none: any), who wins where annotators disagree, and the time that it is."""

    labels: Collection[str]
    policy: Policy
    now: datetime


class IngestResult(BaseModel):
    """What an ingest did: a new data version stands where `version != previous`. Counts are rows."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    version: DataVersion | None
    previous: DataVersion | None
    files: int = 0
    added: int = 0
    corrected: int = 0
    removed: int = 0
    unchanged: int = 0
    quarantined: int = 0
    notices: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


def ingest(
    lake: Lake, dataset: str, labels: Collection[str] = (), conflicts: Policy = "latest", now: datetime | None = None
) -> IngestResult:
    """Merge every pending file of a data set; with labels given, rows with any other label are quarantined.

    Where annotators disagree about a text the policy `conflicts` decides, and the result tells each disagreement. Rows annotated later than
    `now` (None: the clock's time), with an allowance for other clocks, are quarantined: such a row would win over every later annotation.
    """
    land_decided(lake, dataset)
    landed, copies = pending_and_copies(lake, dataset)
    with _no_collection():
        return _ingested(lake, dataset, landed, copies, Rules(labels, conflicts, now or datetime.now(UTC)))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Python's search for cycles looks at each row again and again, a fifth of the whole time, and finds none."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _ingested(lake: Lake, dataset: str, landed: list[LandedFile], copies: list[LandedFile], rules: Rules) -> IngestResult:
    files, merges, disagreements = _by_columns(lake, dataset, landed, rules) or _by_rows(lake, dataset, landed, rules)
    quarantine(lake, dataset, [(file.sha256, file.landed_at, row) for file, parsed in files for row in parsed.bad])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda done: _record(lake, dataset, *done), files))
        list(pool.map(lambda copy: mark_read(lake, dataset, copy), copies))
    return _result(dataset, files, merges, DatasetTable(lake, dataset).latest(), disagreements)


def _by_rows(lake: Lake, dataset: str, landed: list[LandedFile], rules: Rules) -> Merged:
    judged = [judge_file(file.name, file.data, rules.labels, rules.now) for file in landed]
    arrived = [(file.arrived, one) for file, one in zip(landed, judged, strict=True)]
    held = _held(lake, dataset, (good.row.text for file in judged for good in file.good))
    settled, disagreements = settle(rules.policy, arrived, held)
    files: Parsed = [(file, one_row_an_id(one)) for file, one in zip(landed, settled, strict=True)]
    table = DatasetTable(lake, dataset)
    return files, [table.merge_arrivals(rows) for rows in _rounds(files)], disagreements


def _by_columns(lake: Lake, dataset: str, landed: list[LandedFile], rules: Rules) -> Merged | None:
    """The quick way to the same: only where all rows of all files are plain and new, each has an id of its own, and nobody disagrees."""
    files: list[tuple[LandedFile, PlainFile]] = []
    for file in landed:
        if (found := plain_file(file.name, file.data, rules.labels, rules.now)) is None:
            return None
        files.append((file, found))
    ids = [row_id for _, found in files for row_id in found.rows]
    if not ids or len(set(ids)) < len(ids) or _contested(lake, dataset, files, rules.policy):
        return None
    merged = DatasetTable(lake, dataset).append_new(*as_table([(file.arrived, found) for file, found in files]))
    return None if merged is None else (files, [merged], ())


def _contested(lake: Lake, dataset: str, files: Sequence[tuple[LandedFile, PlainFile]], policy: Policy) -> bool:
    texts = [text for _, found in files for text in found.columns["text"]]
    held = _held(lake, dataset, texts)
    shared = repeated(texts, [vote.text for vote in held])
    return bool(shared) and disagree(policy, _votes(files, shared), held)


def _votes(files: Sequence[tuple[LandedFile, PlainFile]], shared: set[bytes]) -> Iterator[Vote]:
    """The votes of the rows whose text stands elsewhere too; the place is that among the rows."""
    for number, (file, found) in enumerate(files):
        fields = (found.columns[name] for name in ("id", "text", "label", "annotator", "source", "annotated_at"))
        for place, (row_id, text, label, annotator, source, at) in enumerate(zip(*fields, strict=True)):
            if rough(text) in shared:
                yield Vote(row_id, text, label, annotator, source, (at, file.arrived, place), (number, place))


def _held(lake: Lake, dataset: str, texts: Iterable[str]) -> list[Vote]:
    """What the table says already about these texts, as they stand to the letter."""
    wanted = list(set(texts))
    table = delta.open_table(lake, DatasetTable(lake, dataset).key) if wanted else None
    if table is None:
        return []
    return [_vote(row) for row in delta.read_some(table, VOTES, "text", pa.array(wanted, pa.string())).to_pylist()]


def _vote(row: dict[str, Any]) -> Vote:
    order = (row["annotated_at"], row["arrived"], 0)
    return Vote(row["id"], row["text"], row["label"], row["annotator"], row["source"], order)


def _rounds(files: Parsed) -> list[list[tuple[Annotation, str]]]:
    """The rows in as few merges as keep each earlier annotation of an id in history: one, unless files repeat ids."""
    rows = [(row, file.arrived) for file, parsed in files for row in parsed.rows]
    if rows and len({row.id for row, _ in rows}) == len(rows):
        return [rows]
    rows.sort(key=lambda item: (item[0].annotated_at, item[1]))
    rounds: dict[int, list[tuple[Annotation, str]]] = defaultdict(list)
    seen: dict[str, int] = defaultdict(int)
    for row, arrived in rows:
        rounds[seen[row.id]].append((row, arrived))
        seen[row.id] += 1
    return list(rounds.values())


def _record(lake: Lake, dataset: str, file: LandedFile, parsed: ParsedFile | PlainFile) -> None:
    """Say that the file is finished; if another process said so first, that is as good."""
    record = {"key": file.key, "sha256": file.sha256, "rows": len(parsed.rows), "quarantined": len(parsed.bad)}
    lake.put_if_absent(ingested_key(dataset, file.sha256), json.dumps(record, sort_keys=True).encode())
    mark_read(lake, dataset, file)


def _result(
    dataset: str, files: Done, merges: list[MergeResult], latest: DataVersion | None, conflicts: tuple[Conflict, ...]
) -> IngestResult:
    outdated = [row_id for merge in merges for row_id in merge.outdated]
    notices = [notice for _, parsed in files for notice in _notices(parsed)]
    if outdated:
        notices.append(f"{len(outdated)} row(s) changed nothing: {dataset} holds a later annotation of the same id: {_first(outdated)}")
    notices += _disagreements(conflicts)
    return IngestResult(
        dataset=dataset,
        version=merges[-1].version if merges else latest,
        previous=merges[0].previous if merges else latest,
        files=len(files),
        added=sum(merge.added for merge in merges),
        corrected=sum(merge.corrected for merge in merges),
        unchanged=sum(merge.unchanged + len(merge.outdated) for merge in merges),
        quarantined=sum(len(parsed.bad) for _, parsed in files),
        notices=tuple(notices),
        conflicts=conflicts,
    )


def _notices(parsed: ParsedFile | PlainFile) -> list[str]:
    """What a person should read: all notices, and the first bad rows."""
    shown = [str(row) for row in parsed.bad[:SHOWN_BAD_ROWS]]
    if more := len(parsed.bad) - len(shown):
        shown.append(f"{parsed.name}: {more} more row(s) in quarantine")
    return [*parsed.notices, *shown]


def _first(ids: Sequence[str]) -> str:
    """The first ids, each once, and how many more there are."""
    known = list(dict.fromkeys(ids))
    more = len(known) - SHOWN_OUTDATED
    return ", ".join(map(repr, known[:SHOWN_OUTDATED])) + (f" and {more} more" if more > 0 else "")


def _disagreements(conflicts: tuple[Conflict, ...]) -> list[str]:
    """The first conflicts, and how many more the result tells."""
    shown = [f"annotators disagree: {conflict}" for conflict in conflicts[:SHOWN_CONFLICTS]]
    more = len(conflicts) - len(shown)
    return [*shown, f"annotators disagree about {more} more text(s)"] if more else shown
