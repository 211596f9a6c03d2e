"""Opening tokenizer.json of somebody else: what would make a short text endless, or the reader run out of memory, is refused."""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from headgate.model.artifact import MAX_TEXT_BYTES, read_json

STEPS = ("normalizer", "pre_tokenizer", "post_processor")
MAX_STEP_VALUES = 2_000
MAX_GROWTH = 64


def open_tokenizer(file: Path) -> Tokenizer:
    """The tokenizer without padding and truncation, which are ours; ValueError says what is wrong with the file."""
    content = read_json(file, MAX_TEXT_BYTES)
    if not isinstance(content, dict):
        raise ValueError(f"expected an object, found {type(content).__name__}")
    steps = list(_values([content.get(name) for name in STEPS]))
    if len(steps) > MAX_STEP_VALUES:
        raise ValueError(f"expected at most {MAX_STEP_VALUES:,} values in {', '.join(STEPS)}, found {len(steps):,}")
    if (growth := prod(_growth(step) for step in steps if isinstance(step, dict))) > MAX_GROWTH:
        raise ValueError(f"expected steps that make a text at most {MAX_GROWTH} times longer, found {growth:,} times")
    try:
        return plain(Tokenizer.from_file(str(file)))
    except Exception as fault:  # the library raises no narrower class
        raise ValueError(str(fault)) from None


def plain(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer without padding and truncation."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _values(root: Any) -> Iterator[Any]:
    waiting = [root]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _growth(step: dict[str, Any]) -> int:
    """How many times longer one step can make a text, as far as its parameters say."""
    if step.get("type") == "ByteLevel":
        return 2
    if step.get("type") != "Replace":
        return 1
    pattern, content = step.get("pattern"), str(step.get("content"))
    literal = pattern.get("String") if isinstance(pattern, dict) else None
    return max(1, -(-len(content) // len(literal))) if isinstance(literal, str) and literal else 1 + len(content)
