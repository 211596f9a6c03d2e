"""Corrections become annotations: joined with the prediction log by prediction id, checked, limited, landed.

Every step is harmless to repeat, and what was decided is written down with its row before the row lands: killed between any two steps,
a collection loses nothing and lands nothing twice. It reads what is new, and the predictions of the days that it names.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from headgate.data.rows import AHEAD, normalised, parse_row
from headgate.data.text_ids import Frozen, Known, known_rows, text_group, text_id
from headgate.data.version import checked_name
from headgate.errors import BadInput, NotFound
from headgate.lake import Lake
from headgate.model.filters import normalise
from headgate.monitoring.corrections import Correction, Unreadable, arrived, mark_read
from headgate.monitoring.feedback_ledger import COUNTED, Entry, Ledger, by_state, changed
from headgate.monitoring.prediction_log import Prediction, find_predictions, keep_offsets, predicted_at, read_offsets
from headgate.record import Record
from headgate.settings import Feedback, ModelSettings

EXAMPLES = 5


class Collected(Record):
    """What a collection did. landed: rows by label; the others are corrections, by reason. files: keys in landing."""

    model: str
    dataset: str
    landed: dict[str, int] = Field(default_factory=dict)
    held: dict[str, int] = Field(default_factory=dict)
    waiting: int = 0
    refused: dict[str, int] = Field(default_factory=dict)
    superseded: int = 0
    files: tuple[str, ...] = ()
    still_held: int = 0

    @property
    def nothing(self) -> bool:
        """Whether nothing came and nothing changed."""
        return not (self.landed or self.held or self.refused or self.superseded or self.waiting)


def collect(lake: Lake, model: str, settings: ModelSettings, now: datetime) -> Collected:
    """Land every new correction that may become a row; says what landed, what is held, what waits and what was refused, and why."""
    ledger = Ledger(lake, model)
    offsets = f"feedback-offsets/{model}.json"
    opened = ledger.open()
    came = arrived(lake, model, read_offsets(lake, offsets), now, settings.feedback.look_back_days)
    known = {entry.key for entry in ledger.of_days([one.day for one in came.corrections] + [one.day for one in came.unreadable])}
    waiting = {entry.key: _correction(entry) for entry in opened if entry.state == "waiting"}
    new = [one for one in came.corrections if one.key not in known]
    judged = [_unreadable(one, now) for one in came.unreadable if one.key not in known]
    if asked := [*waiting.values(), *new]:
        judged += _judge(lake, ledger, model, settings, asked, now)
    ledger.write(entry for entry in judged if not (entry.state == "waiting" and entry.key in waiting))
    files = land_decided(lake, ledger, settings.dataset, now)
    mark_read(lake, model, came.files, now)
    keep_offsets(lake, offsets, came.offsets)
    before = [entry for entry in opened if entry.state != "waiting"]
    return _told(model, settings.dataset, before, judged, files)


def release_held(lake: Lake, model: str, dataset: str, keys: Collection[str], by: str, now: datetime) -> tuple[str, ...]:
    """Let held corrections land whatever the limit says; the keys of the files in landing. NotFound names those that are not held."""
    ledger = Ledger(lake, model)
    held = {entry.key: entry for entry in ledger.open() if entry.state == "held"}
    chosen = {name for wanted in keys for name in held if name.startswith(wanted)}
    if missing := sorted(wanted for wanted in keys if not any(name.startswith(wanted) for name in held)):
        raise NotFound(
            f"expected held corrections of model {model}, found none with {', '.join(missing)}; `headgate feedback list` shows them"
        )
    ledger.write(_batched([changed(held[name], now, state="decided", by=by, reason="released") for name in sorted(chosen)]))
    return land_decided(lake, ledger, dataset, now)


def land_decided(lake: Lake, ledger: Ledger, dataset: str, now: datetime) -> tuple[str, ...]:
    """Land what is decided and not landed, one file a batch, and say so; the keys of the files. A batch always lands as the same file."""
    batches: dict[str, list[Entry]] = {}
    for entry in by_state(ledger.open())("decided"):
        batches.setdefault(entry.batch or "", []).append(entry)
    files = []
    for entries in batches.values():
        data = "".join(f"{entry.row}\n" for entry in entries).encode()
        digest = hashlib.sha256(data).hexdigest()[:16]
        key = f"landing/{checked_name(dataset)}/{max(entry.at for entry in entries):%Y%m%dT%H%M%S.%f}-{digest}-corrections.jsonl"
        lake.put_if_absent(key, data)
        ledger.write(changed(entry, now, state="landed") for entry in entries)
        files.append(key)
    return tuple(files)


def judge(
    correction: Correction, prediction: Prediction | None, labels: Collection[str], feedback: Feedback, now: datetime
) -> tuple[str, str, str | None]:
    """The state of one correction by itself, the reason, and the text where it may become a row. Pure."""
    if labels and correction.label not in labels:
        return "refused", "unknown label", None
    if correction.ts > now + AHEAD:
        return "refused", "its time is in the future", None
    if prediction is None:
        if now - predicted_at(correction.prediction_id) < timedelta(days=feedback.wait_days):
            return "waiting", "its prediction is not in the lake yet", None
        return "refused", "no such prediction in the log", None
    if prediction.outcome == "skipped":
        return "refused", f"skipped as {prediction.reason}: no classifier read this text", None
    return _with_text(correction, prediction)


def _with_text(correction: Correction, prediction: Prediction) -> tuple[str, str, str | None]:
    """The text that was logged, or the one that the product sent if it is the one that was answered."""
    if prediction.text is not None:
        return "decided", "", prediction.text
    if correction.text is None:
        return (
            "refused",
            f"the log keeps {'only the hash' if prediction.hash else 'nothing'} of the text, and the correction brings none",
            None,
        )
    if prediction.hash and _logged_hash(correction.text) != prediction.hash:
        return "refused", "its text is not the one that was answered", None
    return "decided", "", correction.text


def _logged_hash(text: str) -> str:
    """As the prediction log has it."""
    return hashlib.sha256(normalise(text).encode("utf-8", "replace")).hexdigest()


def limited(entries: Iterable[Entry], before: Mapping[tuple[str, str], int], feedback: Feedback) -> list[Entry]:
    """The decided corrections in the order of time, those beyond a user's limit of the day held instead. Pure."""
    counts = Counter(before)
    found = []
    for entry in sorted(entries, key=lambda entry: (entry.ts, entry.key)):
        who = (entry.annotator, entry.day)
        allowed = feedback.max_per_annotator_per_day if entry.annotator else feedback.max_unnamed_per_day
        held = counts[who] >= allowed
        counts[who] += not held
        found.append(entry.model_copy(update={"state": "held", "reason": f"more than {allowed} of one day"}) if held else entry)
    return found


