from pathlib import Path

import pytest

from headgate.data.ingest import ingest
from headgate.data.landing import pending
from headgate.data.table import DatasetTable
from headgate.lake import Entry, FolderLake, Lake


def row(name: str, label: str = "x") -> bytes:
    return f'{{"id": "{name}", "text": "text {name}", "label": "{label}"}}\n'.encode()


@pytest.fixture
def reads(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys under landing/ that were read since the list was cleared."""
    found: list[str] = []
    get = type(lake).get

    def noted(self: Lake, key: str) -> Entry | None:
        if key.startswith("landing/"):
            found.append(key.removeprefix("landing/replies/"))
        return get(self, key)

    monkeypatch.setattr(type(lake), "get", noted)
    return found


def test_a_finished_file_is_listed_and_never_read_again(lake: Lake, reads: list[str]) -> None:
    for name in "abc":
        lake.put_if_absent(f"landing/replies/{name}.jsonl", row(name))
    assert ingest(lake, "replies").added == 3
    lake.put_if_absent("landing/replies/d.jsonl", row("d"))
    reads.clear()
    assert ingest(lake, "replies").added == 1
    assert reads == ["d.jsonl"]


def test_a_copy_of_a_finished_file_is_read_once(lake: Lake, reads: list[str]) -> None:
    lake.put_if_absent("landing/replies/a.jsonl", row("a"))
    ingest(lake, "replies")
    lake.put_if_absent("landing/replies/copy.jsonl", row("a"))
    reads.clear()
    assert [ingest(lake, "replies").files for _ in range(3)] == [0, 0, 0]
    assert reads == ["copy.jsonl"]


def test_a_file_that_was_replaced_under_its_name_is_read_again(folder_lake: Lake) -> None:
    folder_lake.put_if_absent("landing/replies/a.jsonl", row("a"))
    ingest(folder_lake, "replies")
    (Path(folder_lake.uri) / "landing/replies/a.jsonl").write_bytes(row("b"))
    assert ingest(folder_lake, "replies").added == 1
    assert list(DatasetTable(folder_lake, "replies").load()["id"]) == ["a", "b"]


def test_without_its_record_a_marked_file_counts_as_pending(folder_lake: Lake) -> None:
    folder_lake.put_if_absent("landing/replies/a.jsonl", row("a"))
    ingest(folder_lake, "replies")
    for record in (Path(folder_lake.uri) / "ingested/replies").iterdir():
        record.unlink()
    assert [file.name for file in pending(folder_lake, "replies")] == ["a.jsonl"]


def test_a_thousand_small_files_are_one_version(folder_lake: FolderLake) -> None:
    landing = Path(folder_lake.uri) / "landing/replies"
    landing.mkdir(parents=True)
    for number in range(1_000):
        (landing / f"{number:04d}.jsonl").write_bytes(row(f"{number:04d}"))
    result = ingest(folder_lake, "replies")
    assert (result.files, result.added) == (1_000, 1_000)
    assert [version.rows for version in DatasetTable(folder_lake, "replies").versions()] == [1_000]
    assert pending(folder_lake, "replies") == []
