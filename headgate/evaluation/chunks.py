"""A big frozen set through endpoints, chunk by chunk: what was finished before a kill is not scored again."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from headgate.evaluation.asking import Chunk, Endpoint, score_chunk
from headgate.evaluation.chunk_files import ChunkFiles
from headgate.evaluation.scoring import Prediction, instance, predictions_frame

Answers = list[Prediction]


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows that have their answer, of all; `kept` of them were scored before this run began."""

    done: int
    total: int
    kept: int


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk's rows and where its answers are kept."""

    name: str
    number: int
    endpoint: Endpoint
    rows: list[dict[Any, Any]]
    files: ChunkFiles

    @property
    def ids(self) -> list[str]:
        """The rows' ids."""
        return [row["id"] for row in self.rows]


def score_in_chunks(
    endpoints: Mapping[str, Endpoint],
    frame: pd.DataFrame,
    data_digest: str,
    folder: Path,
    executor: Executor,
    chunk_rows: int = 1_000,
    chunks_at_once: int = 2,
    progress: Callable[[Tally], None] = lambda _: None,
) -> dict[str, pd.DataFrame]:
    """Score the same rows through each named endpoint; for each its predictions, in the form of `score_through`.

    The endpoints take turns chunk by chunk, so that models with servers of their own keep several cores busy. `data_digest` names the
    rows for ever. Finished chunks lie under `folder`, where the same call finds them again. `executor` runs `score_chunk`: threads
    here, or a Dask client's executor. `progress` is called at the start and after each chunk. Errors as `score_chunk`.
    """
    rows = frame.to_dict("records")
    files = {name: ChunkFiles(folder / name, one.bundle_digest, data_digest, chunk_rows) for name, one in endpoints.items()}
    parts = [
        Part(name, start // chunk_rows, endpoint, rows[start : start + chunk_rows], files[name])
        for start in range(0, len(rows), chunk_rows)
        for name, endpoint in endpoints.items()
    ]
    answers = {(part.name, part.number): found for part in parts if (found := part.files.read(part.number, part.ids)) is not None}
    kept = done = sum(map(len, answers.values()))
    total = len(rows) * len(endpoints)
    progress(Tally(done, total, kept))
    for part, found in _scored([part for part in parts if (part.name, part.number) not in answers], executor, chunks_at_once):
        part.files.write(part.number, part.ids, found)
        answers[part.name, part.number] = found
        done += len(found)
        progress(Tally(done, total, kept))
    return {name: predictions_frame(rows, _in_order(answers, name)) for name in endpoints}


def _scored(parts: list[Part], executor: Executor, at_once: int) -> Iterator[tuple[Part, Answers]]:
    """Each part with its answers as soon as it has them; what is not begun is given up when one fails."""
    waiting = iter(parts)
    running: dict[Future[Answers], Part] = {}
    try:
        while True:
            for part in islice(waiting, at_once - len(running)):
                running[executor.submit(score_chunk, Chunk(part.endpoint, tuple(map(instance, part.rows))))] = part
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        for future in running:
            future.cancel()


def _in_order(answers: Mapping[tuple[str, int], Answers], name: str) -> Answers:
    numbers = sorted(number for of, number in answers if of == name)
    return [prediction for number in numbers for prediction in answers[name, number]]
