"""The header of a safetensors file: what tensors it says it holds, checked against the file without reading one."""

import json
import struct
from math import prod
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 16 << 20
MAX_DIMENSIONS = 8
SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8}

Shape = tuple[int, ...]


def read_shapes(file: Path) -> dict[str, Shape]:
    """The shape of each tensor by name; ValueError where the header is not true of the file."""
    held = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER_BYTES, held - 8):
            raise ValueError(f"the header says that it has {length:,} bytes, the file has {held:,}")
        header = _parsed(opened.read(length))
    header.pop("__metadata__", None)
    spans = sorted((*_span(name, found), name) for name, found in header.items())
    _check_spans(spans, held - 8 - length)
    return {name: tuple(header[name]["shape"]) for _, _, name in spans}


def _parsed(header: bytes) -> dict[str, Any]:
    try:
        found = json.loads(header)
    except (ValueError, RecursionError):
        raise ValueError("the header is no JSON") from None
    if not isinstance(found, dict):
        raise ValueError("the header is no JSON object")
    return found


def _span(name: str, found: Any) -> tuple[int, int]:
    """First and last byte of a tensor, as long as its shape says."""
    try:
        (first, last), shape, size = found["data_offsets"], found["shape"], SIZES[found["dtype"]]
        good = len(shape) <= MAX_DIMENSIONS and all(type(number) is int and 0 <= number < 1 << 62 for number in (first, last, *shape))
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(f"tensor {name!r}: expected dtype, shape and data_offsets, found others")
    if last - first != prod(shape) * size:
        raise ValueError(f"tensor {name!r}: shape {shape} takes {prod(shape) * size:,} bytes, its place has {last - first:,}")
    return first, last


def _check_spans(spans: list[tuple[int, int, str]], held: int) -> None:
    end = 0
    for first, last, name in spans:
        if first != end:
            raise ValueError(f"tensor {name!r}: starts at byte {first:,}, expected {end:,}")
        end = last
    if end != held:
        raise ValueError(f"the tensors take {end:,} bytes, the file holds {held:,}")
