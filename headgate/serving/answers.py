"""An answer as it is sent and logged: written once, when it is scored, however often it is given."""

import hashlib

import orjson

from headgate.model.filters import normalise
from headgate.model.runtime import Message, Scored
from headgate.serving.config import LogText

OVERHEAD_BYTES = 500


class Answer:
    """One scored message: its JSON up to the prediction id, and the part of its log line that never changes."""

    __slots__ = ("label", "logged", "outcome", "reason", "score", "sent", "size")

    def __init__(self, scored: Scored, text_field: bytes) -> None:
        self.label, self.outcome, self.reason, self.score = scored.label or "", scored.outcome, scored.reason or "", scored.score
        self.sent = orjson.dumps(scored)[:-1] + b',"prediction_id":"'
        fields = {"label": scored.label, "score": scored.score, "outcome": scored.outcome, "reason": scored.reason}
        self.logged = orjson.dumps(fields)[1:-1] + text_field
        self.size = OVERHEAD_BYTES + len(self.sent) + len(self.logged)


def text_field(policy: LogText, message: Message) -> bytes:
    """What the log keeps of a text, as the end of a JSON line: nothing, its sha256 and how long it is, or all of it."""
    if policy == "none":
        return b""
    text = normalise(message.text).encode("utf-8", "replace").decode()
    field = {"text": text} if policy == "full" else {"hash": hashlib.sha256(text.encode()).hexdigest(), "characters": len(text)}
    return b"," + orjson.dumps(field)[1:-1]
