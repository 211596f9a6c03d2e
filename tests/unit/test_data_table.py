from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Any

import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.data import delta
from headgate.data.frozen import freeze, load_frozen
from headgate.data.rows import Annotation, digest_of, parse_row, row_hash
from headgate.data.table import DatasetTable
from headgate.errors import BadInput, Conflict, NotFound
from headgate.lake import Lake, open_lake


def row(row_id: str, label: str = "x", day: int = 0, **fields: Any) -> Annotation:
    when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return parse_row({"id": row_id, "text": f"text {row_id}", "label": label, "annotated_at": when} | fields)


def labels(table: DatasetTable, version: int | None = None) -> dict[str, str]:
    frame = table.load(version)
    return dict(zip(frame["id"], frame["label"], strict=True))


def test_rows_are_merged_by_id_and_each_version_stays_loadable(lake: Lake) -> None:
    table = DatasetTable(lake, "replies")
    first = table.merge([row("a"), row("b", headers={"From": "x"})])
    second = table.merge([row("b", "y", day=1), row("c"), row("a")])
    assert (first.previous, first.version.version, first.added) == (None, 0, 2)
    assert second.previous == first.version
    assert second.model_dump(include={"added", "corrected", "removed", "unchanged", "outdated"}) == {
        "added": 1,
        "corrected": 1,
        "removed": 0,
        "unchanged": 1,
        "outdated": (),
    }
    assert table.versions() == [first.version, second.version]
    assert table.latest() == second.version
    assert labels(table) == {"a": "x", "b": "y", "c": "x"}
    assert labels(table, 0) == {"a": "x", "b": "x"}


def test_a_loaded_frame_has_the_rows_as_they_were_given(lake: Lake) -> None:
    given_rows = [row("a", group_id="t", annotator="ann", source="correction", headers={"From": "é"}), row("b")]
    DatasetTable(lake, "replies").merge(given_rows)
    frame = DatasetTable(lake, "replies").load()
    assert list(frame.columns) == ["id", "text", "label", "group_id", "source", "annotator", "annotated_at", "headers", "split"]
    assert [parse_row(record) for record in frame.to_dict("records")] == given_rows
    assert list(frame["split"]) == [one.split for one in given_rows]


def test_the_digest_is_the_sum_of_the_rows_whatever_the_way_there(folder_lake: Lake) -> None:
    one, two = DatasetTable(folder_lake, "one"), DatasetTable(folder_lake, "two")
    one.merge([row("a"), row("b", "y", day=1)])
    two.merge([row("b")])
    two.merge([row("b", "y", day=1)])
    last = two.merge([row("a")])
    found = one.latest()
    assert found is not None
    assert found.digest == last.version.digest == digest_of(row_hash(row("a")) + row_hash(row("b", "y", day=1)))
    assert (found.rows, last.version.rows) == (2, 2)


def test_no_change_makes_no_version(lake: Lake) -> None:
    table = DatasetTable(lake, "replies")
    table.merge([row("a")])
    again = table.merge([row("a"), row("a")])
    assert (again.version, again.unchanged) == (again.previous, 1)
    assert len(table.versions()) == 1


def test_an_older_annotation_changes_nothing_and_is_counted(folder_lake: Lake) -> None:
    table = DatasetTable(folder_lake, "replies")
    table.merge([row("a", "new", day=5)])
    assert table.merge([row("a", "old", day=4)]).outdated == ("a",)
    assert labels(table) == {"a": "new"}


def test_of_annotations_made_at_the_same_time_the_later_arrival_wins_even_when_it_is_merged_first(folder_lake: Lake) -> None:
    table = DatasetTable(folder_lake, "replies")
    table.merge([row("a", "second")], arrived="2026-01-02")
    assert table.merge([row("a", "first")], arrived="2026-01-01").outdated == ("a",)
    assert table.merge([row("a", "third")]).corrected == 1
    assert labels(table) == {"a": "third"}


@settings(deadline=None, max_examples=8)
@given(st.permutations([("a", 0, "1"), ("b", 0, "2"), ("c", 1, "0"), ("d", 0, "9"), ("e", 1, "0")]))
def test_the_order_of_merges_does_not_matter(tmp_path_factory: pytest.TempPathFactory, order: list[tuple[str, int, str]]) -> None:
    table = DatasetTable(open_lake(str(tmp_path_factory.mktemp("lake"))), "replies")
    for label, day, arrived in [*order, *order[:2]]:
        table.merge([row("a", label, day)], arrived)
    winner = max(("c", "e"), key=lambda label: row_hash(row("a", label, 1)))
    assert labels(table) == {"a": winner}


