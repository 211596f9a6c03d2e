"""Cutting a mail down to what its writer says now: without quoted history, signature and disclaimer.

Works line by line, looks at a bounded part of each line and at a bounded number of lines ahead, and never goes back:
time is linear in length on every input.
"""

import re
from collections.abc import Iterator
from itertools import takewhile

from headgate.model.mail_words import (
    CLOSINGS,
    FORWARDED,
    FROM,
    HEADER,
    LEGAL,
    NOTICES,
    OPENERS,
    PRODUCTS,
    SENT_FROM,
    SENT_FROM_ENDS,
    SEPARATORS,
    TELLING,
    THANKS,
    WROTE,
)

LOOK = 400
LONGEST_MARK = 60
SHORTEST_SENT_FROM = 8
LONGEST_SENT_FROM = 90
SHORTEST_ATTRIBUTION = 8
ATTRIBUTION_LINES = 4
SIGNATURE_LINES = 14
NOTICE_LINES = 8
SHORTEST = min(map(len, SEPARATORS))
SIGNATURE_MARKS = ("--", "---", "__", "—")
HEADER_LABEL = re.compile(r"[*_ \t]{0,4}([^\W\d][\w-]{0,16})(?: (?:el|em|il|le|am|op))?[ \u00a0]?[*_]{0,2}[ \u00a0]?[:\uff1a]")
DATED_OR_ADDRESSED = re.compile(r"[\d<]")
ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}")
DATE_START = re.compile(r"[\[(]?\d{1,4}(?:[-./年]|\. | [^\W\d]{3})")
SIGNED = re.compile(r"(?:[-\u2013\u2014] ?|/)[^\W\d_a-zà-öø-ÿ][\w.'-]{0,30}(?: [^\W\d_][\w.'-]{0,30}){0,3}$")
DATE_AND_TIME = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\D{1,12}\d{1,2}[:.]\d{2}")
NAME = re.compile(
    r"(?:[^\W\d_][\w.'-]{0,30}|[^\W\d_a-zà-öø-ÿ][\w.'-]{0,30}(?: (?:de|van|von|der|den|la|di|da|[^\W\d_a-zà-öø-ÿ][\w.'-]{0,30})){1,4})"
)
POSTSCRIPT = re.compile(r"(?:p\.? ?s\.?|p\.d\.)(?=[ :,-])", re.IGNORECASE)
REACHED_AT = re.compile(r"@|https?:|www\.|〒|\btel\b|電話|电话", re.IGNORECASE)
FRAME = re.compile(r"[-=_*~━─═＝―＊ー◇◆☆★□■ ]{8,}")  # noqa: RUF001  (as the mails have them)
SENTENCE = re.compile(r"[,!?。]|\.\s")
CLOSING_ENDS = ",.!;: \uff0c\u3002\u3001\uff01"
TRIMMED = " \t\u00a0\u200b\ufeff"
DASHES = "-_=*\u2014\u2013\u2500\u2501"
QUOTED = (">", "\uff1e")
COLONS = (":", "\uff1a")
RULED = ("-", "_", "=", "*", "\u2014")


