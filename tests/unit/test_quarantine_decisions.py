"""A refused row is fixed or released once, whatever is killed between the steps."""

import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headgate.data.ingest import ingest, quarantined
from headgate.data.landing import land, landed
from headgate.data.quarantine import with_ids
from headgate.data.quarantine_decisions import fix, release
from headgate.data.table import DatasetTable
from headgate.errors import BadInput, NotFound, Refused
from headgate.lake import FolderLake, Lake

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
FILE = '{"id": "a", "text": "A", "label": "x"}\n{"id": "b", "text": "B", "label": "new", "group_id": "g", "annotator": "bo"}\nbroken\n'


def refuse_rows(lake: Lake, tmp_path: Path, text: str = FILE, name: str = "day0.jsonl") -> list[str]:
    """Ingest a file with the label x alone allowed; the ids of the refused rows."""
    (tmp_path / name).write_text(text)
    land(lake, "replies", tmp_path / name)
    ingest(lake, "replies", ["x"])
    return list(with_ids(lake, "replies")["id"])


def rows(lake: Lake) -> dict[str, tuple[str, str, str, str]]:
    frame = DatasetTable(lake, "replies").load()
    return {row["id"]: (row["text"], row["label"], row["source"], row["annotator"]) for row in frame.to_dict("records")}


def test_a_fixed_row_lands_as_a_correction_and_leaves_the_quarantine(lake: Lake, tmp_path: Path) -> None:
    wrong_label, broken = refuse_rows(lake, tmp_path)
    decision = fix(lake, "replies", wrong_label, {"label": "x"}, "ada", AT, ["x"])
    assert (decision.row.id, decision.row.group_id, decision.row.annotated_at) == ("b", "g", AT)
    assert list(with_ids(lake, "replies")["id"]) == [broken]
    assert list(quarantined(lake, "replies")["line"]) == [3]
    done = ingest(lake, "replies", ["x"])
    assert (done.added, done.corrected, done.quarantined) == (1, 0, 0)
    assert rows(lake) == {"a": ("A", "x", "annotation", ""), "b": ("B", "x", "correction", "ada")}


def test_a_row_that_could_not_be_read_is_fixed_with_label_and_text(lake: Lake, tmp_path: Path) -> None:
    _, broken = refuse_rows(lake, tmp_path)
    with pytest.raises(
        BadInput, match=rf"^row {broken} would be refused again: text: missing; expected at least the fields text and label"
    ):
        fix(lake, "replies", broken, {"label": "x"}, "ada", AT, ["x"])
    row = fix(lake, "replies", broken, {"label": "x", "text": "mended"}, "ada", AT, ["x"]).row
    ingest(lake, "replies", ["x"])
    assert rows(lake)[row.id] == ("mended", "x", "correction", "ada")


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_a_row_of_a_table_keeps_its_other_columns(folder_lake: Lake, tmp_path: Path, name: str) -> None:
    mark = "," if name.endswith("csv") else "\t"
    lines = [["id", "text", "label", "annotator"], ["a", "A", "x", "bo"], ["b", "B", "new", "bo"]]
    (refused,) = refuse_rows(folder_lake, tmp_path, "".join(mark.join(line) + "\n" for line in lines), name)
    assert fix(folder_lake, "replies", refused, {"label": "x"}, "ada", AT, ["x"]).row.id == "b"


def test_a_released_row_lands_as_it_was_once_the_label_is_known(lake: Lake, tmp_path: Path) -> None:
    wrong_label, broken = refuse_rows(lake, tmp_path)
    with pytest.raises(BadInput, match=rf"^row {wrong_label} would be refused again: label: unknown 'new'; expected one of x$"):
        release(lake, "replies", wrong_label, "ada", AT, ["x"])
    release(lake, "replies", wrong_label, "ada", AT, ["x", "new"])
    ingest(lake, "replies", ["x", "new"])
    assert rows(lake)["b"] == ("B", "new", "annotation", "bo")
    with pytest.raises(BadInput, match=rf"^row {broken}: expected a row that can be read, found none; give both --label and --text"):
        release(lake, "replies", broken, "ada", AT)


def test_a_row_from_the_future_is_released_only_once_its_time_has_come_and_fixed_at_any_time(folder_lake: Lake, tmp_path: Path) -> None:
    file = "".join(f'{{"id": "{name}", "text": "{name}", "label": "x", "annotated_at": "9000-01-01"}}\n' for name in "ab")
    first, second = refuse_rows(folder_lake, tmp_path, file)
    with pytest.raises(BadInput) as refused:
        release(folder_lake, "replies", first, "ada", AT, ["x"])
    assert str(refused.value) == (
        f"row {first} would be refused again: annotated_at: expected a time not in the future, found 9000-01-01T00:00:00+00:00"
    )
    assert release(folder_lake, "replies", first, "ada", AT.replace(year=9000), ["x"]).row.id == "a"
    assert fix(folder_lake, "replies", second, {"label": "x"}, "ada", AT, ["x"]).row.annotated_at == AT


