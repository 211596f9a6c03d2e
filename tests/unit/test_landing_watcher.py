"""The watcher over a real folder, with the announcements caught; the real process against a real Prefect server is in tests/flows."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from headgate.data.ingest import ingest
from headgate.data.landing import land, pending, unread
from headgate.errors import BadSettings, Unavailable
from headgate.lake import FolderLake
from headgate.settings import Arrivals, Settings
from stack.landing_watcher import LandingWatcher, is_due, run, some_names, wakes

ROW = '{"text": "yes", "label": "positive"}\n'


class Server:
    """The Prefect server, up or down."""

    def __init__(self) -> None:
        self.up, self.events = True, list[tuple[str, list[str]]]()

    def __call__(self, dataset: str, uris: Sequence[str]) -> None:
        if not self.up:
            raise Unavailable("the Prefect server did not take it")
        self.events.append((dataset, [Path(uri).name for uri in uris]))


@pytest.fixture
def lake(tmp_path: Path) -> FolderLake:
    (tmp_path / "landing" / "replies").mkdir(parents=True)
    return FolderLake(tmp_path)


def watcher(lake: FolderLake, server: Server) -> LandingWatcher:
    return LandingWatcher(lake, server, Arrivals(settle_s=5))


def drop(lake: FolderLake, name: str, text: str = ROW) -> Path:
    path = lake.root / "landing" / "replies" / name
    path.write_text(text)
    return path


def test_dropped_files_are_announced_together_once_whole_and_once_only(lake: FolderLake) -> None:
    found = watcher(lake, server := Server())
    drop(lake, "a.jsonl")
    drop(lake, "b.jsonl", ROW * 2)
    drop(lake, "c.jsonl.part")
    assert [found.look({"replies"}, second) for second in (0, 3)] == [{}, {}]
    assert found.is_waiting()
    found.look({"replies"}, 5)
    found.look({"replies"}, 100)
    assert server.events == [("replies", ["a.jsonl", "b.jsonl"])]
    assert not found.is_waiting()


def test_a_file_under_a_temporary_name_is_seen_after_its_renaming(lake: FolderLake) -> None:
    found = watcher(lake, server := Server())
    part = drop(lake, "a.jsonl.part")
    found.look({"replies"}, 0)
    found.look({"replies"}, 50)
    part.rename(part.with_suffix(""))
    found.look({"replies"}, 51)
    found.look({"replies"}, 56)
    assert server.events == [("replies", ["a.jsonl"])]
    assert [file.name for file in pending(lake, "replies")] == ["a.jsonl"]


def test_what_landed_while_it_was_down_is_found_and_what_is_ingested_is_not(lake: FolderLake) -> None:
    drop(lake, "old.jsonl")
    ingest(lake, "replies")
    drop(lake, "new.jsonl", '{"text": "no", "label": "other"}\n')
    found = watcher(lake, server := Server())
    found.look({"replies"}, 0)
    found.look({"replies"}, 5)
    assert server.events == [("replies", ["new.jsonl"])]


def test_while_prefect_is_down_nothing_is_lost(lake: FolderLake) -> None:
    found = watcher(lake, server := Server())
    server.up = False
    drop(lake, "a.jsonl")
    found.look({"replies"}, 0)
    assert found.look({"replies"}, 5) == {}
    assert found.is_waiting()
    server.up = True
    found.look({"replies"}, 6)
    assert server.events == [("replies", ["a.jsonl"])]


def test_headgate_ingest_gets_no_second_run(lake: FolderLake, tmp_path: Path) -> None:
    found = watcher(lake, server := Server())
    (tmp_path / "batch.jsonl").write_text(ROW)
    land(lake, "replies", tmp_path / "batch.jsonl")
    found.look({"replies"}, 0)
    found.look({"replies"}, 30)
    ingest(lake, "replies")
    assert unread(lake, "replies") == []
    found.look({"replies"}, 500)
    assert server.events == []


def test_a_folder_of_no_model_is_told_once_and_announced_when_a_model_reads_it(lake: FolderLake, caplog: pytest.LogCaptureFixture) -> None:
    found = watcher(lake, server := Server())
    drop(lake, "a.jsonl")
    found.look(set(), 0)
    found.look(set(), 60)
    assert [record.getMessage() for record in caplog.records] == [
        "landing/replies/: expected a data set that a model of headgate.toml reads, found none that does"
    ]
    found.look({"replies"}, 61)
    found.look({"replies"}, 66)
    assert server.events == [("replies", ["a.jsonl"])]


def test_the_system_tells_about_a_new_file_and_time_passes_without_one(tmp_path: Path) -> None:
    woken = wakes(tmp_path, Arrivals(settle_s=0.05, look_every_s=1))
    assert next(woken) is True
    assert next(woken) is False
    (tmp_path / "a.csv").write_text(ROW)
    assert any(next(woken) for _ in range(200))


def test_without_notices_of_the_system_time_alone_wakes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    woken = wakes(tmp_path / "none", Arrivals(settle_s=0.01, look_every_s=1))
    assert [next(woken) for _ in range(3)] == [True, False, False]
    assert caplog.records[0].getMessage().startswith(f"the file system cannot tell about {tmp_path / 'none'} (")


def test_looks_over_many_files_come_seldom_unless_there_is_something_to_see() -> None:
    assert is_due(prompted=True, since_s=0.1, took_s=0.05, look_every_s=15)
    assert not is_due(prompted=False, since_s=14, took_s=0.05, look_every_s=15)
    assert is_due(prompted=False, since_s=15, took_s=0.05, look_every_s=15)
    assert not is_due(prompted=False, since_s=59, took_s=3, look_every_s=15)
    assert is_due(prompted=False, since_s=60, took_s=3, look_every_s=15)
    assert not is_due(prompted=True, since_s=2, took_s=3, look_every_s=15)
    assert is_due(prompted=False, since_s=float("inf"), took_s=0, look_every_s=15), "the first look is at once"


def test_a_broken_headgate_toml_stops_nothing(lake: FolderLake, caplog: pytest.LogCaptureFixture) -> None:
    class Stopped(Exception):
        pass

    tries: list[int] = []

    def settings() -> Settings:
        tries.append(1)
        if len(tries) == 1:
            raise BadSettings("headgate.toml is not TOML")
        raise Stopped

    with pytest.raises(Stopped):
        run(LandingWatcher(lake, Server(), Arrivals(settle_s=0.01, look_every_s=0.01)), settings)
    assert [record.getMessage() for record in caplog.records] == ["could not look: headgate.toml is not TOML"]


def test_of_many_files_the_first_are_named_and_the_others_counted() -> None:
    uris = [f"/lake/landing/replies/{number}.csv" for number in range(7)]
    assert some_names(uris[:5]) == "0.csv, 1.csv, 2.csv, 3.csv, 4.csv"
    assert some_names(uris) == "0.csv, 1.csv, 2.csv, 3.csv, 4.csv and 2 more"
