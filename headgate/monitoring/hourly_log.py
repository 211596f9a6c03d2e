"""The counted hours in the lake, and the log read into them: each line once, whatever is killed.

A day's record `<lake>/watching/<model>/hours/YYYY-MM-DD.json` holds the hours that the log files of that day told of *and* how far each
file was read.
Both are written in one compare-and-swap, so that no line is counted twice or left out.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

from pydantic import Field, ValidationError

from headgate.lake import Entry, Lake
from headgate.monitoring.hours import Hour, merged
from headgate.monitoring.prediction_log import MOST_BYTES, Offsets, Prediction, new_lines, predicted_at, prediction_of
from headgate.record import Record
from headgate.serving.identifiers import is_prediction_id

CountHours = Callable[[list[Prediction]], list[Hour]]
DATE = "date="


class CountedDay(Record):
    """What the log files of one day told, and the byte of each that was reached."""

    hours: tuple[Hour, ...] = ()
    offsets: Offsets = Field(default_factory=dict)


class Read(Record):
    """What a look did. behind: it ended at its limit, and the next look goes on from there."""

    answers: int = 0
    looks: int = 0
    behind: bool = False


def read_log(lake: Lake, model: str, count: CountHours, today: date, days: int, most_looks: int, most_bytes: int = MOST_BYTES) -> Read:
    """Count what is new in the log of the last days: at most most_looks times about most_bytes. Conflict where another look wrote first."""
    answers = 0
    for look in range(1, most_looks + 1):
        kept = {day: _day(lake, model, day) for day in _days(today, days)}
        offsets = {file: at for counted, _ in kept.values() for file, at in counted.offsets.items()}
        lines, reached = new_lines(lake, "predictions", model, offsets, today, days, most_bytes)
        by_day: dict[str, list[Prediction]] = defaultdict(list)
        for line in lines:
            by_day[_day_of(line["_origin"])] += _readable(line)
        moved = {day for file, at in reached.items() if at != offsets.get(file, 0) for day in [_day_of(file)]}
        for day in sorted(moved):
            counted, entry = kept[day]
            new = CountedDay(
                hours=tuple(merged([*counted.hours, *count(by_day[day])])),
                offsets=counted.offsets | {file: at for file, at in reached.items() if _day_of(file) == day},
            )
            lake.compare_and_swap(_key(model, day), new.to_bytes(), entry.tag if entry else None)
        answers += len(lines)
        if not moved:
            return Read(answers=answers, looks=look)
    return Read(answers=answers, looks=most_looks, behind=True)


def counted_hours(lake: Lake, model: str, first: date, last: date) -> list[Hour]:
    """The counted hours of the files of these days, each hour of each release once."""
    days = ((first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1))
    return merged(hour for day in days for hour in _day(lake, model, day)[0].hours)


def _readable(line: dict[str, Any]) -> list[Prediction]:
    """The prediction of a line, or none: one line that somebody else wrote must not end the watch."""
    name = str(line.get("prediction_id"))
    if not is_prediction_id(name) or abs((predicted_at(name).date() - date.fromisoformat(_day_of(line["_origin"]))).days) > 1:
        return []
    try:
        found = prediction_of(line)
    except ValidationError:
        return []
    return [found] if (found.characters or 0) >= 0 and 0 <= (found.score or 0) <= 1 else []


def _days(today: date, days: int) -> Iterable[str]:
    """As `new_lines` looks: tomorrow too, since another machine's clock may be ahead."""
    return ((today - timedelta(days=back)).isoformat() for back in range(days, -2, -1))


def _day(lake: Lake, model: str, day: str) -> tuple[CountedDay, Entry | None]:
    entry = lake.get(_key(model, day))
    return (CountedDay.model_validate_json(entry.data) if entry else CountedDay()), entry


def _key(model: str, day: str) -> str:
    return f"watching/{model}/hours/{day}.json"


def _day_of(place: str) -> str:
    """The day in a file's place or a line's origin."""
    return place[place.index(DATE) + len(DATE) :][:10]
