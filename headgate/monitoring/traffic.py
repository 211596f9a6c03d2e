"""One look at the traffic of a model's champion: what its newest whole window is like, and what that was compared with."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import Field

from headgate.monitoring.calibrated_drift import BLOCKS, EMBEDDING, Block, Drift, block_number, block_start, blocks_of, judge, rows_of
from headgate.monitoring.drift import Counts, Shift, compare_counts
from headgate.monitoring.estimated_accuracy import Corrected, Estimate, estimated
from headgate.monitoring.hours import NUMBERS, OF_ANSWER, OF_TEXT, Hour
from headgate.monitoring.prediction_log import LATE
from headgate.record import Record
from headgate.release.champion import Champion
from headgate.settings import Watch

COLUMNS = (*OF_ANSWER, *OF_TEXT)


class Traffic(Record):
    """What a look found. Times in UTC; the window is [start, end), the reference [reference_start, start).

    own: answers to Headgate's own messages and to regression rows, set aside. drifts: the columns that were judged; not_judged: the
    others, each with
    the reason. training: shifts of the columns against the champion's training rows, where its own history is too short; never an alarm.
    """

    model: str
    release: str
    since: datetime
    at: datetime
    start: datetime
    end: datetime
    reference_start: datetime
    answers: int
    own: int
    drifts: tuple[Drift, ...] = ()
    not_judged: dict[str, str] = Field(default_factory=dict)
    references: dict[str, str] = Field(default_factory=dict)
    training: tuple[Shift, ...] = ()
    training_version: str = ""
    estimate: Estimate | None = None
    estimate_before: Estimate | None = None
    corrected: Corrected | None = None
    corrected_before: Corrected | None = None
    behind: bool = False


class Span(NamedTuple):
    """The blocks of a look: the reference begins with `first`, the window is [window, end)."""

    first: int
    window: int
    end: int


def span_of(now: datetime, watch: Watch) -> Span:
    """The newest window whose answers are all logged by now, and the reference before it."""
    end = block_number(now - LATE, watch.block_hours)
    reference = timedelta(days=watch.reference_days) // timedelta(hours=watch.window_hours) * BLOCKS
    return Span(end - BLOCKS - reference, end - BLOCKS, end)


def look(champion: Champion, hours: Sequence[Hour], watch: Watch, now: datetime, unmeasured: dict[str, str]) -> Traffic:
    """Judge the newest window of a champion. Pure. hours: of all releases; unmeasured: columns that cannot be told here, and why.

    What the texts are like does not depend on who answers, so the reference of those columns goes back beyond the promotion; that of the
    answers' columns is this release's alone.
    """
    span = span_of(now, watch)
    start, end, first = (block_start(number, watch.block_hours) for number in (span.window, span.end, span.first))
    mine = [hour for hour in hours if hour.release == champion.release]
    blocks = {True: blocks_of(mine, watch.block_hours, *span[::2]), False: blocks_of(hours, watch.block_hours, *span[::2])}
    histories: dict[str, list[Block]] = {}
    windows: dict[str, list[Block]] = {}
    references, not_judged = {}, {}
    for column in COLUMNS:
        found = blocks[column in OF_ANSWER]
        history, windows[column] = _begun(found[:-BLOCKS], column, champion.since, watch), found[-BLOCKS:]
        whole = len(history) // BLOCKS
        whose = "this release's" if column in OF_ANSWER else "the champions'"
        references[column] = f"{whose} own traffic, {whole} window(s) from {_day(history, watch) if history else 'none'}"
        if why := _why_not(column, history, windows[column], watch, unmeasured):
            not_judged[column] = why
        else:
            histories[column] = history
    in_window = [hour for hour in mine if start <= hour.hour < end]
    before = [hour for hour in mine if max(first, champion.since) <= hour.hour < start]
    return Traffic(
        model=champion.model,
        release=champion.release,
        since=champion.since,
        at=now,
        start=start,
        end=end,
        reference_start=first,
        answers=sum(hour.answers for hour in in_window),
        own=sum(hour.own for hour in in_window),
        drifts=_judged(histories, windows, watch),
        not_judged=not_judged,
        references=references,
        estimate=estimated(in_window),
        estimate_before=estimated(before),
    )


def against_training(traffic: Traffic, hours: Sequence[Hour], training: dict[str, Counts]) -> tuple[Shift, ...]:
    """How the window differs from training rows, in the columns that could not be judged. Pure; no such difference is an alarm."""
    mine = [hour for hour in hours if hour.release == traffic.release and traffic.start <= hour.hour < traffic.end]
    now: dict[str, dict[str, int]] = {}
    for hour in mine:
        for column in traffic.not_judged.keys() & training.keys():
            into = now.setdefault(column, {})
            for name, rows in hour.counts.get(column, {}).items():
                into[name] = into.get(name, 0) + rows
    return compare_counts(training, {column: counts for column, counts in sorted(now.items()) if counts}, NUMBERS)


def _judged(histories: dict[str, list[Block]], windows: dict[str, list[Block]], watch: Watch) -> tuple[Drift, ...]:
    if not histories:
        return ()
    return judge(histories, windows, watch.false_alarm_share, watch.min_psi)


def _begun(blocks: list[Block], column: str, since: datetime, watch: Watch) -> list[Block]:
    """The whole windows before the judged one: from the first block that has rows, of answers' columns from the promotion on."""
    first = next((at for at, block in enumerate(blocks) if rows_of([block], column)), len(blocks))
    while first < len(blocks) and (
        blocks[first].place != blocks[0].place or (column in OF_ANSWER and block_start(blocks[first].number, watch.block_hours) < since)
    ):
        first += 1
    return blocks[first:]


def _why_not(column: str, history: Sequence[Block], window: Sequence[Block], watch: Watch, unmeasured: dict[str, str]) -> str:
    rows, least = rows_of(window, column), min(watch.min_answers, 100) if column == EMBEDDING else watch.min_answers
    if rows == 0 and column in unmeasured:
        return f"not measured: {unmeasured[column]}"
    if rows < least:
        return f"expected at least {least} answers in the window, found {rows}"
    if (whole := len(history) // BLOCKS) < watch.min_history_windows:
        return f"expected {watch.min_history_windows} windows of history, found {whole}"
    if rows_of(history, column) < least:
        return f"expected at least {least} answers in the history, found {rows_of(history, column)}"
    return ""


def _day(history: Sequence[Block], watch: Watch) -> str:
    return f"{block_start(history[0].number, watch.block_hours).astimezone(UTC):%Y-%m-%d %H:%M}"
