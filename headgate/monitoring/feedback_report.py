"""What a collection of corrections and a look at the log did, in words."""

from collections.abc import Iterator, Mapping

from headgate.monitoring.feedback import Collected
from headgate.monitoring.queueing import Filled


def lines(collected: Collected, filled: Filled) -> Iterator[str]:
    """One line a fact, the first ones about corrections."""
    landed = sum(collected.landed.values())
    yield f"{collected.model}: {landed} correction(s) landed in {collected.dataset}{_told(collected.landed)}"
    for count, what in ((collected.waiting, "wait for their prediction"), (collected.superseded, "superseded by the same user")):
        if count:
            yield f"{count} {what}"
    if collected.held:
        yield f"{sum(collected.held.values())} held{_told(collected.held)}"
    if collected.still_held:
        yield f"{collected.still_held} held in all; look with `headgate feedback list --state held`, land with `headgate feedback release`"
    yield from (f"{count} refused: {reason}" for reason, count in collected.refused.items())
    yield f"queue: {filled.answers} answer(s) read, {filled.added} text(s) added, {filled.annotated} annotated meanwhile"
    if filled.waiting:
        yield f"queue now{_told(filled.waiting)}"
    for count, what in (
        (filled.without_text, "whose texts are not kept by the log"),
        (filled.in_regression_set, "that stand in the regression set"),
        (filled.own_messages, "that Headgate itself sends to test endpoints"),
    ):
        if count:
            yield f"not queued: {count} {what}"


def _told(counts: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{name} {count}' for name, count in counts.items())})" if counts else ""
