"""Rows in the order of their ids, where every text is copied once.

delta-rs hands out texts as views: 16 bytes a row that say where the characters stand. The views are put in order, and then each text is
copied to its place; to copy the texts together first, and again to sort them, took as long as reading them.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

VIEW, TEXT = pa.string_view(), pa.large_string()
VIEW_BYTES, KEY_BYTES = 16, 8
KEPT = np.array([2**64 - 2 ** (64 - 8 * count) for count in range(KEY_BYTES + 1)], dtype=np.uint64)
Order = NDArray[np.int64]


def by_id(rows: pa.Table) -> pa.Table:
    """The rows by the bytes of `id`, each column in one piece, texts as large strings; ids without any NUL character, none missing."""
    columns = {name: _in_one_piece(rows[name]) for name in rows.column_names}
    ids = columns["id"].cast(TEXT)
    if pc.all(pc.less_equal(ids[:-1], ids[1:])).as_py() is not False:
        return pa.table({name: _copied(column) for name, column in columns.items()})
    order = order_of(ids)
    return pa.table({name: _copied(_moved(column, order)) for name, column in columns.items()})


def order_of(ids: pa.LargeStringArray) -> Order:
    """Where each place of the order is filled from; equal ids stay in their order.

    Eight bytes of each id, those after what all begin with, are compared as one number; ids that are equal in them are compared as texts.
    """
    keys = _keys(ids)
    order = np.argsort(keys, kind="stable")
    equal = np.diff(keys[order]) == 0
    tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
    among = order[tied]
    order[tied] = among[pc.sort_indices(ids.take(pa.array(among))).to_numpy()]
    return order


def _keys(ids: pa.LargeStringArray) -> NDArray[np.uint64]:
    """The bytes as big numbers, with zeros after an id's end."""
    start = _common(pc.min_max(ids))
    offsets = np.frombuffer(ids.buffers()[1], np.int64, len(ids) + 1, ids.offset * 8)
    data = np.zeros(offsets[-1] + KEY_BYTES, np.uint8)
    data[:-KEY_BYTES] = np.frombuffer(ids.buffers()[2], np.uint8, offsets[-1])
    everywhere: NDArray[np.uint64] = np.ndarray(len(data) - KEY_BYTES + 1, ">u8", data, strides=(1,))
    found: NDArray[np.uint64] = everywhere[offsets[:-1] + start].astype(np.uint64)
    found &= KEPT[np.minimum(np.diff(offsets) - start, KEY_BYTES)]
    return found


def _common(ends: pa.StructScalar) -> int:
    """How many bytes the first and the last id begin with alike: so do all between them."""
    first, last = (ends[name].as_py().encode() for name in ("min", "max"))
    differ = (place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1])
    return next(differ, min(len(first), len(last)))


def _in_one_piece(column: pa.ChunkedArray) -> pa.Array:
    """Texts as views, whose characters stay where they are."""
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return (column.cast(VIEW) if text else column).combine_chunks()


def _moved(column: pa.Array, order: Order) -> pa.Array:
    if column.type != VIEW:
        return column.take(pa.array(order))
    _, views, *characters = column.buffers()
    moved = np.frombuffer(views, f"V{VIEW_BYTES}", len(column), column.offset * VIEW_BYTES)[order]
    valid = column.is_valid().take(pa.array(order)).buffers()[1] if column.null_count else None
    return pa.Array.from_buffers(VIEW, len(column), [valid, pa.py_buffer(moved), *characters])


def _copied(column: pa.Array) -> pa.Array:
    return column.cast(TEXT) if column.type == VIEW else column
