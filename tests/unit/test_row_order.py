"""Rows put in the order of their ids are those that a plain sort gives, however they were read."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.data.ordering import by_id, order_of

IDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
ALIKE = st.text("ab\x01é\U0001f600", min_size=1, max_size=12).map("thread-".__add__)
TEXTS = st.none() | st.text(st.characters(codec="utf-8"), max_size=30)


@settings(deadline=None)  # a first call waits for the machine, not for the code
@given(
    st.lists(st.tuples(IDS | ALIKE, TEXTS, st.integers(-9, 9)), max_size=60),
    st.integers(1, 7),
    st.sampled_from([pa.string(), pa.string_view()]),
)
def test_rows_in_pieces_come_in_the_byte_order_of_their_ids(rows: list[tuple[str, str | None, int]], size: int, kind: pa.DataType) -> None:
    schema = pa.schema([("id", kind), ("text", kind), ("number", pa.int64())])
    pieces = [
        pa.table([list(column) for column in zip(*part, strict=True)], schema)
        for part in (rows[at : at + size] for at in range(0, len(rows), size))
    ]
    table = pa.concat_tables(pieces) if pieces else schema.empty_table()

    found = by_id(table)

    found.validate(full=True)
    assert [tuple(row.values()) for row in found.to_pylist()] == sorted(rows, key=lambda row: row[0].encode())
    assert [column.num_chunks for column in found.columns] == [1, 1, 1]
    assert found.schema.types == [pa.large_string(), pa.large_string(), pa.int64()]


@settings(deadline=None)  # a first call waits for the machine, not for the code
@given(st.lists(IDS | ALIKE, min_size=4, max_size=60), st.integers(0, 2))
def test_a_slice_is_ordered_by_its_own_ids(ids: list[str], start: int) -> None:
    part = pa.array(ids, pa.large_string())[start:-1]

    assert part.take(pa.array(order_of(part))).to_pylist() == sorted(ids[start:-1], key=str.encode)


@pytest.mark.parametrize("name", [str, "{:012d}".format, "{:x}".format, "message {}".format])
def test_ids_of_usual_kinds_in_any_order(name: object) -> None:
    assert callable(name)
    ids = [name(number) for number in np.random.default_rng(0).permutation(3_000)]

    assert by_id(pa.table({"id": ids}))["id"].to_pylist() == sorted(ids)
