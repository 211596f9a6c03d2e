"""From the prediction log to the queue: which answers are worth a label, and why.

Reasons: champion and challenger or shadow answered one text differently; the score is low; the text is unlike the training data; its slice
drifted; users corrected it and do not agree. Only texts that the log keeps in full can be put in, never those of the regression set,
none that is annotated already, but for those whose only labels are corrections that disagree, and none of the messages that Headgate itself
sends to test an endpoint.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from headgate.data.queue import REASONS, Queue, QueuedText, Reason
from headgate.data.table import DatasetTable
from headgate.data.text_ids import Frozen, annotated, text_group, text_id
from headgate.lake import Lake
from headgate.model.example_messages import EXAMPLES
from headgate.model.filters import normalise
from headgate.monitoring.feedback_ledger import COUNTED, Entry, Ledger
from headgate.monitoring.prediction_log import Prediction, keep_offsets, new_lines, predicted_at, prediction_of, read_offsets
from headgate.record import Record
from headgate.serving.identifiers import is_prediction_id
from headgate.settings import ModelSettings
from headgate.settings import Queue as QueueSettings

LEAST_NEED = 0.05
OVERLAP_PARTS = 1  # a text's other answer may have been shipped one round earlier
VERSION = "dataset version"
OWN_TEXTS = frozenset(normalise(example.text) for example in EXAMPLES)
OWN_HASHES = frozenset(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in OWN_TEXTS)
Drifted = Callable[[Prediction], bool]


class Filled(Record):
    """What a look at the log did. answers: lines read; added, waiting: texts by their main reason."""

    model: str
    answers: int = 0
    added: int = 0
    annotated: int = 0
    without_text: int = 0
    in_regression_set: int = 0
    own_messages: int = 0
    waiting: dict[str, int] = Field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether nothing changed."""
        return not (self.added or self.annotated)


def fill(lake: Lake, model: str, settings: ModelSettings, now: datetime, drifted: Drifted | None = None) -> Filled:
    """Put what is new in the log and worth a label into the queue, and take out what was annotated. Repeating it changes nothing."""
    queue, offsets_key = Queue(lake, model), f"queue-offsets/{model}.json"
    offsets = read_offsets(lake, offsets_key)
    look_back = settings.feedback.look_back_days
    lines, reached = new_lines(lake, "predictions", model, offsets, now.date(), look_back, overlap=OVERLAP_PARTS)
    read = [prediction_of(line) for line in lines]
    answers = [answer for answer in read if not is_own(answer)]
    found = worth_labelling(answers, settings.queue, now, drifted)
    found += disagreeing(Ledger(lake, model).of_days(f"{now - timedelta(days=back):%Y-%m-%d}" for back in range(look_back)), now)
    texts = queue.news(joined(found))
    newest = DatasetTable(lake, settings.dataset).latest()
    version = newest.version + 1 if newest else 0
    closed = _close_annotated(lake, queue, settings.dataset, now) if version != offsets.get(VERSION) else 0
    kept, frozen = _allowed(lake, settings, texts)
    added = queue.add(kept, settings.queue.max_rows)
    keep_offsets(lake, offsets_key, reached | {VERSION: version})
    return Filled(
        model=model,
        answers=len(read),
        added=added,
        annotated=closed,
        without_text=sum(answer.text is None and bool(_reasons(answer, settings.queue, drifted)) for answer in answers),
        in_regression_set=frozen,
        own_messages=len(joined(worth_labelling(filter(is_own, read), settings.queue, now, drifted))),
        waiting=dict(Counter(row.reason for row in queue.rows("open"))) if added or closed else {},
    )


def queue_slice(lake: Lake, model: str, settings: ModelSettings, now: datetime, drifted: Drifted, start: datetime, end: datetime) -> int:
    """Queue the texts answered from start to end that lie in a drifted slice, though the log was read beyond them; how many came in new.

    At most about 32 MB of the log are read. Repeating it changes nothing.
    """
    days = max(1, (now.date() - start.date()).days)
    lines, _ = new_lines(lake, "predictions", model, {}, now.date(), days)
    known = [line for line in lines if is_prediction_id(str(line.get("prediction_id")))]
    answers = [prediction_of(line) for line in known if start <= predicted_at(line["prediction_id"]) < end]
    slice_of = [
        answer for answer in answers if not is_own(answer) and answer.text is not None and answer.outcome != "skipped" and drifted(answer)
    ]
    queue = Queue(lake, model)
    texts = queue.news(joined(queued(answer, "drifted_slice", now) for answer in slice_of))
    return queue.add(_allowed(lake, settings, texts)[0], settings.queue.max_rows)


