"""Many processes that write one data set on a real S3 at once: is every row there once, and does every version hold what its digest says?

    eval "$(../shared/tools/s3/up.sh)"
    python benchmarks/s3_writers.py --writers 16 --commits 1000

Three of four writers ingest new rows and correct old ones, every fourth only corrects; every eighth also compacts after each commit.
Now and then each adds refused rows to the quarantine, and corrects one row that all of them share. The peer is delta-rs alone, whose
appends are rebased up to its own 15 times: how many of them end in an error. Endpoint and credentials come from the AWS environment, or
a lake of one's own is given by --lake.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from headgate.data import delta
from headgate.data.parsing import BadRow
from headgate.data.quarantine import quarantine, quarantined
from headgate.data.retention import read_log
from headgate.data.rows import Annotation, digest_of, parse_row, row_hash
from headgate.data.table import DatasetTable
from headgate.lake import Lake, open_lake

DATASET, SHARED = "replies", "shared"
START = datetime(2026, 1, 1, tzinfo=UTC)
COMPACTING = 8
SHARED_EVERY = 4
QUARANTINE_EVERY = 10
LOADED_VERSIONS = 20


class Turn(NamedTuple):
    """One commit of one writer: how often it was tried, and how long it took."""

    writer: int
    attempts: int
    seconds: float


class Outcome(NamedTuple):
    """What one writer did; `done` counts its turns in earlier runs too, `error` tells where it gave up."""

    writer: int
    done: int
    turns: list[Turn]
    compacted: int
    error: str


def rows_of(writer: int, number: int) -> list[Annotation]:
    """What a writer merges at its n-th turn: new rows unless it only corrects, a correction of an earlier one, the shared row at times."""
    when = START + timedelta(seconds=number)
    new = [] if writer % 4 == 3 and number else [_row(f"{writer}-{number}-{n}", "new", when) for n in range(2)]
    old = 0 if writer % 4 == 3 else number - 1
    corrected = [_row(f"{writer}-{old}-0", f"corrected {number}", when)] if number % 2 or (number and not new) else []
    shared = [_row(SHARED, f"by {writer} at {number}", when + timedelta(milliseconds=writer))] if number % SHARED_EVERY == 0 else []
    return [*new, *corrected, *shared]


def _row(row_id: str, label: str, when: datetime) -> Annotation:
    return parse_row({"id": row_id, "text": f"text of {row_id}", "label": label, "annotated_at": when})


def expected_rows(done: Mapping[int, int]) -> dict[str, str]:
    """The labels that every id must have after so many turns of each writer."""
    found: dict[str, tuple[datetime, str]] = {}
    for writer, turns in done.items():
        for number in range(turns):
            for row in rows_of(writer, number):
                if row.id not in found or found[row.id][0] <= row.annotated_at:
                    found[row.id] = row.annotated_at, row.label
    return {row_id: label for row_id, (_, label) in found.items()}


def write(uri: str, writer: int, turns: range, for_s: float, gate: Any, results: Any) -> None:
    """One writer's process, which begins no turn after `for_s` seconds."""
    lake, done, compacted, number = open_lake(uri), list[Turn](), 0, turns.start
    table = DatasetTable(lake, DATASET)
    tried = _counted_attempts()
    gate.wait()
    end = time.monotonic() + for_s
    try:
        while number < turns.stop and time.monotonic() < end:
            tried.clear()
            begun = time.monotonic()
            table.merge(rows_of(writer, number))
            done.append(Turn(writer, tried["attempts"], time.monotonic() - begun))
            if writer % COMPACTING == 0:
                compacted += bool(delta.compact(lake, table.key))
            if number % QUARANTINE_EVERY == 0:
                quarantine(lake, DATASET, [(f"{writer:064d}", f"{START:%Y-%m-%dT%H:%M:%SZ}", BadRow("a.csv", number + 1, "raw", "bad"))])
            number += 1
        results.put(Outcome(writer, number, done, compacted, ""))
    except Exception as fault:
        results.put(Outcome(writer, number, done, compacted, f"{type(fault).__name__}: {fault}"))


