"""Progress of a training: a bar where a person watches, nothing elsewhere."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tqdm import tqdm  # type: ignore[import-untyped]  # ships no types

from headgate.model.compute import choose_compute

if TYPE_CHECKING:
    from headgate.model.training import Epoch


@contextmanager
def shown(progress: "Callable[[Epoch], None] | None") -> "Iterator[Callable[[Epoch], None] | None]":
    """The caller's own progress if there is one; else a bar if standard error is a terminal and this is the first process."""
    if progress is not None or not _watched():
        yield progress
        return
    with tqdm(unit="epoch", desc="training", leave=False, dynamic_ncols=True) as bar:
        yield lambda epoch: _show(bar, epoch)


def _watched() -> bool:
    """A worker of a parallel grid search shares its parent's terminal, and a second bar there would garble the first."""
    first = multiprocessing.current_process().name == "MainProcess" and choose_compute().rank == 0
    return first and sys.stderr is not None and sys.stderr.isatty()


def _show(bar: tqdm, epoch: "Epoch") -> None:
    bar.total, bar.n = epoch.epochs, epoch.number
    bar.set_postfix_str(f"loss {epoch.loss:.3f}, {epoch.examples_per_second:.0f} rows/s", refresh=False)
    bar.refresh()
