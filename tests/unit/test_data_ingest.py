import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from headgate.data import ingest as steps
from headgate.data.ingest import ingest, quarantined
from headgate.data.landing import land, landed, pending
from headgate.data.rows import parse_row
from headgate.data.table import DatasetTable
from headgate.errors import NotFound
from headgate.lake import Lake, open_lake

DAY_0 = '{"id": "a", "text": "A", "label": "x"}\n{"id": "b", "text": "B", "label": "x"}\nbroken\n'
DAY_1 = '{"id": "b", "text": "B", "label": "y"}\n{"id": "c", "text": "C", "label": "x"}\n{"id": "d", "text": "D"}\n'


def drop(lake: Lake, name: str, text: str, folder: Path) -> str:
    file = folder / name
    file.write_text(text)
    return land(lake, "replies", file)


def state(lake: Lake) -> tuple[dict[str, str], list[tuple[str, int]], list[str]]:
    """What must be the same however often and in whatever pieces an ingest ran."""
    frame, bad = DatasetTable(lake, "replies").load(), quarantined(lake, "replies")
    records = [Path(key).name for key in lake.keys("ingested/replies")]
    return dict(zip(frame["id"], frame["label"], strict=True)), list(zip(bad["file"], bad["line"], strict=True)), records


def test_good_rows_make_a_version_and_bad_rows_are_quarantined_with_file_line_and_reason(lake: Lake, tmp_path: Path) -> None:
    drop(lake, "day0.jsonl", DAY_0, tmp_path)
    first = ingest(lake, "replies")
    drop(lake, "day1.jsonl", DAY_1, tmp_path)
    second = ingest(lake, "replies")
    assert (first.added, first.quarantined, first.previous, first.files) == (2, 1, None, 1)
    assert (second.added, second.corrected, second.unchanged, second.quarantined) == (1, 1, 0, 1)
    assert second.previous == first.version
    assert second.version is not None
    assert second.version.version == 1
    assert second.notices == ("day1.jsonl, line 3: label: missing; expected at least the fields text and label, found id, text",)
    bad = quarantined(lake, "replies")
    assert list(bad.columns) == ["file", "line", "raw", "reason", "landed_at"]
    assert bad[["file", "line", "raw"]].to_numpy().tolist() == [["day0.jsonl", 3, "broken"], ["day1.jsonl", 3, '{"id": "d", "text": "D"}']]
    assert bad["reason"][0] == "expected a JSON object, found broken JSON: Expecting value at column 1"
    assert state(lake)[0] == {"a": "x", "b": "y", "c": "x"}


def test_repeating_an_ingest_changes_nothing(lake: Lake, tmp_path: Path) -> None:
    drop(lake, "day0.jsonl", DAY_0, tmp_path)
    first, before = ingest(lake, "replies"), None
    before = state(lake)
    again = ingest(lake, "replies")
    assert (again.files, again.version, again.previous) == (0, first.version, first.version)
    assert state(lake) == before


def test_an_ingest_of_nothing_has_no_version(folder_lake: Lake) -> None:
    result = ingest(folder_lake, "replies")
    assert (result.version, result.previous, result.files) == (None, None, 0)
    assert len(quarantined(folder_lake, "replies")) == 0


def test_the_same_bytes_land_once_and_a_dropped_copy_of_them_counts_once(lake: Lake, tmp_path: Path) -> None:
    key = drop(lake, "day0.jsonl", DAY_0, tmp_path)
    assert drop(lake, "copy.jsonl", DAY_0, tmp_path) == key
    lake.put_if_absent("landing/replies/by-hand.jsonl", DAY_0.encode())
    assert len(landed(lake, "replies")) == 2
    assert [file.name for file in pending(lake, "replies")] in (["day0.jsonl"], ["by-hand.jsonl"])
    assert ingest(lake, "replies").added == 2
    assert pending(lake, "replies") == []


def test_files_of_one_ingest_keep_the_earlier_annotation_in_history(lake: Lake, tmp_path: Path) -> None:
    drop(lake, "day0.jsonl", DAY_0, tmp_path)
    time.sleep(0.01)
    drop(lake, "day1.jsonl", DAY_1, tmp_path)
    result = ingest(lake, "replies")
    assert (result.added, result.corrected, result.previous) == (3, 1, None)
    assert list(DatasetTable(lake, "replies").history("b")["label"]) == ["x", "y"]


