from datetime import UTC, datetime, timedelta

import pytest
from deltalake import DeltaTable
from made_up_history import contents, row

from headgate.data import delta
from headgate.data.rows import digest_of, parse_row, row_hash
from headgate.data.table import DatasetTable
from headgate.data.turns import TURN, turn
from headgate.errors import NotFound
from headgate.lake import Lake


def table_of_three_files(lake: Lake) -> DatasetTable:
    table = DatasetTable(lake, "replies")
    for name in "abc":
        table.merge([row(name)])
    return table


def test_a_compaction_rewrites_the_files_and_changes_nothing_else(lake: Lake) -> None:
    table = table_of_three_files(lake)
    versions, before = table.versions(), [contents(table, number) for number in range(3)]
    assert delta.compact(lake, table.key) == 3
    assert delta.compact(lake, table.key) == 0
    assert table.versions() == versions
    assert [contents(table, number) for number in range(3)] == before
    assert list(table.changes(2)["id"]) == []


@pytest.mark.parametrize(("meanwhile", "rewritten"), [("added", 3), ("corrected", 0)])
def test_a_compaction_gives_way_to_a_writer_that_was_faster(
    folder_lake: Lake, monkeypatch: pytest.MonkeyPatch, meanwhile: str, rewritten: int
) -> None:
    table = table_of_three_files(folder_lake)
    table.merge([row("d")] if meanwhile == "added" else [row("a", "y", day=1)])
    with monkeypatch.context() as patch:  # as it was found before that writer came
        patch.setattr(delta, "open_table", lambda lake, key: delta.open_version(lake, key, 2))
        assert delta.compact(folder_lake, table.key) == rewritten
    version = table.latest()
    rows = [parse_row(record) for record in table.load().to_dict("records")]
    assert version is not None
    assert (version.version, version.digest) == (3, digest_of(sum(map(row_hash, rows))))
    assert len(rows) == (4 if meanwhile == "added" else 3)
    assert table.merge([row("e")]).version.rows == len(rows) + 1


def test_of_two_compactions_at_once_one_does_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of_three_files(lake)
    opened, inner = delta.open_table, []

    def while_another_runs(lake: Lake, key: str) -> DeltaTable | None:
        found = opened(lake, key)
        if not inner:
            inner.append(-1)
            inner[0] = delta.compact(lake, key)  # the other one, which begins once this one has read the table
        return found

    with monkeypatch.context() as patch:
        patch.setattr(delta, "open_table", while_another_runs)
        assert delta.compact(lake, table.key) == 3
    assert inner == [0]
    assert sorted(table.load()["id"]) == ["a", "b", "c"]
    table.merge([row("d")])
    assert delta.compact(lake, table.key) == 2, "the turn was given back"


def test_a_turn_that_was_never_ended_is_over_after_a_while(lake: Lake) -> None:
    then = datetime(2026, 1, 1, tzinfo=UTC)
    with turn(lake, "compacting/x.json", then) as first:
        with turn(lake, "compacting/x.json", then + TURN - timedelta(seconds=1)) as second:
            assert (first, second) == (True, False)
        with turn(lake, "compacting/x.json", then + TURN) as third:
            assert third
    with turn(lake, "compacting/x.json", then + TURN) as fourth:
        assert fourth, "ending the first one did not end the third one's, which ended itself"


def test_there_is_nothing_to_compact_before_the_first_rows(folder_lake: Lake) -> None:
    with pytest.raises(NotFound, match=r"datasets/replies: expected a table, found none; ingest a file first$"):
        delta.compact(folder_lake, "datasets/replies")
