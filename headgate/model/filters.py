"""Pre-score and post-score filters: what is read of a message, and when its label is not to be trusted.

The same functions act in training (`current_reply` alone), in evaluation and in serving.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.model.language import other_language
from headgate.model.machine_mail import machine_mail
from headgate.model.reply import current_reply

__all__ = ["FilterConfig", "Prepared", "current_reply", "machine_mail", "normalise", "post_score", "pre_score"]


@dataclass(frozen=True, slots=True)
class FilterConfig:
    """Which filters act; travels in the bundle as filters.json. Confidence is a probability, length is in characters.

    out_of_scope_share: of texts like the training data, so many may be abstained from as out of scope; 0: none is ever.
    languages: ISO 639-1 codes, empty for any; a text that is surely in another is skipped.
    custom: the team's own filters in order, each {"class": "package.module:Class", "options": {...}}: `headgate.model.custom_filters`.
    """

    current_reply: bool = True
    machine_mail: bool = True
    max_characters: int = 20_000
    min_confidence: float = 0.35
    out_of_scope_share: float = 0.02
    languages: tuple[str, ...] = ()
    custom: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the classifier reads, or the reason why it reads nothing."""

    text: str
    reason: str | None = None


def normalise(text: str) -> str:
    """The text with one kind of line end and no outer white space: the form that is hashed, cached and scored."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def pre_score(config: FilterConfig, text: str, headers: Mapping[str, str] | None = None) -> Prepared:
    """Prepare one message; reasons are those of `machine_mail`, `empty`, `too_long` and `language`."""
    whole = normalise(text)
    if config.machine_mail and (reason := machine_mail(headers, whole)):
        return Prepared("", reason)
    reply = current_reply(whole) if config.current_reply else whole
    if not reply:
        return Prepared("", "empty")
    if len(reply) > config.max_characters:
        return Prepared("", "too_long")
    if config.languages and other_language(reply, config.languages):
        return Prepared("", "language")
    return Prepared(reply)


def post_score(config: FilterConfig, score: float, out_of_scope: bool = False) -> str | None:
    """`out_of_scope` if the text is unlike the training data, `low_confidence` if the best label's probability is below the bound."""
    if out_of_scope:
        return "out_of_scope"
    return "low_confidence" if score < config.min_confidence else None
