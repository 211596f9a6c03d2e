from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.data.conflicts import Policy, rough
from headgate.data.ingest import IngestResult, ingest, quarantined
from headgate.data.landing import land
from headgate.data.rows import normalised
from headgate.data.table import DatasetTable
from headgate.lake import Lake
from headgate.record import canonical

DAY = "2026-01-0"


def drop(lake: Lake, folder: Path, name: str, *votes: tuple[str, str, int], **more: Any) -> None:
    rows = [{"id": "r", "text": "Yes", "label": label, "annotator": who, "annotated_at": f"{DAY}{day}"} | more for who, label, day in votes]
    (folder / name).write_bytes(b"\n".join(map(canonical, rows)))
    land(lake, "replies", folder / name)


def state(lake: Lake) -> tuple[list[list[str]], list[int]]:
    frame = DatasetTable(lake, "replies").load()
    return frame[["label", "annotator"]].to_numpy().tolist(), list(quarantined(lake, "replies")["line"])


def run(lake: Lake, policy: Policy) -> IngestResult:
    """An ingest, and once more as if it had been killed before it recorded its files."""
    result = ingest(lake, "replies", conflicts=policy)
    before = state(lake) if result.version else None
    for record in Path(lake.uri).glob("ingested/replies/*.json"):
        record.unlink()
    ingest(lake, "replies", conflicts=policy)
    assert before is None or state(lake) == before
    return result


THREE = (("ann", "x", 1), ("bob", "y", 3), ("cid", "x", 2))


def test_the_latest_annotation_wins_by_default_and_the_conflict_is_told(folder_lake: Lake, tmp_path: Path) -> None:
    drop(folder_lake, tmp_path, "a.jsonl", *THREE)
    result = run(folder_lake, "latest")
    assert state(folder_lake) == ([["y", "bob"]], [])
    assert [str(conflict) for conflict in result.conflicts] == ["id r: x by ann and cid, y by bob; kept y, the latest"]
    assert "annotators disagree: id r: x by ann and cid, y by bob; kept y, the latest" in result.notices


def test_the_majority_wins_and_the_outvoted_row_is_quarantined(folder_lake: Lake, tmp_path: Path) -> None:
    drop(folder_lake, tmp_path, "a.jsonl", *THREE)
    result = run(folder_lake, "majority")
    assert state(folder_lake) == ([["x", "cid"]], [2])
    assert list(quarantined(folder_lake, "replies")["reason"]) == [
        "annotators disagree on this text: x by ann and cid, y by bob; x has 2 of 3 votes"
    ]
    assert result.notices[:1] == ("a.jsonl: 1 row(s) agree with a row that was kept, and count as votes",)
    assert (result.added, result.quarantined) == (1, 1)


def test_a_tie_has_no_majority(folder_lake: Lake, tmp_path: Path) -> None:
    drop(folder_lake, tmp_path, "a.jsonl", ("ann", "x", 1), ("bob", "y", 2))
    drop(folder_lake, tmp_path, "b.jsonl", ("ann", "z", 1), id="other", text="Other")
    result = run(folder_lake, "majority")
    assert state(folder_lake) == ([["z", "ann"]], [1, 2])
    assert [conflict.outcome for conflict in result.conflicts] == ["the rows went to quarantine: no label has most votes"]


def test_the_table_has_a_vote(folder_lake: Lake, tmp_path: Path) -> None:
    drop(folder_lake, tmp_path, "a.jsonl", ("ann", "x", 1))
    ingest(folder_lake, "replies")
    drop(folder_lake, tmp_path, "b.jsonl", ("bob", "y", 2))
    result = ingest(folder_lake, "replies", conflicts="quarantine")
    assert state(folder_lake) == ([["x", "ann"]], [1])
    assert [conflict.votes for conflict in result.conflicts] == [{"x": ("ann",), "y": ("bob",)}]
    drop(folder_lake, tmp_path, "c.jsonl", ("cid", "y", 3), ("dan", "y", 4))
    assert ingest(folder_lake, "replies", conflicts="majority").corrected == 1
    assert state(folder_lake)[0] == [["y", "dan"]]


def test_a_majority_older_than_the_tables_annotation_waits_in_quarantine(folder_lake: Lake, tmp_path: Path) -> None:
    drop(folder_lake, tmp_path, "a.jsonl", ("ann", "x", 9))
    ingest(folder_lake, "replies")
    drop(folder_lake, tmp_path, "b.jsonl", ("bob", "y", 2), ("cid", "y", 3))
    run(folder_lake, "majority")
    assert state(folder_lake) == ([["x", "ann"]], [1, 2])


@pytest.mark.parametrize("policy", ["majority", "quarantine"])
def test_a_change_of_mind_and_an_agreement_are_no_conflict(folder_lake: Lake, tmp_path: Path, policy: Policy) -> None:
    drop(folder_lake, tmp_path, "a.jsonl", ("ann", "x", 1), ("ann", "y", 2), ("bob", "y", 3))
    result = run(folder_lake, policy)
    assert (state(folder_lake), result.conflicts) == (([["y", "bob"]], []), ())


@pytest.mark.parametrize("policy", ["majority", "quarantine"])
def test_a_correction_that_is_the_latest_vote_settles_it(folder_lake: Lake, tmp_path: Path, policy: Policy) -> None:
    drop(folder_lake, tmp_path, "a.jsonl", ("ann", "x", 1), ("bob", "x", 2))
    drop(folder_lake, tmp_path, "b.jsonl", ("eve", "y", 3), source="correction")
    run(folder_lake, policy)
    assert state(folder_lake) == ([["y", "eve"]], [1, 2])


def test_the_same_text_under_other_ids_is_told_and_every_row_is_kept_by_default(folder_lake: Lake, tmp_path: Path) -> None:
    drop(folder_lake, tmp_path, "a.jsonl", ("ann", "x", 1))
    drop(folder_lake, tmp_path, "b.jsonl", ("bob", "y", 2), id="s", text=" YES ")
    result = run(folder_lake, "latest")
    assert [conflict.outcome for conflict in result.conflicts] == ["each row was kept under its own id"]
    assert len(state(folder_lake)[0]) == 2


seen_alike = st.text(st.sampled_from("aA\uff21\u212b\u00c5\u00df \t\x1c\x85\xa0\u2003s"), max_size=6)


@given(seen_alike, seen_alike)
def test_texts_that_look_the_same_are_never_told_apart_before_they_are_compared(one: str, other: str) -> None:
    if normalised(one) == normalised(other):
        assert rough(one) == rough(other)