def current_reply(text: str) -> str:
    """What the writer of a mail says now; the text itself where nothing in it looks like mail."""
    lines = [line.strip(TRIMMED) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    lines = _without_notices(_without_signature(_without_history(lines)))
    return "\n".join(lines).strip()


def _without_history(lines: list[str]) -> list[str]:
    labels = [_label(line) if ":" in line or COLONS[1] in line else "" for line in lines]
    blocks = _header_blocks(lines, labels)
    kept: list[str] = []
    at, said = 0, False
    while at < len(lines):
        line = lines[at]
        if not line:
            kept.append(line)
            at += 1
        elif line.startswith(QUOTED):
            at += 1
        elif length := _attribution(lines, at):
            at += length
            if said and not _quoted_next(lines, at):
                break
        elif _separator(line) or at in blocks:
            if said:
                break
            at = _after_header_block(labels, at + 1)
        elif said and _rule(line):
            break
        else:
            kept.append(line)
            said = said or bool(line.strip(DASHES + TRIMMED))
            at += 1
    return kept


def _attribution(lines: list[str], at: int) -> int:
    """How many lines "On ..., Kim Lee <kim@example.com> wrote:" takes from here; 0 if it does not start here."""
    first = lines[at][:LOOK]
    if len(first) < SHORTEST_ATTRIBUTION or not DATED_OR_ADDRESSED.search(first):
        return 0
    block = lines[at : at + ATTRIBUTION_LINES]
    ahead = next((number for number, line in enumerate(block, start=1) if line.endswith(COLONS)), 0)
    if not ahead or not all(line and len(line) <= LOOK and not line.startswith(">") for line in block[:ahead]):
        return 0
    if ahead == 1 and DATE_AND_TIME.search(first) and any(word in first.lower() for word in WROTE):
        return 1
    starts = _dated_start(first) or ("<" in first and ADDRESS.search(first))
    return ahead if starts and _names_writer(" ".join(block[:ahead]).lower() + " ") else 0


def _dated_start(line: str) -> bool:
    word = line.split(maxsplit=1)[0].lower().rstrip(",")
    return bool(DATE_START.match(line)) or (any(c.isdigit() for c in line) and (word in OPENERS or line[0] in "在於于"))


def _names_writer(joined: str) -> bool:
    numbers = sum(1 for part in re.split(r"\D", joined) if part)
    certain = numbers >= 2 or "@" in joined
    japanese = DATE_START.match(joined) is not None and "@" in joined
    return certain and (japanese or any(word in joined for word in WROTE))


def _quoted_next(lines: list[str], at: int) -> bool:
    for line in lines[at : at + 3]:
        if line:
            return line.startswith(QUOTED)
    return False


def _separator(line: str) -> bool:
    if line[0] in RULED:
        return SHORTEST < len(line) <= LOOK and line.strip(DASHES + TRIMMED + ":").lower() in SEPARATORS
    return len(line) <= LONGEST_MARK and line.lower().startswith(FORWARDED)


def _header_blocks(lines: list[str], labels: list[str]) -> set[int]:
    """Where the headers of mails start. Only lines near a "From: ..." are looked at, each of them once."""
    starts: set[int] = set()
    looked_at = 0
    for at, label in enumerate(labels):
        if label in FROM:
            starts.update(start for start in range(max(looked_at, at - 4), at + 1) if _header_block(lines, labels, start))
            looked_at = at + 1
    return starts


def _header_block(lines: list[str], labels: list[str], at: int) -> bool:
    """Whether "From: ..." and another mail header start here; or, some programs have it so, others and "From: ..." among them."""
    if labels[at] not in HEADER:
        return False
    block = [labels[at], *takewhile(HEADER.__contains__, labels[at + 1 : at + 5])]
    if len(block) < (2 if block[0] in FROM else 3) or FROM.isdisjoint(block):
        return False
    return not TELLING.isdisjoint(block) or any("@" in line[:LOOK] or "*" in line[:3] for line in lines[at : at + len(block)])


def _label(line: str) -> str:
    found = HEADER_LABEL.match(line[:LOOK])
    return found.group(1).lower() if found else ""


def _after_header_block(labels: list[str], at: int) -> int:
    while at < len(labels) and labels[at] in HEADER:
        at += 1
    return at


def _rule(line: str) -> bool:
    return len(line) >= 20 and not line.strip("_")


def _without_signature(lines: list[str]) -> list[str]:
    start = _signature(lines)
    kept = [line for line in lines[:start] if not line or not _sent_from(line)]
    end = _last(kept)
    if end > 1 and len(kept[end - 1]) <= LONGEST_MARK and SIGNED.match(kept[end - 1]):
        end -= 1
    while end > 0 and not kept[end - 1].strip(DASHES + TRIMMED):
        end -= 1
    return [*kept[:end], *_postscript(lines[start:])]


def _signature(lines: list[str]) -> int:
    """Where the signature starts: a line of its own such as "--" or "Best regards," not far above the end, with text before it."""
    filled = [at for at, line in enumerate(lines) if line]
    candidates = filled[1:][-SIGNATURE_LINES:]
    for at, after in zip(candidates, [*candidates[1:], len(lines)], strict=False):
        if lines[at] in SIGNATURE_MARKS or _closing(lines[at]) or _framed(lines, at):
            return at
        if _said(lines[at], THANKS) and (after == len(lines) or _name(lines[after])):
            return at
    return len(lines)


def _framed(lines: list[str], at: int) -> bool:
    """Whether a ruled line starts a block with an address or telephone number, as Japanese signatures do."""
    if len(lines[at]) > LOOK or not FRAME.fullmatch(lines[at]):
        return False
    block = lines[at + 1 :]
    return all(len(line) <= LONGEST_MARK for line in block) and any(REACHED_AT.search(line) for line in block)


def _name(line: str) -> bool:
    return len(line) <= LONGEST_MARK and NAME.fullmatch(line.rstrip(",")) is not None


def _postscript(signature: list[str]) -> Iterator[str]:
    starts = (at for at, line in enumerate(signature) if POSTSCRIPT.match(line))
    if (start := next(starts, None)) is not None:
        yield ""
        yield from takewhile(bool, signature[start:])


def _last(lines: list[str]) -> int:
    return next((at for at in range(len(lines), 0, -1) if lines[at - 1]), 0)


def _closing(line: str) -> bool:
    return _said(line, CLOSINGS) or any(mark in line and all(_said(part, CLOSINGS) for part in line.split(mark)) for mark in (" / ", " | "))


def _said(line: str, words: frozenset[str]) -> bool:
    return len(line) <= LONGEST_MARK and line.strip(CLOSING_ENDS).lower() in words


def _sent_from(line: str) -> bool:
    if not SHORTEST_SENT_FROM <= len(line) <= LONGEST_SENT_FROM or not line[0].isalpha():
        return False
    lower = line.lower()
    if not lower.startswith(SENT_FROM) and not lower.endswith(SENT_FROM_ENDS):
        return False
    return SENTENCE.search(line) is None and any(product in lower for product in PRODUCTS)


def _without_notices(lines: list[str]) -> list[str]:
    """Without the paragraphs that are disclaimers, unless nothing else is there."""
    starts = [at for at, line in enumerate(lines) if line and not (at and lines[at - 1]) and _notice(lines[at : at + NOTICE_LINES])]
    ends = {at: next((end for end in range(at, len(lines)) if not lines[end]), len(lines)) for at in starts}
    kept: list[str] = []
    said = 0
    for at in starts:
        kept += lines[said:at]
        said = ends[at]
    kept += lines[said:]
    return kept if any(kept) else lines


def _notice(paragraph: list[str]) -> bool:
    start = paragraph[0][:LOOK].strip("*[]()" + DASHES + TRIMMED).lower()
    if not start.startswith(NOTICES):
        return False
    said = " ".join(line[:LOOK] for line in takewhile(bool, paragraph)).lower()
    return any(word in said for word in LEGAL)