def newest(entries: Iterable[Entry]) -> list[Entry]:
    """Of one user's corrections of one row the latest; those before it are superseded. Pure."""
    last: dict[tuple[str, str], str] = {}
    ordered = sorted(entries, key=lambda entry: (entry.ts, entry.key))
    for entry in ordered:
        last[entry.annotator, _row_id(entry)] = entry.key
    old = {"state": "superseded", "reason": "the same user corrected it again", "row": None}
    return [entry if last[entry.annotator, _row_id(entry)] == entry.key else entry.model_copy(update=old) for entry in ordered]


def _judge(lake: Lake, ledger: Ledger, model: str, settings: ModelSettings, asked: list[Correction], now: datetime) -> list[Entry]:
    predictions = find_predictions(lake, model, {one.prediction_id for one in asked})
    alone = [(one, *judge(one, predictions.get(one.prediction_id), settings.labels, settings.feedback, now)) for one in asked]
    texts = {text for *_, text in alone if text is not None}
    frozen, there = Frozen(lake, settings.regression_set) if texts else None, known_rows(lake, settings.dataset, texts)
    entries = [_entry(one, state, reason, text, frozen, there, now) for one, state, reason, text in alone]
    decided = by_state(newest(by_state(entries)("decided")))
    counts = Counter((one.annotator, one.day) for one in ledger.of_days(one.day for one in asked) if one.state in COUNTED)
    kept = limited(decided("decided"), counts, settings.feedback)
    return [*_batched(kept), *decided("superseded"), *(entry for entry in entries if entry.state != "decided")]


def _entry(
    one: Correction, state: str, reason: str, text: str | None, frozen: Frozen | None, there: Mapping[str, Known], now: datetime
) -> Entry:
    row = None
    if text is not None:
        held = there.get(normalised(text))
        name, group = (held.id, held.group_id) if held else (text_id(text), text_group(text))
        if frozen and frozen.holds(text, group):
            state, reason = "refused", "its text or group is in the regression set"
        else:
            state, reason, row = _as_row(one, text, name, group)
    told = one.model_dump(include={"key", "prediction_id", "label", "annotator", "origin", "text", "ts"})
    return Entry.model_validate(told | {"day": one.day, "state": state, "reason": reason, "row": row, "at": now})


def _as_row(one: Correction, text: str, name: str, group: str) -> tuple[str, str, str | None]:
    raw: dict[str, Any] = {"id": name, "group_id": group, "text": text, "label": one.label, "source": "correction"}
    try:
        row = parse_row(raw | {"annotator": one.annotator, "annotated_at": one.ts})
    except BadInput as fault:
        return "refused", f"no row: {fault}", None
    return "decided", "", row.model_dump_json(exclude_none=True)


def _batched(entries: list[Entry]) -> list[Entry]:
    """The decided ones marked with the batch that they land in together."""
    digest = hashlib.sha256("".join(sorted(entry.key for entry in entries if entry.state == "decided")).encode()).hexdigest()[:16]
    return [entry.model_copy(update={"batch": digest}) if entry.state == "decided" else entry for entry in entries]


def _row_id(entry: Entry) -> str:
    return str(json.loads(entry.row or "{}")["id"])


def _correction(entry: Entry) -> Correction:
    return Correction(**entry.model_dump(include=set(Correction.model_fields)))


def _unreadable(one: Unreadable, now: datetime) -> Entry:
    return Entry(key=one.key, day=one.day, state="refused", reason=f"unreadable: {one.reason}", origin=one.origin, ts=one.ts, at=now)


def _told(model: str, dataset: str, before: list[Entry], judged: list[Entry], files: tuple[str, ...]) -> Collected:
    """before: what was held, or decided and not landed, when the collection began."""
    state = by_state(judged)
    landed = [*state("decided"), *by_state(before)("decided")]
    return Collected(
        model=model,
        dataset=dataset,
        landed=dict(sorted(Counter(entry.label for entry in landed).items())),
        held=dict(Counter(f"{entry.annotator or 'unnamed'}: {entry.reason}" for entry in state("held"))),
        waiting=len(state("waiting")),
        refused=dict(Counter(entry.reason for entry in state("refused")).most_common()),
        superseded=len(state("superseded")),
        files=files,
        still_held=len(by_state(before)("held")) + len(state("held")),
    )