def test_an_older_annotation_that_lands_late_is_told(folder_lake: Lake, tmp_path: Path) -> None:
    drop(folder_lake, "new.csv", "id,text,label,annotated_at\na,A,new,2026-02-01\n", tmp_path)
    ingest(folder_lake, "replies")
    drop(folder_lake, "old.csv", "id,text,label\na,A,old\n", tmp_path)
    result = ingest(folder_lake, "replies")
    assert result.version == result.previous
    assert result.notices == ("1 row(s) changed nothing: replies holds a later annotation of the same id: 'a'",)


def test_of_many_older_annotations_the_first_ids_are_told_and_how_many_more_there_are(folder_lake: Lake, tmp_path: Path) -> None:
    ids = [f"r{number}" for number in range(8)]
    drop(folder_lake, "new.csv", "id,text,label,annotated_at\n" + "".join(f"{one},A {one},new,2026-02-01\n" for one in ids), tmp_path)
    ingest(folder_lake, "replies")
    drop(folder_lake, "old.csv", "id,text,label\n" + "".join(f"{one},A {one},old\n" for one in ids), tmp_path)
    result = ingest(folder_lake, "replies")
    assert result.unchanged == 8
    (notice,) = result.notices
    assert notice == ("8 row(s) changed nothing: replies holds a later annotation of the same id: 'r0', 'r1', 'r2', 'r3', 'r4' and 3 more")


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_row_from_the_future_is_quarantined_and_freezes_nothing(folder_lake: Lake, tmp_path: Path, ending: str) -> None:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    times = {"a": "2026-05-01T13:00:00Z", "b": "2026-05-01T15:00:01+02:00", "c": "2026-05-01T12:00:00"}
    if ending == "csv":
        text = "id,text,label,annotated_at\n" + "".join(f"{name},{name},x,{at}\n" for name, at in times.items())
    else:
        text = "".join(json.dumps({"id": name, "text": name, "label": "x", "annotated_at": at}) + "\n" for name, at in times.items())
    drop(folder_lake, f"day0.{ending}", text, tmp_path)
    result = ingest(folder_lake, "replies", now=now)
    assert (result.added, result.quarantined) == (2, 1)
    assert list(quarantined(folder_lake, "replies")["reason"]) == [
        "annotated_at: expected a time not in the future, found 2026-05-01T13:00:01+00:00"
    ]
    drop(folder_lake, "day1.jsonl", '{"id": "b", "text": "b", "label": "y", "annotated_at": "2026-05-01T12:30:00Z"}\n', tmp_path)
    assert ingest(folder_lake, "replies", now=now).added == 1
    assert state(folder_lake)[0] == {"a": "x", "b": "y", "c": "x"}


def test_every_fault_of_a_row_is_told_at_once(folder_lake: Lake, tmp_path: Path) -> None:
    drop(folder_lake, "day0.jsonl", '{"id": "a", "text": "A", "label": "z", "annotated_at": "9999-12-31T23:59:59Z"}\n', tmp_path)
    ingest(folder_lake, "replies", labels=("x", "y"))
    assert list(quarantined(folder_lake, "replies")["reason"]) == [
        "label: unknown 'z'; expected one of x, y; annotated_at: expected a time not in the future, found 9999-12-31T23:59:59+00:00"
    ]


def test_a_row_of_the_future_that_is_stored_already_still_loads(folder_lake: Lake, tmp_path: Path) -> None:
    stored = parse_row({"id": "a", "text": "A", "label": "x", "annotated_at": "9000-01-01"})
    DatasetTable(folder_lake, "replies").merge([stored])
    drop(folder_lake, "day0.jsonl", '{"id": "a", "text": "A", "label": "y"}\n{"id": "b", "text": "B", "label": "y"}\n', tmp_path)
    result = ingest(folder_lake, "replies")
    assert (result.added, result.quarantined) == (1, 0)
    assert result.notices == ("1 row(s) changed nothing: replies holds a later annotation of the same id: 'a'",)
    kept, _ = DatasetTable(folder_lake, "replies").load().to_dict("records")
    assert parse_row(kept) == stored


