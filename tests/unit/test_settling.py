from datetime import UTC, datetime

import pytest

from headgate.data.settling import Settling, is_half_written, is_ours
from headgate.lake import Listed

OURS = "landing/replies/20260131T120000.000000-0123456789abcdef-batch1.jsonl"
HOOKED = f"landing/replies/label-studio-{'0' * 32}.jsonl"


def file(name: str, stamp: str = "5 1") -> Listed:
    return Listed(name if "/" in name else f"landing/replies/{name}", stamp, datetime(2026, 1, 31, tzinfo=UTC))


def test_a_file_is_whole_once_it_stood_still_and_is_announced_once() -> None:
    settling = Settling(settle_s=5)
    assert settling.whole([file("a.csv")], 100) == []
    assert settling.whole([file("a.csv")], 104.9) == []
    assert settling.whole([file("a.csv")], 105) == [file("a.csv")]
    settling.announced([file("a.csv")])
    assert settling.whole([file("a.csv")], 200) == []
    assert not settling.is_waiting()


def test_a_file_that_grows_waits_for_its_end() -> None:
    settling = Settling(settle_s=5)
    for second in range(20):
        assert settling.whole([file("a.csv", f"{second} {second}")], second) == []
    assert settling.is_waiting()
    assert settling.whole([file("a.csv", "19 19")], 24) == [file("a.csv", "19 19")]


def test_a_file_that_changed_after_it_was_announced_is_announced_again() -> None:
    settling = Settling(settle_s=5)
    settling.whole([file("a.csv")], 0)
    settling.announced(settling.whole([file("a.csv")], 5))
    assert settling.whole([file("a.csv", "6 2")], 6) == []
    assert settling.whole([file("a.csv", "6 2")], 11) == [file("a.csv", "6 2")]


def test_what_was_not_announced_is_told_at_every_look() -> None:
    settling = Settling(settle_s=5)
    settling.whole([file("a.csv")], 0)
    assert settling.whole([file("a.csv")], 5) == settling.whole([file("a.csv")], 6) == [file("a.csv")]


def test_what_headgate_landed_itself_is_given_time_for_its_own_ingest() -> None:
    settling = Settling(settle_s=5)
    files = [file(OURS), file(HOOKED), file("dropped.csv")]
    settling.whole(files, 0)
    assert settling.whole(files, 60) == [file("dropped.csv")]
    assert settling.whole(files[:1], 119) == []
    assert settling.whole(files[:2], 120) == [file(OURS)]  # its notice was lost; the other one was away for a moment
    assert settling.whole(files[:2], 240) == files[:2]


def test_an_ingested_file_is_forgotten() -> None:
    settling = Settling(settle_s=5)
    settling.whole([file("a.csv")], 0)
    settling.announced(settling.whole([file("a.csv")], 5))
    assert settling.whole([], 6) == []
    assert settling.whole([file("a.csv")], 7) == []
    assert settling.whole([file("a.csv")], 12) == [file("a.csv")]


@pytest.mark.parametrize("name", ["a.csv.part", "a.csv.PARTIAL", "a.tmp", "a.csv~", ".a.csv", ".hidden/a.csv", "a.csv.filepart"])
def test_names_of_unfinished_files_are_known(name: str) -> None:
    assert is_half_written(f"landing/replies/{name}")


@pytest.mark.parametrize("name", ["a.csv", "partial.csv", "tmp", "sub/a.jsonl", "a.tmp.csv"])
def test_other_names_are_whole(name: str) -> None:
    assert not is_half_written(f"landing/replies/{name}")


def test_only_names_that_headgate_gives_are_its_own() -> None:
    assert is_ours(OURS)
    assert is_ours(HOOKED)
    assert not is_ours("landing/replies/20260131-batch1.jsonl")
    assert not is_ours("landing/replies/label-studio-export.jsonl")
