"""A logged prediction made again, offline, by the bundle that made it: does it answer the same?"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Literal

from headgate.errors import BadInput, NotFound
from headgate.evaluation.endpoint import TOLERANCE
from headgate.model.filters import normalise
from headgate.model.runtime import Message, Runtime
from headgate.monitoring.provenance import Traced
from headgate.record import Record


class Replay(Record):
    """What the bundle answers now, and how that differs from the log; `checked` says whether the text is known to be the same."""

    same: bool
    differences: tuple[str, ...]
    label: str | None
    score: float | None
    scores: dict[str, float]
    outcome: str
    reason: str | None
    text_from: Literal["log", "given"]
    checked: bool


def replay(traced: Traced, text: str | None, headers: Mapping[str, str] | None = None) -> Replay:
    """Score the logged text, or the given one, with the bundle of the prediction; scores may differ by 0.001.

    NotFound where the bundle or the text is not at hand, BadInput where the given text is not the one that was answered.
    """
    if traced.bundle is None:
        raise NotFound(f"nothing can be replayed without the bundle. {' '.join(traced.provenance.unknown)}")
    line = traced.line
    whole = _text(traced.provenance.prediction_id, line, text)
    (answer,) = Runtime.load(traced.bundle).score([Message(whole, dict(headers) if headers else None)])
    now = {"label": answer.label, "score": answer.score, "outcome": answer.outcome, "reason": answer.reason}
    differences = [f"{name}: logged {line.get(name)!r}, now {now[name]!r}" for name in now if not _same(line.get(name), now[name])]
    if differences and headers is None and line["outcome"] == "skipped":
        differences.append("headers are not logged and decide what is machine mail: give the message's with --header 'Name: value'")
    return Replay(
        same=not differences,
        differences=tuple(differences),
        scores=answer.scores,
        text_from="log" if text is None else "given",
        checked=text is None or "text" in line or "hash" in line,
        **now,
    )


def _text(prediction_id: str, line: dict[str, Any], given: str | None) -> str:
    """The text to score; of a given one it is made sure that it is the logged one, as far as the log tells."""
    if given is None:
        if "text" in line:
            return str(line["text"])
        kept = "its sha256 only" if "hash" in line else "nothing of it"
        raise NotFound(
            f"prediction {prediction_id}: expected its text in the log, found {kept}; give the text with --text TEXT, or --text - "
            "for stdin (servers with --log-text full log it)"
        )
    wanted = _hash(line["text"]) if "text" in line else line.get("hash")
    if wanted not in (None, found := _hash(normalise(given))):
        raise BadInput(
            f"prediction {prediction_id} was made for a text with sha256 {wanted[:12]}, found {found[:12]}: "
            "give the text as it was sent, before any filter"
        )
    return given


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _same(logged: Any, now: Any) -> bool:
    if isinstance(logged, int | float) and isinstance(now, int | float):
        return math.isclose(logged, now, abs_tol=TOLERANCE)
    return bool(logged == now)
