"""Plain files are read by columns to the same rows, hashes and notices as row by row; any other file is left to that."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.data import ingest as steps
from headgate.data.ingest import IngestResult, ingest
from headgate.data.parsing import judge_file
from headgate.data.plain_files import as_table, plain_file
from headgate.data.rows import AHEAD, Annotation, row_hash
from headgate.data.table import DatasetTable
from headgate.lake import FolderLake, Lake

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12) | st.sampled_from(
    ['say "no"', "a\\b", "\u2028", " padded ", "\U0001f600", "x" * 200, "x" * 201, "", " ", "a\nb", "\x00", "\ud800", "}"]
)
TIMES = st.datetimes().map(str) | st.sampled_from(
    ["2026-01-31T12:00:00+02:00", "2026-01-31T12:00:00.5Z", "0001-01-01T00:00:00+01:00", "soon", "", " "]
)
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "id": WORDS | st.none() | st.integers(0, 3),
    "group_id": WORDS | st.none(),
    "source": st.sampled_from(["annotation", "correction", "import", "", None, "guess"]),
    "annotator": WORDS | st.none(),
    "annotated_at": TIMES | st.none(),
    "headers": st.none() | st.just("") | st.dictionaries(WORDS, WORDS | st.none(), max_size=3) | st.just('{"a": "b"}') | st.just([1]),
    "unknown": WORDS | st.booleans(),
    "split": WORDS,
}
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROWS = st.fixed_dictionaries({"text": WORDS, "label": WORDS}, optional=OPTIONAL)
PLAIN = {"text": 'He said "no"', "label": "x", "annotated_at": "2026-01-31T12:00:00+02:00", "headers": {"b": "é", "a": None, "c": 'q"'}}


def written(rows: list[dict[str, Any]], ascii_only: bool = True) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows).encode("utf-8", "surrogatepass")


def annotations(columns: dict[str, list[Any]]) -> list[Annotation]:
    return [Annotation(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def same(data: bytes, labels: tuple[str, ...] = (), now: datetime | None = None) -> bool:
    """Whether a file is plain; if it is, what its columns hold was compared with its rows."""
    found = plain_file("a.jsonl", data, labels, now)
    if found is None:
        return False
    judged = judge_file("a.jsonl", data, labels, now)
    assert (judged.bad, judged.notices) == ((), found.notices)
    assert annotations(found.columns) == [good.row for good in judged.good]
    table, total = as_table([("2026-01-31T12:00:00Z a", found)])
    table.validate(full=True)
    assert sorted(table["row_hash"].to_pylist()) == sorted(f"{row_hash(good.row):032x}" for good in judged.good)
    assert total == sum(row_hash(good.row) for good in judged.good)
    assert table["id"].to_pylist() == sorted(good.row.id for good in judged.good)
    splits = {good.row.id: good.row.split for good in judged.good}
    assert len(splits) < len(table) or dict(zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True)) == splits
    return True


@settings(deadline=None, max_examples=300)
@given(st.lists(ROWS, min_size=1, max_size=3), st.booleans(), st.sampled_from([(), ("x", "}")]), st.sampled_from([None, NOW]))
def test_a_plain_file_means_the_same_by_columns_and_by_rows(
    rows: list[dict[str, Any]], ascii_only: bool, labels: tuple[str, ...], now: datetime | None
) -> None:
    same(written(rows, ascii_only), labels, now)


@settings(deadline=None)  # a first call waits for the machine, not for the code
@given(st.timedeltas(timedelta(hours=-2), timedelta(hours=2)) | st.sampled_from([AHEAD, AHEAD + timedelta(microseconds=1)]))
def test_a_file_is_plain_up_to_the_very_time_that_is_still_good(after: timedelta) -> None:
    data = written([PLAIN, PLAIN | {"text": "b", "annotated_at": (NOW + after).isoformat()}])
    assert same(data, now=NOW) == (after <= AHEAD)
    assert len(judge_file("a.jsonl", data, now=NOW).bad) == (after > AHEAD)


@pytest.mark.parametrize(
    "extra", [{}, {"id": " 7 "}, {"headers": {}}, {"headers": ""}, {"lang": "en"}, {"source": "correction", "group_id": "g"}]
)
def test_usual_rows_are_plain(extra: dict[str, Any]) -> None:
    assert same(written([PLAIN | extra, PLAIN | {"text": "b"}]))
    assert same(b"\n\r\n".join(written([PLAIN | extra], ascii_only=False).splitlines()).replace(b"\n", b"\r\n"), ("x",))


@pytest.mark.parametrize(
    "data",
    [
        b'{"text": "a", "label": "x", "label": "x"}',
        b'{"text": "a", "label": "x", "headers": {"a": "b", "a": "b"}}',
        b'{"text": "\\u0022\\u0022", "label": "x", "n": "", "n": ""}',
        b'{"text": "a", "label": "x", "annotator": {"a": "b"}}',
        b'{"text": "a", "label": "x", "id": 3}',
        b'{"text": "a\\u0000", "label": "x"}',
        b'{"text": "a\\ud800", "label": "x"}',
        b'{"text": "\xff", "label": "x"}',
        b'{"text": "a", "label": ["x"]}',
        b'{"text": "a"}',
        b'{"text": "a", "label": "x"}, {"text": "b", "label": "x"}',
        b'{"text": "a", "label": "x"}\n[]',
        b'{"text": "a", "label": "x"}\n{"text": "b", "lab',
        b'{\n"text": "a", "label": "x"}',
        b'{"text": "' + b"a" * 1_000_001 + b'", "label": "x"}',
        b"",
    ],
)
def test_a_file_that_needs_a_closer_look_is_not_plain(data: bytes) -> None:
    assert plain_file("a.jsonl", data) is None


def test_a_label_that_is_not_known_is_not_plain() -> None:
    assert plain_file("a.jsonl", written([PLAIN]), ("y",)) is None


def outcome(lake: Lake, days: list[list[dict[str, Any]]], landing: str) -> tuple[list[IngestResult], list[Any]]:
    results = []
    for number, rows in enumerate(days):
        for part in (rows[::2], rows[1::2]):
            lake.put_if_absent(f"landing/d/{landing}{number}-{part[0]['text'][:1]}.jsonl", written(part))
        results.append(ingest(lake, "d"))
    return results, DatasetTable(lake, "d").load().to_dict("records")


def test_an_ingest_by_columns_ends_as_one_by_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first: list[dict[str, Any]] = [{"id": str(number), "text": f"{number} a", "label": "x", "annotator": "ann"} for number in range(4)]
    new: list[dict[str, Any]] = [
        {"id": "8", "text": "8 B", "label": "y", "lang": "en"},
        {"id": "9", "text": "9", "label": "x", "headers": {"a": "b"}},
    ]
    again: list[dict[str, Any]] = [
        {"id": "10", "text": "10", "label": "x"},
        {"id": "2", "text": "2 a", "label": "x", "annotator": "ann", "annotated_at": "2026-02-01"},
    ]
    contested: list[dict[str, Any]] = [
        {"id": "11", "text": "8 B", "label": "x", "annotator": "bob"},
        {"id": "12", "text": "12", "label": "x"},
    ]
    ways: list[bool] = []
    by_columns = steps._by_columns

    def watched(*arguments: Any) -> Any:
        found = by_columns(*arguments)
        ways.append(found is not None)
        return found

    monkeypatch.setattr(steps, "_by_columns", watched)
    quick = outcome(FolderLake(tmp_path / "quick"), [first, new, again, contested], "")
    monkeypatch.setattr(steps, "_by_columns", lambda *arguments: None)
    slow = outcome(FolderLake(tmp_path / "slow"), [first, new, again, contested], "")

    assert quick == slow
    assert ways == [True, True, False, False]
    assert [result.added for result in quick[0]] == [4, 2, 1, 2]
    assert quick[0][1].notices == ("1-8.jsonl: ignored the unknown fields lang",)
    assert quick[0][3].conflicts != ()


@pytest.mark.parametrize("die_after", [False, True], ids=["before", "after"])
def test_an_ingest_by_columns_killed_around_its_append_is_made_good_by_the_next(
    folder_lake: Lake, monkeypatch: pytest.MonkeyPatch, die_after: bool
) -> None:
    append = DatasetTable.append_new

    def dying(*arguments: Any) -> None:
        if die_after:
            append(*arguments)
        raise KeyboardInterrupt

    folder_lake.put_if_absent("landing/d/a.jsonl", written([PLAIN, PLAIN | {"text": "b"}]))
    with monkeypatch.context() as patch:
        patch.setattr(DatasetTable, "append_new", dying)
        with pytest.raises(KeyboardInterrupt):
            ingest(folder_lake, "d")

    found = ingest(folder_lake, "d")

    assert (found.added, found.unchanged) == ((0, 2) if die_after else (2, 0))
    assert found.version is not None
    assert (found.version.version, found.version.rows) == (0, 2)
    assert ingest(folder_lake, "d").files == 0
