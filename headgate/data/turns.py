"""One process at a time, by a record in the lake: for what must not be done twice at once and cannot be told afterwards.

A process that is killed never ends its turn, so a turn is over after TURN in any case; whoever takes longer is not alone any more.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from headgate.errors import Conflict
from headgate.lake import Lake
from headgate.record import Record

TURN = timedelta(hours=6)


class Turn(Record):
    """Whose turn it is, and until when; nobody's where it is over."""

    holder: str
    until: datetime


@contextmanager
def turn(lake: Lake, key: str, now: datetime | None = None) -> Iterator[bool]:
    """Whether it is this caller's turn at the record with this key, until the block ends."""
    now = now or datetime.now(UTC)
    mine = Turn(holder=uuid4().hex, until=now + TURN)
    if not _taken(lake, key, mine, now):
        yield False
        return
    try:
        yield True
    finally:
        _end(lake, key, mine, now)


def _taken(lake: Lake, key: str, mine: Turn, now: datetime) -> bool:
    """Exactly one of several callers hears True: the record is swapped as it was read."""
    entry = lake.get(key)
    if entry is not None and Turn.model_validate_json(entry.data).until > now:
        return False
    try:
        lake.compare_and_swap(key, mine.model_dump_json().encode(), entry.tag if entry else None)
    except Conflict:
        return False
    return True


def _end(lake: Lake, key: str, mine: Turn, now: datetime) -> None:
    """Give the turn back, unless it was over and is another's by now."""
    entry = lake.get(key)
    if entry is not None and Turn.model_validate_json(entry.data).holder == mine.holder:
        with suppress(Conflict):
            lake.compare_and_swap(key, mine.model_copy(update={"until": now}).model_dump_json().encode(), entry.tag)
