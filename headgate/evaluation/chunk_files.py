"""Finished chunks of scored rows in a folder: written whole or not at all, and read only as they were written."""

import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from headgate.evaluation.scoring import Prediction

FORMAT = 1
_strings = ("id", "label", "outcome", "reason", "prediction_id")
SCHEMA = pa.schema([*((name, pa.string()) for name in _strings), ("score", pa.float64())])
_predictions = TypeAdapter(list[Prediction])


class ChunkFiles:
    """The finished chunks of one bundle's answers to one frozen set, cut into chunks of one size.

    The folder is named by all that its content depends on, and each file `NNNNNN-<16 hex digits of its sha256>.parquet`, so that a
    damaged file is not read but scored again.
    """

    def __init__(self, folder: Path, bundle_digest: str, data_digest: str, chunk_rows: int) -> None:
        self.folder = folder / f"{bundle_digest[:16]}-{data_digest[:16]}-{chunk_rows}-v{FORMAT}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._files: dict[int, list[Path]] = defaultdict(list)
        for file in sorted(self.folder.glob("[0-9]*-*.parquet")):
            self._files[int(file.name.partition("-")[0])].append(file)

    def read(self, number: int, ids: Sequence[str]) -> list[Prediction] | None:
        """The predictions of a finished chunk whose rows have these ids; None where there is none, or it was damaged."""
        for file in self._files.get(number, ()):
            content = file.read_bytes()
            if file.name == _name(number, content) and (found := _parsed(content, ids)) is not None:
                return found
            file.unlink(missing_ok=True)
        return None

    def write(self, number: int, ids: Sequence[str], predictions: Sequence[Prediction]) -> None:
        """Keep a finished chunk; after a kill at any point it is there whole or not at all."""
        lines = [{"id": row, **prediction.model_dump()} for row, prediction in zip(ids, predictions, strict=True)]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(lines, schema=SCHEMA), buffer)
        content = buffer.getvalue()
        partial = self.folder / f".{number:06d}-{os.getpid()}.tmp"
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self.folder / _name(number, content))


def _name(number: int, content: bytes) -> str:
    return f"{number:06d}-{hashlib.sha256(content).hexdigest()[:16]}.parquet"


def _parsed(content: bytes, ids: Sequence[str]) -> list[Prediction] | None:
    """The predictions in a file's content; None where it is of other rows or in another form."""
    try:
        table = pq.read_table(io.BytesIO(content), schema=SCHEMA)
        return _predictions.validate_python(table.to_pylist()) if table["id"].to_pylist() == list(ids) else None
    except (pa.ArrowException, ValidationError):
        return None
