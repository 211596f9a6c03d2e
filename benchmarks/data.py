"""What data versions cost: loading one, ingesting a file, deciding whether to retrain; each beside the bare work on the same rows.

* load_version: `DatasetTable.load` of the newest version of a table of 1,000,000 rows, against pandas reading the same rows, columns and
  order from one Parquet file; both parse the headers, so that the frames are equal (checked). The table came in ten appends and one merge
  with corrections; its ids are hashes, so that no file covers a range of its own. `load_version_rising_ids`: the same with ids that rise
  as the rows come, as message ids and counters do.
* ingest: `ingest` of one JSON Lines file of 100,000 rows into a data set that has some, against `write_deltalake` appending the very
  same rows, which are in memory already as an Arrow table with every column computed. `ingest_over_parse_and_write`: against
  pyarrow's reader of the file and that append.
* decide_growth: `new_rows` since a version, with the same 1,000 new rows on a table of 1,000,000 rows over one of 10,000.

The sides take turns; a ratio is the median over the rounds of the ratio within one round, by CPU-seconds of the process (all threads;
the steadier measure where the machine is shared). The same ratios by the wall clock have `_wall` in their names. Texts are one to
five questions of BANKING77 in a row, about 180 characters.
"""

import argparse
import hashlib
import io
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.json
from deltalake import write_deltalake

from headgate.data import delta
from headgate.data.ingest import ingest
from headgate.data.new_rows import new_rows
from headgate.data.rows import Annotation, parse_row
from headgate.data.table import ROW_COLUMNS, SCHEMA, DatasetTable
from headgate.lake import FolderLake, Lake