def test_the_change_feed_tells_what_changed_since_a_version(lake: Lake) -> None:
    table = DatasetTable(lake, "replies")
    table.merge([row("a"), row("b")])
    table.merge([row("a", "y", day=1), row("c")])
    feed = table.changes(0)
    assert [tuple(change) for change in feed[["id", "label", "_change_type", "_commit_version"]].to_numpy()] == [
        ("a", "x", "update_preimage", 1),
        ("a", "y", "update_postimage", 1),
        ("c", "x", "insert", 1),
    ]
    assert len(table.changes(1)) == 0
    assert set(table.changes(-1, until=0)["id"]) == {"a", "b"}


def test_the_history_of_an_id_holds_every_annotation(lake: Lake) -> None:
    table = DatasetTable(lake, "replies")
    table.merge([row("a"), row("b")])
    table.merge([row("a", "y", day=1)])
    history = table.history("a")
    assert list(zip(history["version"], history["label"], strict=True)) == [(0, "x"), (1, "y")]


def test_a_missing_data_set_or_version_is_told_with_what_exists(folder_lake: Lake) -> None:
    table = DatasetTable(folder_lake, "replies")
    assert (table.versions(), table.latest()) == ([], None)
    with pytest.raises(NotFound, match=r"data set replies: no rows in .*lake yet; ingest a file first"):
        table.load()
    table.merge([row("a")])
    with pytest.raises(NotFound, match="data set replies: no version 7; versions: 0"):
        table.load(7)


@pytest.mark.parametrize("name", ["../up", "Replies", "", "a/b", "a" * 64])
def test_a_data_set_has_a_plain_name(folder_lake: Lake, name: str) -> None:
    with pytest.raises(BadInput, match="data set: expected a name of lower-case letters, digits and '-'"):
        DatasetTable(folder_lake, name)


def test_compaction_makes_no_data_version(folder_lake: Lake) -> None:
    table = DatasetTable(folder_lake, "replies")
    table.merge([row("a")])
    before = table.merge([row("b")]).version
    DeltaTable(folder_lake.join("datasets/replies")).optimize.compact()
    assert table.latest() == before
    after = table.merge([row("c")])
    assert (after.previous, after.version.version, after.version.rows) == (before, 3, 3)
    assert labels(table, after.version.version).keys() == {"a", "b", "c"}
    assert [one.version for one in table.versions()] == [0, 1, 3]


def merge_some(uri: str, writer: int) -> None:
    table = DatasetTable(open_lake(uri), "replies")
    for number in range(4):
        table.merge([row(f"{writer}-{number}"), row("shared", f"by {writer}", day=writer)])


def test_concurrent_processes_lose_no_row_and_keep_the_digest_right(folder_lake: Lake) -> None:
    processes = [get_context("spawn").Process(target=merge_some, args=(folder_lake.uri, writer)) for writer in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    table = DatasetTable(folder_lake, "replies")
    latest, rows = table.latest(), [parse_row(record) for record in table.load().to_dict("records")]
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert latest is not None
    assert latest.rows == len(rows) == 13
    assert latest.digest == digest_of(sum(map(row_hash, rows)))
    assert labels(table)["shared"] == "by 2"


def test_a_writer_that_is_always_overtaken_gives_up_with_a_conflict(folder_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(*_: object) -> None:
        raise Conflict("somebody else committed first")

    table = DatasetTable(folder_lake, "replies")
    table.merge([row("a")])
    monkeypatch.setattr(delta, "CONTENDED_S", -1)
    monkeypatch.setattr(delta, "append", overtaken)
    with pytest.raises(Conflict, match="somebody else committed first"):
        table.merge([row("b")])


def test_a_frozen_set_is_written_once_and_may_be_frozen_again_with_the_same_rows(lake: Lake) -> None:
    first = freeze(lake, "replies-regression", [row("a"), row("b")])
    assert freeze(lake, "replies-regression", [row("b"), row("a")]) == first
    assert list(load_frozen(lake, "replies-regression")["id"]) == ["a", "b"]


def test_a_frozen_set_refuses_every_change(folder_lake: Lake) -> None:
    freeze(folder_lake, "fixed", [row("a")])
    with pytest.raises(BadInput, match=r"frozen set fixed never changes: it has 1 rows with digest \w{32}, given 1 rows with digest"):
        freeze(folder_lake, "fixed", [row("a", "y")])
    with pytest.raises(BadInput, match="data set fixed is frozen and never changes; give the new rows to a data set of another name"):
        DatasetTable(folder_lake, "fixed").merge([row("b")])
    with pytest.raises(BadInput, match="frozen set other: expected each id once, found twice: a"):
        freeze(folder_lake, "other", [row("a"), row("a", "y")])
    with pytest.raises(NotFound, match="no frozen set other in"):
        load_frozen(folder_lake, "other")