def test_unknown_labels_are_quarantined_when_labels_are_given(folder_lake: Lake, tmp_path: Path) -> None:
    drop(folder_lake, "day0.csv", "text,label\nA,x\nB,z\n", tmp_path)
    result = ingest(folder_lake, "replies", labels=("x", "y"))
    assert (result.added, result.quarantined) == (1, 1)
    assert list(quarantined(folder_lake, "replies")["reason"]) == ["label: unknown 'z'; expected one of x, y"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.jsonl", b""),
        ("picture.png", b"\x89PNG\r\n\x1a\n\x00"),
        ("half.parquet", b"PAR1\x00\x00"),
        ("wide.csv", "text,label\n".encode("utf-16")[:-1]),
        ("half.jsonl", b'{"text": "\xed\xa0\x80'),
        ("surrogate.jsonl", b'{"text": "\\ud800", "label": "x"}'),
        ("huge.jsonl", b'{"text": "' + b"x" * 2_000_000 + b'"}'),
        ("nul.csv", b"text,label\na\x00b,x\n" + b"fine text here,x\n" * 5),
    ],
)
def test_a_bad_file_is_finished_with_its_reason_and_stops_no_other(lake: Lake, tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    land(lake, "replies", tmp_path / name)
    drop(lake, "day1.csv", "text,label\nA,x\n", tmp_path)
    assert ingest(lake, "replies").quarantined == 1
    assert pending(lake, "replies") == []
    bad = quarantined(lake, "replies")
    assert list(bad["file"]) == [name]
    assert len(bad["raw"][0]) < 21_000


def test_a_file_that_is_not_there_cannot_land(folder_lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"expected a file at .*none.csv, which could not be read: No such file or directory"):
        land(folder_lake, "replies", tmp_path / "none.csv")


class Killed(BaseException):
    pass


def dying(step: Callable[..., Any], before: int, die_after: bool) -> Callable[..., Any]:
    """The step, which dies at its n-th call, before or after its work."""
    calls = 0

    def run(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        here = calls  # records are written by several threads
        if here == before and not die_after:
            raise Killed
        found = step(*arguments)
        if here == before:
            raise Killed
        return found

    return run


@pytest.mark.parametrize("die_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("step", "call"), [("merge_arrivals", 1), ("merge_arrivals", 2), ("quarantine", 1), ("_record", 1), ("_record", 2)]
)
def test_an_ingest_killed_between_any_two_steps_is_made_good_by_the_next(
    folder_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, call: int, die_after: bool
) -> None:
    drop(folder_lake, "day0.jsonl", DAY_0, tmp_path)
    drop(folder_lake, "day1.jsonl", DAY_1, tmp_path)
    where: Any = DatasetTable if step == "merge_arrivals" else steps
    with monkeypatch.context() as patch:
        patch.setattr(where, step, dying(getattr(where, step), call, die_after))
        with pytest.raises(Killed):
            ingest(folder_lake, "replies")
    ingest(folder_lake, "replies")
    assert state(folder_lake)[:2] == ({"a": "x", "b": "y", "c": "x"}, [("day0.jsonl", 3), ("day1.jsonl", 3)])
    assert len(state(folder_lake)[2]) == 2
    assert list(DatasetTable(folder_lake, "replies").history("b")["label"]) == ["x", "y"]
    assert pending(folder_lake, "replies") == []


LOOP = """
import sys
from headgate.data.ingest import ingest
from headgate.lake import open_lake
print("ready", flush=True)
ingest(open_lake(sys.argv[1]), "replies")
"""


def test_an_ingest_killed_by_the_system_at_any_moment_is_made_good_by_the_next(folder_lake: Lake, tmp_path: Path) -> None:
    for number in range(12):
        rows = "".join(f"{number}-{n},text {number} {n},x\n" for n in range(300)) + f"shared,text,by {number}\nshort\n"
        drop(folder_lake, f"{number}.csv", f"id,text,label\n{rows}", tmp_path)
    for delay_s in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3):
        process = subprocess.Popen([sys.executable, "-c", LOOP, folder_lake.uri], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    ingest(folder_lake, "replies")
    rows, bad, records = state(folder_lake)
    assert (len(rows), rows["shared"], len(bad), len(records)) == (3601, "by 11", 12, 12)
    assert not list(Path(folder_lake.uri).rglob("ingested/**/.*.tmp"))


def ingest_at(uri: str, gate: Any, results: Any) -> None:
    gate.wait()
    results.put(ingest(open_lake(uri), "replies"))


def test_two_processes_that_ingest_at_once_double_nothing(lake: Lake, tmp_path: Path) -> None:
    drop(lake, "day0.jsonl", DAY_0, tmp_path)
    drop(lake, "day1.jsonl", DAY_1, tmp_path)
    context = get_context("spawn")
    gate, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=ingest_at, args=(lake.uri, gate, results)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert state(lake)[:2] == ({"a": "x", "b": "y", "c": "x"}, [("day0.jsonl", 3), ("day1.jsonl", 3)])
    assert sum(result.added for result in found) == 3
    assert sum(result.corrected for result in found) == 1
    assert [version.version for version in DatasetTable(lake, "replies").versions()] == [0, 1]
