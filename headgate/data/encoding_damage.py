"""Texts whose characters were lost or read in the wrong encoding on their way."""

from ftfy.badness import is_bad

LOST = "\N{REPLACEMENT CHARACTER}"


def is_damaged(text: str) -> bool:
    """Whether a text holds replacement characters or mojibake (UTF-8 read as something else, once or twice), by ftfy's heuristic."""
    return not text.isascii() and (LOST in text or is_bad(text))