CHECKOUT = Path(__file__).resolve().parent.parent
NAME = "replies"
STEPS = 10
PARTS = ("growth", "load", "rising", "ingest")
START = datetime(2026, 1, 1, tzinfo=UTC)
Row = dict[str, Any]
Sides = dict[str, Callable[[], object]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=CHECKOUT.parent / "shared/data", help="folder with banking77/ (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the large table (default: %(default)s)")
    parser.add_argument("--small-rows", type=int, default=10_000, help="of the small table (default: %(default)s)")
    parser.add_argument("--landing-rows", type=int, default=100_000, help="of the ingested file (default: %(default)s)")
    parser.add_argument("--new-rows", type=int, default=1_000, help="since the version, a tenth of them corrections (default: %(default)s)")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="measure these parts (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="where the tables are made (default: a temporary folder)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and ratios there")
    options = parser.parse_args(arguments)
    texts = read_texts(options.data / "banking77")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = measure(Path(folder), texts, options)
    found = {"rows": rows, "ratios": ratios(rows)}
    show(found)
    print(f"largest resident memory of the whole run: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def measure(folder: Path, texts: Sequence[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every round of every comparison: {comparison, round, side: {wall_s, cpu_s}, ...}, the peer's side first."""
    found = []
    if "growth" in options.only or "load" in options.only:
        large = grown(folder / "large", texts, options.rows, options.new_rows, hashed)
    if "growth" in options.only:
        small = grown(folder / "small", texts, options.small_rows, options.new_rows, hashed)
        found += rounds("decide_growth", {"small": growth(small), "large": growth(large)}, options.rounds)
    if "load" in options.only:
        found += rounds("load_version", loading(large, folder / "hashed.parquet"), options.rounds)
    if "rising" in options.only:
        rising = grown(folder / "rising", texts, options.rows, options.new_rows, counted)
        found += rounds("load_version_rising_ids", loading(rising, folder / "rising.parquet"), options.rounds)
    if "ingest" in options.only:
        found += ingesting(folder, texts, options.landing_rows, options.rounds)
    return found


def rounds(comparison: str, sides: Sides, count: int) -> list[dict[str, Any]]:
    """Let the sides take turns, after one turn each that does not count."""
    for side in sides.values():
        side()
    found = []
    for number in range(count):
        order = list(sides)[:: 1 if number % 2 == 0 else -1]
        took = {side: cost(sides[side]) for side in order}
        found.append({"comparison": comparison, "round": number + 1, "costs": {side: took[side] for side in sides}})
    return found


def cost(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of the wall clock, and CPU-seconds of this process with all its threads."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    took = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    del result
    return took


def ratios(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The median of the rounds' ratios: the last side over the first, and over the others by `comparison_over_side`."""
    found = {}
    for name in dict.fromkeys(row["comparison"] for row in rows):
        costs = [row["costs"] for row in rows if row["comparison"] == name]
        first, *others, ours = costs[0]
        for peer in (first, *others):
            own = name if peer == first else f"{name}_over_{peer}"
            for suffix, what in (("", "cpu_s"), ("_wall", "wall_s")):
                found[own + suffix] = median(one[ours][what] / one[peer][what] for one in costs)
    return found


def show(found: dict[str, Any]) -> None:
    """The table of medians, the ratios last."""
    print("| comparison | side | CPU, s | wall, s |\n|---|---|---|---|")
    for name in dict.fromkeys(row["comparison"] for row in found["rows"]):
        costs = [row["costs"] for row in found["rows"] if row["comparison"] == name]
        for side in costs[0]:
            medians = [median(one[side][what] for one in costs) for what in ("cpu_s", "wall_s")]
            print(f"| {name} | {side} | {' | '.join(f'{value:.3f}' for value in medians)} |")
    print()
    for name, value in found["ratios"].items():
        print(f"{name}: {value:.2f}")


def read_texts(folder: Path) -> list[str]:
    """The questions of the training set."""
    return [json.loads(line)["text"] for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]


def hashed(number: int) -> str:
    """An id in no order, like the ids that rows without one get."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:16]


def counted(number: int) -> str:
    """An id that rises."""
    return f"{number:016d}"


def annotations(texts: Sequence[str], numbers: range, name: Callable[[int], str]) -> Iterator[Row]:
    """Made-up annotations; one in ten has headers."""
    chance = random.Random(numbers.start)
    for number in numbers:
        yield {
            "id": name(number),
            "text": " ".join(chance.choices(texts, k=chance.randint(1, 5))) + f" {number}",
            "label": f"label {chance.randrange(20)}",
            "group_id": f"thread-{number // 2}",
            "annotator": f"annotator {chance.randrange(5)}",
            "annotated_at": (START + timedelta(seconds=number)).isoformat(),
        } | ({"headers": {"From": f"{number}@example.com"}} if number % 10 == 0 else {})


def grown(root: Path, texts: Sequence[str], size: int, new: int, name: Callable[[int], str]) -> DatasetTable:
    """A table of so many rows in ten versions, and one more with the new rows, a tenth of which correct old ones."""
    table = DatasetTable(FolderLake(root), NAME)
    for step in range(STEPS):
        table.merge(map(parse_row, annotations(texts, range(step * size // STEPS, (step + 1) * size // STEPS), name)))
    fresh = list(annotations(texts, range(size, size + new - new // 10), name))
    later = START + timedelta(days=1_000)
    fixed = [row | {"label": "corrected", "annotated_at": later} for row in annotations(texts, range(new // 10), name)]
    result = table.merge(map(parse_row, fresh + fixed))
    assert (result.added, result.corrected) == (new - new // 10, new // 10)
    return table


def growth(table: DatasetTable) -> Callable[[], object]:
    """The question whether enough rows are new since the version before the last."""
    return lambda: new_rows(table.lake, NAME, STEPS - 1)


def loading(table: DatasetTable, file: Path) -> Sides:
    """One Parquet file against the table, after a check that both give the same frame."""
    frame = table.load()
    headers = frame["headers"].map(lambda one: None if one is None else orjson.dumps(one).decode())
    frame.assign(headers=headers).to_parquet(file, index=False)
    pd.testing.assert_frame_equal(read_one_file(file), frame)
    return {"one_parquet_file": lambda: read_one_file(file), "headgate": table.load}


def read_one_file(file: Path) -> pd.DataFrame:
    """The rows of a Parquet file with their headers parsed."""
    frame = pd.read_parquet(file, columns=ROW_COLUMNS)
    headers = [None if one is None or one != one else orjson.loads(one) for one in frame["headers"].to_list()]
    return frame.assign(headers=pd.Series(headers, index=frame.index, dtype=object))


def ingesting(folder: Path, texts: Sequence[str], size: int, count: int) -> list[dict[str, Any]]:
    """The append alone, reading and append, and the ingest, each into a fresh data set of 1,000 rows."""
    lines = b"".join(orjson.dumps(row) + b"\n" for row in annotations(texts, range(1_000, 1_000 + size), hashed))
    first = [parse_row(row) for row in annotations(texts, range(1_000), hashed)]
    rows = written(folder / "for its rows", first, lines)
    found = []
    for number in range(count):
        lakes = {side: started(folder / f"{side} {number}", first, lines) for side in ("write", "parse_and_write", "headgate")}
        sides: Sides = {
            "write": lambda lakes=lakes: add(lakes["write"], rows),
            "parse_and_write": lambda lakes=lakes: add(lakes["parse_and_write"], pyarrow.json.read_json(io.BytesIO(lines))),
            "headgate": lambda lakes=lakes: ingest(lakes["headgate"], NAME),
        }
        order = list(sides)[:: 1 if number % 2 == 0 else -1]
        took = {side: cost(sides[side]) for side in order}
        latest = DatasetTable(lakes["headgate"], NAME).latest()
        assert latest is not None
        assert latest.rows == 1_000 + size
        found.append({"comparison": "ingest", "round": number + 1, "costs": {side: took[side] for side in sides}})
    return found


def started(root: Path, first: Sequence[Annotation], lines: bytes) -> Lake:
    """A lake with a data set of the first rows, and a landed file."""
    lake = FolderLake(root)
    DatasetTable(lake, NAME).merge(first)
    lake.put_if_absent(f"landing/{NAME}/rows.jsonl", lines)
    return lake


def written(root: Path, first: Sequence[Annotation], lines: bytes) -> pa.Table:
    """The rows of the file as Headgate writes them, every column computed."""
    lake = started(root, first, lines)
    ingest(lake, NAME)
    table = delta.open_table(lake, DatasetTable(lake, NAME).key)
    assert table is not None
    rows = delta.read(table, SCHEMA)
    return rows.filter(pa.compute.greater(rows["arrived"], "2026-01-01T")).sort_by("id").combine_chunks()


def add(lake: Lake, rows: pa.Table) -> None:
    """The bare append, to a table of these columns."""
    write_deltalake(lake.join(f"peer/{NAME}"), rows, mode="append")


if __name__ == "__main__":
    sys.exit(main())
