"""What was annotated since a version, counted from the change feed, on a folder and on S3."""

import pytest
from made_up_history import row, table_with_history

from headgate.data.new_rows import new_rows
from headgate.data.table import DatasetTable
from headgate.errors import NotFound
from headgate.lake import Lake


def test_new_rows_are_counted_by_kind_and_by_the_label_that_they_have_now(lake: Lake) -> None:
    table_with_history(lake)
    found = new_rows(lake, "replies", 1)
    assert (found.since, found.version, found.added, found.corrected, found.removed) == (1, 4, 1, 2, 0)
    assert found.by_label == {"y": 2, "z": 1}
    assert found.count == 3


def test_since_nothing_every_row_is_new_once_however_often_it_was_corrected(lake: Lake) -> None:
    table_with_history(lake)
    found = new_rows(lake, "replies", None)
    assert (found.added, found.corrected, found.removed) == (4, 0, 0)
    assert found.by_label == {"x": 1, "y": 2, "z": 1}


def test_the_newest_version_and_a_later_one_have_no_new_rows(folder_lake: Lake) -> None:
    table_with_history(folder_lake)
    for since in (4, 5):
        assert (new_rows(folder_lake, "replies", since).version, new_rows(folder_lake, "replies", since).count) == (4, 0)


def test_a_version_that_only_compacts_is_none_of_the_rows(folder_lake: Lake) -> None:
    table_with_history(folder_lake)
    assert new_rows(folder_lake, "replies", 2).by_label == new_rows(folder_lake, "replies", 3).by_label == {"y": 1, "z": 1}


def test_a_row_confirmed_by_somebody_else_is_not_new_and_neither_is_one_corrected_back(folder_lake: Lake) -> None:
    table = DatasetTable(folder_lake, "replies")
    table.merge([row("a", "x"), row("b", "x")])
    table.merge([row("a", "x", day=1, annotator="grace"), row("b", "y", day=1)])
    table.merge([row("b", "x", day=2)])
    assert new_rows(folder_lake, "replies", 0).count == 0
    assert new_rows(folder_lake, "replies", 1).by_label == {"x": 1}


def test_what_a_restore_takes_back_is_removed_or_corrected(folder_lake: Lake) -> None:
    table = table_with_history(folder_lake)
    newest = table.latest()
    assert newest is not None
    table.restore(1, onto=newest)
    found = new_rows(folder_lake, "replies", 4)
    assert (found.added, found.corrected, found.removed, found.by_label) == (0, 2, 1, {"x": 2})
    assert new_rows(folder_lake, "replies", 1).count == 0


def test_a_data_set_without_rows_is_told(folder_lake: Lake) -> None:
    with pytest.raises(NotFound) as told:
        new_rows(folder_lake, "replies", None)
    assert str(told.value) == f"data set replies: no rows in {folder_lake.uri} yet; ingest a file first"
