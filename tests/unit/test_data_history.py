"""What a data set has been, and going back to it, on a folder and on S3."""

from datetime import UTC, datetime, timedelta

import pytest
from made_up_history import contents, row, table_with_history

from headgate.data.frozen import freeze
from headgate.data.history import difference, row_history, versions_made
from headgate.data.rows import digest_of, parse_row, row_hash
from headgate.data.table import DatasetTable
from headgate.errors import BadInput, NotFound, Stale
from headgate.lake import Lake


def test_versions_tell_their_rows_by_label_and_when_they_were_made(lake: Lake) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    table = table_with_history(lake)
    made = versions_made(table)
    assert [(one.data.version, one.labels) for one in made] == [
        (0, {"x": 2}),
        (1, {"x": 3}),
        (2, {"x": 2, "y": 1}),
        (4, {"x": 1, "y": 2, "z": 1}),
    ]
    assert [one.data for one in made] == table.versions()
    for one in made:
        assert one.labels == table.load(one.data.version)["label"].value_counts().to_dict()
    times = [before, *(one.made_at for one in made), datetime.now(UTC)]
    assert times == sorted(times)
    assert versions_made(DatasetTable(lake, "empty")) == []


def test_a_difference_is_what_the_versions_differ_in_whatever_happened_between(lake: Lake) -> None:
    table = table_with_history(lake)
    changes = difference(table, 0, 4)
    assert [(one.id, one.kind, one.label) for one in changes] == [
        ("a", "corrected", "y"),
        ("b", "corrected", "z"),
        ("c", "added", "x"),
        ("d", "added", "y"),
    ]
    assert changes[0].before is not None
    assert (changes[0].before["label"], changes[0].before["text"]) == ("x", "text a")
    assert [(one.id, one.kind, one.label) for one in difference(table, 4, 1)] == [
        ("a", "corrected", "x"),
        ("b", "corrected", "x"),
        ("d", "removed", "y"),
    ]
    assert difference(table, 2, 2) == []
    with pytest.raises(NotFound, match=r"^data set replies: no version 3; versions: 0, 1, 2, 4$"):
        difference(table, 0, 3)


def test_a_row_tells_each_annotation_with_annotator_time_and_version(lake: Lake) -> None:
    table = table_with_history(lake)
    past = row_history(table, "a")
    assert [(one["version"], one["label"], one["annotator"], one["annotated_at"].day, one["removed"]) for one in past] == [
        (0, "x", "ada", 1, False),
        (2, "y", "ada", 2, False),
    ]
    with pytest.raises(NotFound, match=r"^data set replies: no row with the id 'q' in any version; `headgate data diff A B` shows ids$"):
        row_history(table, "q")


def test_a_restored_version_has_the_old_content_and_history_stays(lake: Lake) -> None:
    table = table_with_history(lake)
    newest = table.latest()
    assert newest is not None
    old, new = contents(table, 1), contents(table)
    made = table.restore(1, newest)
    assert (made.version.version, made.previous, made.added, made.corrected, made.removed, made.unchanged) == (5, newest, 0, 2, 1, 1)
    assert contents(table) == old
    assert contents(table, 4) == new
    assert made.version == table.latest()
    assert made.version.digest == table.versions()[1].digest == digest_of(sum(map(row_hash, (row("a"), row("b"), row("c")))))
    assert difference(table, 1, 5) == []
    assert versions_made(table)[-1].restored == 1
    assert versions_made(table)[-1].labels == {"x": 3}
    assert [(one["version"], one["removed"]) for one in row_history(table, "d")] == [(4, False), (5, True)]
    assert table.restore(4, made.version).added == 1
    assert contents(table) == new


def test_annotations_go_on_after_a_restore(folder_lake: Lake) -> None:
    table = table_with_history(folder_lake)
    newest = table.latest()
    assert newest is not None
    table.restore(0, newest)
    after = table.merge([row("a", "w", day=3), row("d", "w", day=3)])
    rows = [parse_row(record) for record in table.load().to_dict("records")]
    assert (after.added, after.corrected) == (1, 1)
    assert after.version.digest == digest_of(sum(map(row_hash, rows)))
    assert {one.id: one.label for one in rows} == {"a": "w", "b": "x", "d": "w"}


def test_restoring_what_is_there_makes_no_version(folder_lake: Lake) -> None:
    table = table_with_history(folder_lake)
    newest = table.latest()
    assert newest is not None
    assert table.restore(newest.version, newest).version == newest
    assert table.latest() == newest


def test_a_restore_that_would_take_back_rows_nobody_looked_at_is_refused(folder_lake: Lake) -> None:
    table = table_with_history(folder_lake)
    seen = table.latest()
    assert seen is not None
    table.merge([row("late")])
    with pytest.raises(
        Stale,
        match=r"^data set replies: expected version 4 to be the newest, found 5; "
        r"see what came: `headgate data diff 4 5`, then restore again$",
    ):
        table.restore(0, seen)
    assert "late" in set(table.load()["id"])


def test_a_frozen_set_is_not_restored(folder_lake: Lake) -> None:
    version = freeze(folder_lake, "fixed", [row("a")])
    with pytest.raises(BadInput, match="data set fixed is frozen and never changes"):
        DatasetTable(folder_lake, "fixed").restore(0, version)
