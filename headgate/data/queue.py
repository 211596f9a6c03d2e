"""The queue: texts of production that annotators should label next, each once and with its reasons, in the table `<lake>/queue/<model>`.

A text is open, then exported, and leaves the queue when its annotation is in the data set. Its id is the one that a row of this text
has when it lands without an id, so that whatever way an annotation comes back, it meets its text.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import pyarrow as pa

from headgate.data import delta
from headgate.data.queue_order import in_order, text_vectors
from headgate.data.version import checked_name
from headgate.lake import Lake
from headgate.record import Record
from headgate.settings import Queue as QueueSettings
from headgate.settings import QueueReason

Reason = QueueReason
REASONS: tuple[Reason, ...] = get_args(Reason)
TIME = pa.timestamp("us", "UTC")
TEXTS = ("id", "text", "group_id", "label", "reasons", "told", "state")
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in TEXTS),
        *((name, pa.float64()) for name in ("score", "need")),
        *((name, TIME) for name in ("first_seen", "exported_at", "annotated_at")),
    ]
)


class QueuedText(Record):
    """A text to be labelled. label, score: what was answered. told: the reasons in words. need: how much a label would help, 0 to 1."""

    id: str
    text: str
    group_id: str
    label: str | None = None
    score: float | None = None
    reasons: tuple[Reason, ...]
    told: str = ""
    need: float
    state: Literal["open", "exported", "annotated"] = "open"
    first_seen: datetime
    exported_at: datetime | None = None
    annotated_at: datetime | None = None

    @property
    def reason(self) -> Reason:
        """The reason that it is counted by."""
        return self.reasons[0]

    def learns(self, other: "QueuedText") -> bool:
        """Whether another look tells a reason that is news: of an annotated text only that users disagree about it."""
        news = {*other.reasons} - {*self.reasons}
        return bool(news) and (self.state != "annotated" or "corrections_disagree" in news)

    def joined(self, other: "QueuedText") -> "QueuedText":
        """This text with what was seen of it again; where that is news of an annotated text, it is open again."""
        reasons = tuple(reason for reason in REASONS if reason in {*self.reasons, *other.reasons})
        told = "; ".join(dict.fromkeys(part for part in (*self.told.split("; "), *other.told.split("; ")) if part))
        state = "open" if self.state == "annotated" and self.learns(other) else self.state
        return self.model_copy(update={"reasons": reasons, "told": told, "need": max(self.need, other.need), "state": state})


class Queue:
    """The queue of one model; writers in several processes lose nothing."""

    def __init__(self, lake: Lake, model: str) -> None:
        self.lake, self.model = lake, model
        self.key = f"queue/{checked_name(model)}"

    def rows(self, *states: str) -> list[QueuedText]:
        """The texts in these states, in the order of their ids; all without a state."""
        table = delta.open_table(self.lake, self.key)
        return sorted(_texts(table, states), key=lambda row: row.id) if table else []

    def news(self, texts: Collection[QueuedText]) -> list[QueuedText]:
        """Those that `add` would put in or learn something of."""
        known = {row.group_id: row for row in self.rows()} if texts else {}
        return [text for text in texts if text.group_id not in known or known[text.group_id].learns(text)]

    def add(self, texts: Iterable[QueuedText], most_open: int) -> int:
        """Put texts in, those with the greatest need where not all have room; a known one learns its new reasons. Says how many are new."""
        wanted = {text.group_id: text for text in texts}
        return delta.retried(lambda: self._add_once(wanted, most_open)) if wanted else 0

    def export(self, texts: Collection[QueuedText], at: datetime) -> None:
        """Say that annotators have these texts."""
        self._write([text.model_copy(update={"state": "exported", "exported_at": at}) for text in texts])

    def close(self, texts: Collection[QueuedText], at: datetime) -> None:
        """Say that these texts are annotated."""
        self._write([text.model_copy(update={"state": "annotated", "annotated_at": at}) for text in texts])

    def next_batch(self, settings: QueueSettings, count: int, now: datetime, again_after: timedelta | None = None) -> list[QueuedText]:
        """The texts to label next, the most useful first; with again_after also those that annotators have had for longer than that."""
        waiting = self.rows("open", "exported")
        late = {row.id for row in waiting if again_after is not None and row.exported_at and now - row.exported_at >= again_after}
        texts = [row for row in waiting if row.state == "open" or row.id in late]
        away = [row.text for row in waiting if row.state == "exported" and row.id not in late]
        return ordered(texts, settings.shares, count, away)

    def _add_once(self, wanted: Mapping[str, QueuedText], most_open: int) -> int:
        table = delta.open_table(self.lake, self.key)
        known = {row.group_id: row for row in _texts(table, ())} if table else {}
        room = max(0, most_open - sum(row.state == "open" for row in known.values()))
        new = sorted((text for group, text in wanted.items() if group not in known), key=lambda text: (-text.need, text.id))[:room]
        again = [known[group].joined(text) for group, text in wanted.items() if group in known and known[group].learns(text)]
        changed = [*new, *again]
        if changed and table:
            delta.upsert(self.lake, self.key, table, _table(changed), ("id",), {})
        elif changed:
            delta.create(self.lake, self.key, _table(changed), {})
        return len(new)

    def _write(self, texts: list[QueuedText]) -> None:
        if not texts:
            return

        def once() -> None:
            table = delta.open_table(self.lake, self.key)
            assert table is not None
            delta.upsert(self.lake, self.key, table, _table(texts), ("id",), {})

        delta.retried(once)


def ordered(
    texts: list[QueuedText],
    shares: Mapping[str, float],
    count: int,
    away: Sequence[str] = (),
    vectors_of: Callable[[Sequence[str]], Any] = text_vectors,
) -> list[QueuedText]:
    """The `count` texts to label next, unlike one another and unlike those that annotators have already. Pure."""
    if not texts or not count:
        return []
    needs, reasons = [text.need for text in texts], [text.reason for text in texts]
    found = in_order(needs, reasons, shares, count, lambda rows: vectors_of([*(texts[row].text for row in rows), *away]), bool(away))
    return [texts[number] for number in found]


def _texts(table: Any, states: Collection[str]) -> list[QueuedText]:
    rows = delta.read(table, SCHEMA).to_pylist()
    return [QueuedText(**row | {"reasons": json.loads(row["reasons"])}) for row in rows if not states or row["state"] in states]


def _table(texts: Iterable[QueuedText]) -> pa.Table:
    return pa.Table.from_pylist([text.model_dump() | {"reasons": json.dumps(text.reasons)} for text in texts], schema=SCHEMA)