def is_own(answer: Prediction) -> bool:
    """Whether the text is one of Headgate's own, which the endpoint test sends; by its hash where the log keeps that alone. Pure."""
    return answer.hash in OWN_HASHES if answer.text is None else answer.text in OWN_TEXTS


def worth_labelling(
    answers: Iterable[Prediction], settings: QueueSettings, now: datetime, drifted: Drifted | None = None
) -> list[QueuedText]:
    """The texts of answers that are worth a label, once for each reason that was seen. Pure."""
    told = [answer for answer in answers if answer.text is not None and answer.outcome != "skipped"]
    found = [queued(answer, reason, now) for answer in told for reason in _reasons(answer, settings, drifted)]
    by_text: dict[str, dict[str, Prediction]] = {}
    for answer in told:
        by_text.setdefault(str(answer.text), {})[answer.cohort] = answer
    for cohorts in by_text.values():
        champion = cohorts.pop("champion", None)
        others = [other for other in cohorts.values() if champion and other.label != champion.label]
        if champion and others:
            said = ", ".join(f"{other.cohort} said {other.label}" for other in others)
            found.append(queued(champion, "disagreement", now, f"champion said {champion.label}, {said}"))
    return found


def queued(answer: Prediction, reason: Reason, now: datetime, told: str = "") -> QueuedText:
    """The text of an answer, to be labelled for a reason; the less sure the answer, the greater the need."""
    text = str(answer.text)
    need = 1.0 if answer.score is None else max(LEAST_NEED, 1 - answer.score)
    told = told or f"{reason.replace('_', ' ')}: {answer.label} at {answer.score or 0:.2f}"
    return QueuedText(
        id=text_id(text),
        text=text,
        group_id=text_group(text),
        label=answer.label,
        score=answer.score,
        reasons=(reason,),
        told=told,
        need=need,
        first_seen=now,
    )


def disagreeing(entries: Iterable[Entry], now: datetime) -> list[QueuedText]:
    """The texts that several users corrected to different labels, each user's latest label counted. Pure."""
    said: dict[str, dict[str, str]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for entry in sorted(entries, key=lambda entry: entry.ts):
        if entry.row is not None and entry.state in COUNTED:
            row = json.loads(entry.row)
            said.setdefault(row["id"], {})[entry.annotator] = entry.label
            rows[row["id"]] = row
    return [_disagreeing(rows[name], labels, now) for name, labels in said.items() if len(set(labels.values())) > 1]


def _disagreeing(row: Mapping[str, Any], labels: Mapping[str, str], now: datetime) -> QueuedText:
    counts = Counter(labels.values()).most_common()
    told = "corrected to " + ", ".join(f"{label} by {count}" for label, count in counts)
    same = {"id": row["id"], "text": row["text"], "group_id": text_group(row["text"]), "first_seen": now}
    return QueuedText(**same, label=counts[0][0], reasons=("corrections_disagree",), told=told, need=1.0)


def joined(texts: Iterable[QueuedText]) -> list[QueuedText]:
    """Each text once, with all its reasons. Pure."""
    found: dict[str, QueuedText] = {}
    for text in texts:
        found[text.group_id] = found[text.group_id].joined(text) if text.group_id in found else text
    return list(found.values())


def _reasons(answer: Prediction, settings: QueueSettings, drifted: Drifted | None) -> list[Reason]:
    """Why one answer by itself is worth a label."""
    if answer.outcome == "skipped":
        return []
    unsure = answer.reason == "low_confidence" or (answer.score is not None and answer.score < settings.uncertain_below)
    found = {"out_of_scope": answer.reason == "out_of_scope", "drifted_slice": bool(drifted and drifted(answer)), "low_confidence": unsure}
    return [reason for reason in REASONS if found.get(reason)]


def _allowed(lake: Lake, settings: ModelSettings, texts: list[QueuedText]) -> tuple[list[QueuedText], int]:
    """Those that may be labelled, and how many stand in the regression set."""
    if not texts:
        return [], 0
    frozen = Frozen(lake, settings.regression_set)
    free = [text for text in texts if not frozen.holds(text.text, text.group_id)]
    known = annotated(lake, settings.dataset, [text.text for text in free])
    return [text for text in free if not _settled(text, known)], len(texts) - len(free)


def _close_annotated(lake: Lake, queue: Queue, dataset: str, now: datetime) -> int:
    waiting = queue.rows("open", "exported")
    known = annotated(lake, dataset, [row.text for row in waiting])
    closed = [row for row in waiting if _settled(row, known)]
    queue.close(closed, now)
    return len(closed)


def _settled(text: QueuedText, known: Mapping[str, set[str]]) -> bool:
    """Whether the data set has a label for it that leaves no question."""
    sources = known.get(text.text, set())
    return bool(sources - {"correction"}) or (bool(sources) and "corrections_disagree" not in text.reasons)
