"""Trying out a lake: whether the store keeps the promises on which every record and table rests."""

from collections.abc import Callable, Iterator
from uuid import uuid4

from headgate.errors import Conflict, HeadgateError
from headgate.lake import Lake


def tried_out(lake: Lake) -> Iterator[tuple[str, str]]:
    """Each promise, and what was found instead (empty: it is kept). Writes a few small objects under `lake-check/`, which stay."""
    folder = f"lake-check/{uuid4().hex}"
    promises: list[tuple[str, Callable[[Lake, str], str]]] = [
        ("a record is written and read", _written_and_read),
        ("a record that is there is not written over (If-None-Match)", _not_written_over),
        ("a swap needs the tag that was read (If-Match)", _swapped_by_tag),
        ("records are listed as soon as they are written", _listed),
        ("a table takes commits, and never two for one version", _committed_once),
    ]
    for promise, found in promises:
        try:
            yield promise, found(lake, folder)
        except HeadgateError as fault:
            yield promise, str(fault)


def _written_and_read(lake: Lake, folder: str) -> str:
    if not lake.put_if_absent(f"{folder}/a.json", b"1"):
        return "a new record was refused"
    return "" if lake.read(f"{folder}/a.json") == b"1" else "other bytes were read than were written"


def _not_written_over(lake: Lake, folder: str) -> str:
    lake.put_if_absent(f"{folder}/b.json", b"1")
    written = lake.put_if_absent(f"{folder}/b.json", b"2")
    return "" if not written and lake.read(f"{folder}/b.json") == b"1" else "it was: the store ignores If-None-Match"


def _swapped_by_tag(lake: Lake, folder: str) -> str:
    key = f"{folder}/c.json"
    lake.compare_and_swap(key, b"1", None)
    if (entry := lake.get(key)) is None:
        return "a new record was not there"
    lake.compare_and_swap(key, b"2", entry.tag)
    try:
        lake.compare_and_swap(key, b"3", entry.tag)
    except Conflict:
        return "" if lake.read(key) == b"2" else "a swap that was refused was made"
    return "an old tag was taken: the store ignores If-Match"


def _listed(lake: Lake, folder: str) -> str:
    lake.put_if_absent(f"{folder}/d/1.json", b"1")
    found = lake.keys(f"{folder}/d")
    return "" if found == [f"{folder}/d/1.json"] else f"the list was {found}"


def _committed_once(lake: Lake, folder: str) -> str:
    import pyarrow as pa

    from headgate.data import delta

    key, one, two = f"{folder}/table", pa.table({"id": ["a"]}), pa.table({"id": ["b"]})
    delta.create(lake, key, one, {})
    stale, table = (delta.open_version(lake, key, 0) for _ in range(2))
    delta.upsert(lake, key, table, two, ("id",), {})
    try:
        delta.upsert(lake, key, stale, two, ("id",), {})
    except Conflict:
        rows = delta.read(delta.open_version(lake, key, 1), one.schema)["id"].to_pylist()
        return "" if sorted(rows) == ["a", "b"] else f"the rows were {rows}"
    return "version 1 was committed twice: the store ignores If-None-Match"