def _counted_attempts() -> Counter[str]:
    tried: Counter[str] = Counter()
    retried = delta.retried

    def counted(attempt: Callable[[], Any]) -> Any:
        def once() -> Any:
            tried["attempts"] += 1
            return attempt()

        return retried(once)

    delta.retried = counted
    return tried


def append_plainly(uri: str, writer: int, turns: range, _: float, gate: Any, results: Any) -> None:
    """The peer: appends through delta-rs with its own retries."""
    lake, done, failed = open_lake(uri), list[Turn](), list[str]()
    gate.wait()
    for number in turns:
        begun = time.monotonic()
        try:
            write_deltalake(
                lake.join("peer"), pa.table({"id": [f"{writer}-{number}"]}), mode="append", storage_options=lake.storage_options()
            )
            done.append(Turn(writer, 1, time.monotonic() - begun))
        except (DeltaError, OSError) as fault:
            failed.append(str(fault))
    results.put(Outcome(writer, len(turns), done, 0, f"{len(failed)}"))


def together(target: Callable[..., None], uri: str, turns: list[range], for_s: float) -> tuple[list[Outcome], float]:
    """One process for each writer's turns. Every writer's outcome, and the seconds from the common start to the last."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["headgate.data.table", "headgate.data.quarantine", "headgate.data.retention", "boto3"])
    gate, results = context.Barrier(len(turns) + 1), context.Queue()
    processes = [context.Process(target=target, args=(uri, writer, own, for_s, gate, results)) for writer, own in enumerate(turns)]
    for process in processes:
        process.start()
    gate.wait()
    begun = time.monotonic()
    found = [results.get() for _ in processes]
    seconds = time.monotonic() - begun
    for process in processes:
        process.join()
    return found, seconds


def check(lake: Lake, done: Mapping[int, int]) -> dict[str, int]:
    """Faults of the table by kind after so many turns of each writer; none where it is right."""
    table = DatasetTable(lake, DATASET)
    frame, expected, versions = table.load(), expected_rows(done), table.versions()
    found = dict(zip(frame["id"], frame["label"], strict=True))
    refused = quarantined(lake, DATASET)
    return {
        "rows lost": len(expected.keys() - found.keys()),
        "rows doubled": len(frame) - len(found),
        "rows nobody wrote": len(found.keys() - expected.keys()),
        "corrections lost": sum(found.get(row_id) != label for row_id, label in expected.items()),
        "versions too many or too few": abs(len(versions) - sum(done.values())),
        "refused rows lost or doubled": abs(len(refused) - sum(-(-turns // QUARANTINE_EVERY) for turns in done.values())),
        "versions whose digest is not that of the change feed": _wrong_digests(table),
        "versions with a file missing": _missing_files(lake, table.key),
        "loaded versions with another digest": sum(
            digest_of(sum(_hash(row) for row in table.load(version.version).to_dict("records"))) != version.digest
            for version in versions[:: max(1, len(versions) // LOADED_VERSIONS)]
        ),
    }


def _hash(row: dict[str, Any]) -> int:
    return row_hash(parse_row(row | {"annotated_at": row["annotated_at"].to_pydatetime()}))


def _wrong_digests(table: DatasetTable) -> int:
    """Versions whose digest or count differs from the sum, up to them, of the hashes of the rows that the change feed tells."""
    signs = {"insert": 1, "update_postimage": 1, "update_preimage": -1, "delete": -1}
    sums: Counter[int] = Counter()
    counts: Counter[int] = Counter()
    for row in table.changes(-1).to_dict("records"):
        sign = signs[row["_change_type"]]
        sums[row["_commit_version"]] += sign * _hash({name: row[name] for name in row if not name.startswith("_")})
        counts[row["_commit_version"]] += sign
    total, rows, wrong = 0, 0, 0
    for version in table.versions():
        total, rows = total + sums[version.version], rows + counts[version.version]
        wrong += (digest_of(total), rows) != (version.digest, version.rows)
    return wrong


def _missing_files(lake: Lake, key: str) -> int:
    there = {name.rsplit("/", 1)[-1] for name in lake.keys(key)}
    return sum(not commit.added.keys() <= there for commit in read_log(lake, key))


def main() -> None:
    """Print what was seen; ends with 1 if anything is lost, doubled or wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--commits", type=int, default=1000, help="of all writers together, earlier runs included")
    parser.add_argument("--peer-commits", type=int, default=80, help="appends by delta-rs alone; 0: none")
    parser.add_argument("--lake", help="s3://bucket/prefix that nobody uses; without it a bucket is made")
    parser.add_argument("--seconds", type=float, default=3600, help="no writer begins a commit later")
    parser.add_argument("--after", type=Path, help="--json of an earlier run in the same --lake, to go on from")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    earlier = json.loads(given.after.read_text())["rows"][0]["turns of each writer"] if given.after else [0] * given.writers
    left = -(-(given.commits - sum(earlier)) // given.writers)
    turns = [range(before, before + left) for before in earlier]
    report = measured(given.lake or f"{_new_bucket()}/lake", turns, given.seconds, given.peer_commits)
    for name, value in report.items():
        print(f"{name:55} {value:.6g}" if isinstance(value, float) else f"{name:55} {value}")
    if given.json:
        given.json.write_text(json.dumps({"rows": [report], "ratios": {"attempts_per_commit": report["attempts a commit"]}}, indent=1))
    raise SystemExit(bool(report["faults"] or report["writers that gave up"]))


def measured(uri: str, turns: list[range], for_s: float, peer_commits: int) -> dict[str, Any]:
    """Run the writers, and the peer, and check what they left."""
    lake, writers = open_lake(uri), len(turns)
    found, seconds = together(write, uri, turns, for_s)
    taken = sorted((turn for outcome in found for turn in outcome.turns), key=lambda turn: turn.seconds)
    begun = time.monotonic()
    done = {outcome.writer: outcome.done for outcome in found}
    faults = {kind: count for kind, count in check(lake, done).items() if count}
    checked_s = time.monotonic() - begun
    report: dict[str, Any] = {
        "writers": writers,
        "commits": len(taken),
        "commits with earlier runs": sum(done.values()),
        "turns of each writer": [done[writer] for writer in range(writers)],
        "seconds": seconds,
        "commits a second": len(taken) / seconds,
        "attempts a commit": statistics.mean(turn.attempts for turn in taken),
        "attempts of the unluckiest commit": max(turn.attempts for turn in taken),
        "median seconds a commit": taken[len(taken) // 2].seconds,
        "seconds of the slowest commit": taken[-1].seconds,
        "compactions": sum(outcome.compacted for outcome in found),
        "writers that gave up": [outcome.error for outcome in found if outcome.error],
        "faults": faults,
        "seconds of checking": checked_s,
    }
    return report | (_peer(uri, writers, -(-peer_commits // writers)) if peer_commits else {})


def _peer(uri: str, writers: int, turns: int) -> dict[str, Any]:
    lake = open_lake(uri)
    write_deltalake(lake.join("peer"), pa.table({"id": ["first"]}), storage_options=lake.storage_options())
    found, seconds = together(append_plainly, uri, [range(turns)] * writers, 3600)
    there = DeltaTable(lake.join("peer"), storage_options=lake.storage_options()).to_pyarrow_table().num_rows - 1
    return {
        "delta-rs alone: appends": writers * turns,
        "delta-rs alone: ended in an error": sum(int(outcome.error) for outcome in found),
        "delta-rs alone: rows there": there,
        "delta-rs alone: appends a second": there / seconds,
    }


def _new_bucket() -> str:
    import boto3

    name = f"headgate-{uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"


if __name__ == "__main__":
    main()