def test_repeating_a_decision_changes_nothing_and_another_one_is_refused(lake: Lake, tmp_path: Path) -> None:
    wrong_label, _ = refuse_rows(lake, tmp_path)
    first = fix(lake, "replies", wrong_label, {"label": "x"}, "ada", AT, ["x"])
    keys = landed(lake, "replies")
    later = AT.replace(year=2027)
    assert fix(lake, "replies", wrong_label, {"label": "x"}, "bo", later, ["x"]) == first
    assert landed(lake, "replies") == keys
    expected = (
        f"row {wrong_label} left the quarantine already: ada decided fix at 2026-05-01 12:00 UTC, label 'x'; "
        "correct it like any other row, by landing the id 'b' again"
    )
    for again in (
        lambda: fix(lake, "replies", wrong_label, {"label": "new"}, "bo", later),
        lambda: release(lake, "replies", wrong_label, "bo", later),
    ):
        with pytest.raises(Refused) as refused:
            again()
        assert str(refused.value) == expected


def test_an_unknown_row_an_empty_fix_and_a_whole_file_are_told(folder_lake: Lake, tmp_path: Path) -> None:
    wrong_label, broken = refuse_rows(folder_lake, tmp_path)
    with pytest.raises(NotFound) as fault:
        fix(folder_lake, "replies", "nope-1", {"label": "x"}, "ada", AT)
    assert str(fault.value) == (
        f"quarantine of replies: expected a row 'nope-1', found 2 rows: {wrong_label}, {broken}; see `headgate data quarantine list`"
    )
    with pytest.raises(BadInput, match=rf"^row {broken}: expected --label or --text or both, found neither; say what is right$"):
        fix(folder_lake, "replies", broken, {}, "ada", AT)
    whole = refuse_rows(folder_lake, tmp_path, "%PDF-1.7", "scan.jsonl")[-1]
    with pytest.raises(BadInput, match=rf"^row {whole} stands for the whole file scan.jsonl: repair the file and land it again$"):
        fix(folder_lake, "replies", whole, {"label": "x", "text": "t"}, "ada", AT)


KILLED = """
import os, signal, sys
from datetime import datetime, UTC
from headgate.data.quarantine_decisions import fix
from headgate.data.ingest import ingest
from headgate.lake import FolderLake, open_lake
put, left = FolderLake.put_if_absent, [int(sys.argv[3])]

def counted(self, key, data):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return put(self, key, data)

FolderLake.put_if_absent = counted
lake = open_lake(sys.argv[1])
fix(lake, "replies", sys.argv[2], {"label": "x"}, "ada", datetime(2026, 5, 1, 12, tzinfo=UTC), ["x"])
ingest(lake, "replies", ["x"])
"""


@pytest.mark.parametrize("writes", [0, 1, 2])
@pytest.mark.parametrize("next_step", ["ingest", "fix again"])
def test_killed_between_any_two_steps_the_row_lands_once(folder_lake: Lake, tmp_path: Path, writes: int, next_step: str) -> None:
    wrong_label, broken = refuse_rows(folder_lake, tmp_path)
    killed = subprocess.run([sys.executable, "-c", KILLED, folder_lake.uri, wrong_label, str(writes)], check=False)
    assert killed.returncode == -signal.SIGKILL
    if next_step == "fix again" or writes == 0:
        fix(folder_lake, "replies", wrong_label, {"label": "x"}, "ada", datetime.now(UTC), ["x"])
    ingest(folder_lake, "replies", ["x"])
    assert rows(folder_lake)["b"] == ("B", "x", "correction", "ada")
    assert len(rows(folder_lake)) == 2
    assert len(landed(folder_lake, "replies")) == 2
    assert list(with_ids(folder_lake, "replies")["id"]) == [broken]
    assert ingest(folder_lake, "replies", ["x"]).files == 0


def test_of_two_people_who_decide_at_once_one_is_refused(folder_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_label, _ = refuse_rows(folder_lake, tmp_path)
    put: Callable[[FolderLake, str, bytes], bool] = FolderLake.put_if_absent

    def overtaken(lake: FolderLake, key: str, data: bytes) -> bool:
        monkeypatch.undo()
        fix(folder_lake, "replies", wrong_label, {"label": "x"}, "bo", AT)
        return put(lake, key, data)

    monkeypatch.setattr(FolderLake, "put_if_absent", overtaken)
    with pytest.raises(Refused, match="bo decided fix at 2026-05-01 12:00 UTC, label 'x'"):
        fix(folder_lake, "replies", wrong_label, {"label": "new"}, "ada", AT)
    ingest(folder_lake, "replies")
    assert rows(folder_lake)["b"][1] == "x"
