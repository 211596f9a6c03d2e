"""What becomes of records, tables and whole ingests while the way to the store delays, cuts, resets, throttles or is gone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faulty_link import LinkProcess
from made_up_history import row

from headgate.data import delta
from headgate.data.ingest import ingest
from headgate.data.landing import land
from headgate.data.quarantine import quarantined
from headgate.data.rows import digest_of, parse_row, row_hash
from headgate.data.table import DatasetTable
from headgate.errors import Conflict, Unavailable
from headgate.lake import Lake

NEVER_ARRIVES = ("reset", "slow_down")
ARRIVES = ("delay", "cut", "swallow", "late_error", "mute")
FAULTS = (*NEVER_ARRIVES, *ARRIVES)
COMMIT = r"PUT \S+/_delta_log/\d{20}.json"


@contextmanager
def hit(link: LinkProcess, kind: str, line: str, times: int = 1) -> Iterator[None]:
    """The fault for a while, which must strike, and reach the store if it is of that kind."""
    link.fail(kind, line, times=times, delay_s=0.3 if kind == "delay" else 0.0)
    yield
    assert link.begun() == times
    assert (link.relayed() > 0) == (kind in ARRIVES)
    link.heal()


@pytest.mark.parametrize("kind", FAULTS)
def test_a_record_is_written_once_and_its_writer_hears_so(far_lake: Lake, lake: Lake, link: LinkProcess, kind: str) -> None:
    with hit(link, kind, "PUT"):
        assert far_lake.put_if_absent("a.json", b"first")
    assert not far_lake.put_if_absent("a.json", b"first")
    assert lake.read("a.json") == b"first"


@pytest.mark.parametrize("kind", FAULTS)
def test_a_record_of_somebody_else_is_never_taken_for_ones_own(far_lake: Lake, lake: Lake, link: LinkProcess, kind: str) -> None:
    lake.put_if_absent("a.json", b"same bytes")
    with hit(link, kind, "PUT"):
        assert not far_lake.put_if_absent("a.json", b"same bytes")


@pytest.mark.parametrize("kind", FAULTS)
def test_a_swap_that_was_made_is_no_conflict_and_one_that_lost_is(far_lake: Lake, lake: Lake, link: LinkProcess, kind: str) -> None:
    lake.compare_and_swap("champion.json", b"1", None)
    tag = lake.get("champion.json")
    assert tag is not None
    with hit(link, kind, "PUT"):
        far_lake.compare_and_swap("champion.json", b"2", tag.tag)
    assert lake.read("champion.json") == b"2"
    with hit(link, kind, "PUT"), pytest.raises(Conflict, match=r"champion.json was changed by somebody else; read it again"):
        far_lake.compare_and_swap("champion.json", b"3", tag.tag)
    assert lake.read("champion.json") == b"2"


@pytest.mark.parametrize("kind", FAULTS)
def test_reading_goes_on(far_lake: Lake, lake: Lake, link: LinkProcess, kind: str) -> None:
    lake.put_if_absent("a/1.json", b"x" * 100_000)
    for request, answer in (("GET .*json", lambda: len(far_lake.read("a/1.json"))), ("GET .*prefix", lambda: len(far_lake.keys("a")))):
        with hit(link, kind, request):
            assert answer() in (100_000, 1)
    if kind != "cut":  # an answer to HEAD has no half
        with hit(link, kind, "HEAD"):
            assert far_lake.written_at("a/1.json") == lake.written_at("a/1.json")


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("commit", ["first", "append", "merge", "restore"])
def test_a_commit_is_made_once_and_its_writer_hears_so(far_lake: Lake, lake: Lake, link: LinkProcess, kind: str, commit: str) -> None:
    table, far = DatasetTable(lake, "replies"), DatasetTable(far_lake, "replies")
    newest = [table.merge([row(name)]).version for name in BEFORE[commit]]
    with hit(link, kind, COMMIT):
        done = far.restore(0, newest[-1]) if commit == "restore" else far.merge(COMMITTED[commit])
    assert (done.version.version, done.added, done.corrected, done.removed) == TOLD[commit]
    assert [one.version for one in table.versions()] == list(range(len(newest) + 1))
    assert_sound(table, LEFT[commit])


BEFORE = {"first": "", "append": "a", "merge": "a", "restore": "ab"}
COMMITTED = {"first": [row("a"), row("b")], "append": [row("b"), row("c")], "merge": [row("a", "y", day=1), row("b")]}
TOLD = {"first": (0, 2, 0, 0), "append": (1, 2, 0, 0), "merge": (1, 1, 1, 0), "restore": (2, 0, 0, 1)}
LEFT = {"first": {"a": "x", "b": "x"}, "append": {"a": "x", "b": "x", "c": "x"}, "merge": {"a": "y", "b": "x"}, "restore": {"a": "x"}}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_torn_data_file_is_written_and_read_again(far_lake: Lake, lake: Lake, link: LinkProcess, kind: str) -> None:
    DatasetTable(lake, "replies").merge([row("a"), row("b")])
    table = DatasetTable(far_lake, "replies")
    with hit(link, kind, r"PUT \S+parquet"):
        table.merge([row("a", "y", day=1)])
    with hit(link, kind, r"GET \S+parquet", times=1 if kind == "mute" else 2):
        assert len(table.load()) == 2
    assert_sound(DatasetTable(lake, "replies"), {"a": "y", "b": "x"})


def test_an_overtaken_writer_is_not_told_that_the_other_ones_commit_was_its_own(
    far_lake: Lake, lake: Lake, link: LinkProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, upsert = DatasetTable(far_lake, "replies"), delta.upsert
    table.merge([row("a")])

    def overtaken(*given: object) -> None:
        monkeypatch.setattr(delta, "upsert", upsert)
        DatasetTable(lake, "replies").merge([row("b")])
        upsert(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(delta, "upsert", overtaken)
    with hit(link, "late_error", COMMIT):
        merged = table.merge([row("a", "y", day=1), row("b")])
    assert (merged.added, merged.corrected, merged.unchanged) == (0, 1, 1)
    assert_sound(DatasetTable(lake, "replies"), {"a": "y", "b": "x"})
    assert len(table.versions()) == 3


def test_an_outage_of_seconds_in_mid_ingest_is_sat_out(far_lake: Lake, lake: Lake, link: LinkProcess, tmp_path: Path) -> None:
    drop(lake, tmp_path, 3)
    link.fail("reset", COMMIT)
    opening = threading.Timer(2, link.open)
    link.shut()
    opening.start()
    result = ingest(far_lake, "replies")
    opening.join()
    assert (result.files, result.added, result.quarantined) == (3, 30, 3)
    assert_ingested(lake, 3)


def test_an_outage_that_lasts_ends_as_unavailable_and_the_next_run_completes(
    far_lake: Lake, lake: Lake, link: LinkProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(lake, tmp_path, 2)
    monkeypatch.setattr(delta, "OUTAGES", 1)
    monkeypatch.setattr("headgate.data.ingest.quarantine", lambda *_: link.shut())
    with pytest.raises(Unavailable) as fault:
        ingest(far_lake, "replies")
    assert str(fault.value).startswith(f"{lake.uri}/")
    assert "the object store answered EndpointConnectionError: Could not connect to the endpoint URL" in str(fault.value)
    assert str(fault.value).endswith("; run it again when the store is back: what is written stays, and no step doubles anything")
    with pytest.raises(Unavailable, match=r"datasets/replies: the object store answered .*Connection refused .*; run it again when"):
        DatasetTable(far_lake, "replies").latest()
    monkeypatch.undo()
    link.open()
    assert ingest(far_lake, "replies").files == 2
    assert_ingested(lake, 2)
    assert len(DatasetTable(lake, "replies").versions()) == 1


def test_throttling_slows_an_ingest_and_loses_nothing(far_lake: Lake, lake: Lake, link: LinkProcess, tmp_path: Path) -> None:
    drop(lake, tmp_path, 2)
    for request in ("GET", "PUT", "PUT .*parquet", COMMIT, "PUT .*ingested"):
        link.fail("slow_down", request, times=2)
    assert ingest(far_lake, "replies").added == 20
    assert link.begun() == 10
    assert_ingested(lake, 2)


def test_a_store_that_only_throttles_ends_as_unavailable(far_lake: Lake, link: LinkProcess) -> None:
    link.fail("slow_down", times=10_000)
    with pytest.raises(Unavailable, match=r"a.json: the object store answered .*\(SlowDown\).*; run it again when the store is back"):
        far_lake.put_if_absent("a.json", b"x")
    with pytest.raises(Unavailable, match=r"datasets/replies: the object store answered .*<Code>SlowDown</Code>.*; run it again when"):
        DatasetTable(far_lake, "replies").latest()


def drop(lake: Lake, folder: Path, files: int) -> None:
    """Landed files of ten good rows and a bad one each."""
    for number in range(files):
        file = folder / f"{number}.jsonl"
        good = "".join(f'{{"id": "{number}-{n}", "text": "text {number} {n}", "label": "x"}}\n' for n in range(10))
        file.write_text(f"{good}broken {number}\n")
        land(lake, "replies", file)


def assert_ingested(lake: Lake, files: int) -> None:
    """Every row and every bad row of the dropped files once."""
    assert_sound(DatasetTable(lake, "replies"), {f"{number}-{n}": "x" for number in range(files) for n in range(10)})
    assert sorted(quarantined(lake, "replies")["raw"]) == [f"broken {number}" for number in range(files)]
    assert len(lake.keys("ingested/replies")) == files


def assert_sound(table: DatasetTable, labels: dict[str, str]) -> None:
    """These rows and no other, each once, and each version with the digest of its rows."""
    frame = table.load()
    assert len(frame) == len(labels)
    assert dict(zip(frame["id"], frame["label"], strict=True)) == labels
    for version in table.versions():
        records = table.load(version.version).to_dict("records")
        rows = [parse_row(record | {"annotated_at": record["annotated_at"].to_pydatetime()}) for record in records]
        assert (version.digest, version.rows) == (digest_of(sum(map(row_hash, rows))), len(rows))
