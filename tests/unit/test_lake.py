from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headgate.errors import BadInput, BadSettings, Conflict, NotFound
from headgate.lake import Lake, open_lake


def test_a_record_is_written_once(lake: Lake) -> None:
    assert lake.put_if_absent("releases/a/release.json", b"first")
    assert not lake.put_if_absent("releases/a/release.json", b"second")
    assert lake.read("releases/a/release.json") == b"first"


def test_of_many_writers_exactly_one_wins(lake: Lake) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda n: lake.put_if_absent("one.json", str(n).encode()), range(8)))
    assert written.count(True) == 1
    assert lake.read("one.json") == str(written.index(True)).encode()


def test_a_swap_needs_the_tag_that_was_read(lake: Lake) -> None:
    lake.compare_and_swap("champion.json", b"1", None)
    entry = lake.get("champion.json")
    assert entry is not None
    lake.compare_and_swap("champion.json", b"2", entry.tag)
    with pytest.raises(Conflict, match=r"champion.json was changed by somebody else; read it again"):
        lake.compare_and_swap("champion.json", b"3", entry.tag)
    with pytest.raises(Conflict):
        lake.compare_and_swap("champion.json", b"3", None)
    assert lake.read("champion.json") == b"2"


def test_the_same_content_may_be_put_again_and_other_content_may_not(lake: Lake) -> None:
    lake.put_same("record.json", b"x")
    lake.put_same("record.json", b"x")
    with pytest.raises(BadInput, match=r"record.json is already written with other content; it never changes"):
        lake.put_same("record.json", b"y")


def test_keys_are_listed_under_a_folder_and_not_under_a_name_that_begins_alike(lake: Lake) -> None:
    for key in ("a/2.json", "a/1.json", "a/b/3.json", "ab/4.json"):
        lake.put_if_absent(key, b"")
    assert lake.keys("a") == ["a/1.json", "a/2.json", "a/b/3.json"]
    assert lake.keys("nothing") == []


def test_a_missing_record_is_none_or_not_found(lake: Lake) -> None:
    assert lake.get("no/record.json") is None
    with pytest.raises(NotFound, match=r"expected a record at .*lake/no/record.json, found none"):
        lake.read("no/record.json")
    with pytest.raises(NotFound, match=r"expected a record at .*lake/no/record.json, found none"):
        lake.written_at("no/record.json")


def test_a_record_knows_when_it_was_written(lake: Lake) -> None:
    lake.put_if_absent("a.json", b"x")
    assert abs(datetime.now(UTC) - lake.written_at("a.json")) < timedelta(minutes=5)


@pytest.mark.parametrize("key", ["../out", "/etc/passwd", "a/../../b", "", "a\\b"])
def test_no_key_leaves_the_lake(lake: Lake, key: str) -> None:
    with pytest.raises(BadInput, match="expected a relative key without"):
        lake.get(key)


def test_leftovers_of_a_killed_writer_are_no_records(folder_lake: Lake) -> None:
    folder_lake.put_if_absent("a/1.json", b"x")
    Path(folder_lake.join("a/.half.tmp")).write_bytes(b"half")
    assert folder_lake.keys("a") == ["a/1.json"]


def test_another_scheme_is_refused() -> None:
    for uri in ("gs://bucket", "s3://", "s3:///prefix"):
        with pytest.raises(BadSettings, match=f"^lake: expected a folder or s3://bucket/prefix, found '{uri}'$"):
            open_lake(uri)


def test_a_missing_bucket_is_for_a_person_to_mend(s3_uri: str) -> None:
    with pytest.raises(BadSettings, match=r"s3://no-such-bucket/lake/a.json: expected the bucket to exist, found .*NoSuchBucket") as fault:
        open_lake("s3://no-such-bucket/lake").put_if_absent("a.json", b"x")
    assert str(fault.value).endswith("create the bucket, or mend `lake` in headgate.toml")


def test_a_listing_tells_stamp_and_time_without_reading_and_the_stamp_follows_the_bytes(lake: Lake) -> None:
    lake.put_if_absent("a/2.json", b"x")
    lake.put_if_absent("a/1.json", b"xy")
    before = lake.listing("a")
    assert [(one.key, one.written_at.replace(microsecond=0)) for one in before] == [
        (key, lake.written_at(key).replace(microsecond=0)) for key in ("a/1.json", "a/2.json")
    ]
    entry = lake.get("a/1.json")
    assert entry is not None
    lake.compare_and_swap("a/1.json", b"other", entry.tag)
    after = lake.listing("a")
    assert after[0].stamp != before[0].stamp
    assert after[1] == before[1]
    assert lake.listing("nothing") == []


def test_a_link_in_a_folder_lake_is_no_record(folder_lake: Lake, tmp_path: Path) -> None:
    (outside := tmp_path / "outside.csv").write_text("id,text,label\n")
    folder_lake.put_if_absent("landing/replies/a.csv", b"id,text,label\n")
    (Path(folder_lake.uri) / "landing" / "replies" / "link.csv").symlink_to(outside)
    assert folder_lake.keys("landing") == ["landing/replies/a.csv"]
    assert [one.key for one in folder_lake.listing("landing")] == ["landing/replies/a.csv"]
