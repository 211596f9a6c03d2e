"""Reading what was shipped to the lake: the prediction log and the feedback, part by part, each line once.

Layout (see `shipping`): `<lake>/<kind>/<model>/date=YYYY-MM-DD/<file>/<offset>.jsonl`. Parts never change and follow one another, so that
a place in each file says all that was read. A prediction's id tells its time, and so the days whose parts may hold it.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Literal

import orjson

from headgate.errors import Conflict
from headgate.lake import Lake
from headgate.record import Record, canonical
from headgate.serving.identifiers import CROCKFORD, is_prediction_id

Kind = Literal["predictions", "feedback"]
Offsets = dict[str, int]
EVER = datetime.min.replace(tzinfo=UTC)
LATE = timedelta(minutes=5)  # between an answer and the opening of the file that holds it
SPAN = timedelta(hours=1)  # a file of one SageMaker capture is named by its first answer, and may hold later ones of the next day
MARK = b'"prediction_id":"'
ID_LENGTH = 35
MOST_BYTES = 32 * 2**20
OVERLAPPED = 64


class Prediction(Record):
    """One line of the prediction log; either the text or its hash is kept, or neither."""

    prediction_id: str
    cohort: str = "champion"
    release: str | None = None
    label: str | None = None
    score: float | None = None
    outcome: str = "scored"
    reason: str | None = None
    text: str | None = None
    hash: str | None = None
    characters: int | None = None


def predicted_at(prediction_id: str) -> datetime:
    """When a prediction was made, by its id, in UTC."""
    milliseconds = 0
    for character in prediction_id.rpartition("-")[2][:10]:
        milliseconds = milliseconds * 32 + CROCKFORD.index(character)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def find_predictions(lake: Lake, model: str, wanted: Collection[str]) -> dict[str, Prediction]:
    """The predictions with these ids, of those that are in the lake; reads the parts of their days only."""
    return {name: prediction_of(line) for name, line in find_lines(lake, model, wanted).items()}


def find_lines(lake: Lake, model: str, wanted: Collection[str]) -> dict[str, dict[str, Any]]:
    """The same with all that was logged, each with its `_origin`."""
    found: dict[str, dict[str, Any]] = {}
    days: dict[date, set[str]] = {}
    for name in wanted:
        if is_prediction_id(name):
            days.setdefault(predicted_at(name).date(), set()).add(name)
    for day, names in sorted(days.items()):
        for near, since, asked in _where(day, names):
            if missing := asked - found.keys():
                found |= _of_day(lake, model, near, missing, since)
    return found


def new_lines(
    lake: Lake, kind: Kind, model: str, offsets: Mapping[str, int], today: date, days: int, most_bytes: int = MOST_BYTES, overlap: int = 0
) -> tuple[list[dict[str, Any]], Offsets]:
    """The lines beyond the offsets in the files of the last days, each with its `_origin`, and the offsets after them.

    At most about most_bytes are read, the oldest first; the next look goes on from there. overlap: so many parts before the new ones of
    a day are read again, of files with one part alone only the last OVERLAPPED. Offsets of older files are dropped. A line that is no
    JSON object is left out.
    """
    lines: list[dict[str, Any]] = []
    reached: Offsets = {}
    left = most_bytes
    for back in range(days, -2, -1):  # tomorrow too: another machine's clock may be ahead
        keys = _parts(lake, kind, model, today - timedelta(days=back))
        reached |= {file: offsets.get(file, 0) for file in {_place(key)[0] for key in keys}}
        fresh = [key for key in keys if _place(key)[1] >= offsets.get(_place(key)[0], 0)]
        for key in (*_before(keys, fresh, overlap), *fresh):
            if left <= 0:
                break
            data = lake.read(key)
            lines += _objects(data, key)
            left -= len(data)
            file, offset = _place(key)
            reached[file] = max(reached[file], offset + len(data))
    return lines, reached


def _before(keys: list[str], fresh: list[str], overlap: int) -> list[str]:
    """The last parts of each file that were read before, where the day has new ones.

    A day may have thousands of files with one part, one for each capture of SageMaker; only the newest of those are read again.
    """
    if not fresh or not overlap:
        return []
    old: dict[str, list[str]] = {}
    for key in sorted(set(keys) - set(fresh)):
        old.setdefault(_place(key)[0], []).append(key)
    skipped = {*[name for name, parts in old.items() if len(parts) == 1][:-OVERLAPPED]}
    return [key for name, parts in old.items() if name not in skipped for key in parts[-overlap:]]


def read_offsets(lake: Lake, key: str) -> Offsets:
    """The offsets that a record keeps; none before the first."""
    entry = lake.get(key)
    return dict(json.loads(entry.data)) if entry else {}


def keep_offsets(lake: Lake, key: str, offsets: Offsets) -> None:
    """Keep how far each file was read; of two readers at once the one that is further counts for each file."""
    while True:
        entry = lake.get(key)
        before: Offsets = json.loads(entry.data) if entry else {}
        kept = {file: max(offset, before.get(file, 0)) for file, offset in offsets.items()}
        try:
            if kept != before:
                lake.compare_and_swap(key, canonical(kept), entry.tag if entry else None)
            return
        except Conflict:
            continue


def prediction_of(line: Mapping[str, Any]) -> Prediction:
    """The fields of a log line that are read here."""
    return Prediction.model_validate({name: line[name] for name in Prediction.model_fields if name in line})


def _where(day: date, names: set[str]) -> Iterator[tuple[date, datetime, set[str]]]:
    """The days whose files may hold a day's predictions, since when those were opened, and which of the predictions."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    yield day, EVER, names
    yield day + timedelta(days=1), EVER, names  # a file is named by the day on which it was written, a moment later
    yield day - timedelta(days=1), midnight - SPAN, {name for name in names if predicted_at(name) - midnight < SPAN}


def _of_day(lake: Lake, model: str, day: date, names: set[str], since: datetime) -> dict[str, dict[str, Any]]:
    """The newest parts first: of thousands of small files it is the one opened just before a prediction that holds it."""
    latest = max(map(predicted_at, names)) + LATE
    found: dict[str, dict[str, Any]] = {}
    for key in reversed(_parts(lake, "predictions", model, day)):
        if not since <= _opened_at(key) <= latest:
            continue
        for line in lake.read(key).split(b"\n"):
            at = line.find(MARK) + len(MARK)
            if (name := line[at : at + ID_LENGTH].decode("ascii", "replace")) in names:
                with suppress(orjson.JSONDecodeError):  # a line that somebody else wrote
                    found[name] = {**orjson.loads(line), "_origin": key}
        if len(found) == len(names):
            break
    return found


def _parts(lake: Lake, kind: Kind, model: str, day: date) -> list[str]:
    return lake.keys(f"{kind}/{model}/date={day:%Y-%m-%d}")


def _place(key: str) -> tuple[str, int]:
    """The file, as date and name, and the byte of it that a part begins with."""
    path = PurePosixPath(key)
    return "/".join(path.parts[-3:-1]), int(path.stem)


def _opened_at(key: str) -> datetime:
    return predicted_at(PurePosixPath(key).parent.name)


def _objects(data: bytes, key: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(found, dict):
            yield {**found, "_origin": f"{key}:{number}"}
