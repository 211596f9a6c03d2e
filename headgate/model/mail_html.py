"""The text of an HTML mail, as its reader sees it: blocks on lines of their own, quoted history marked by "> ".

Not `html.parser`: Python 3.11's takes a minute for 80 kB of "<a " and raises on "<![", and mail comes from anybody (decision 0013).
Each character here is looked at a bounded number of times.
"""

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

TAG_NAME = re.compile(r"</?([a-zA-Z][a-zA-Z0-9:-]{0,30})")
SPACE = re.compile(r"[ \t\r\n\f\u00a0]+")
HIDDEN = frozenset(["head", "script", "style", "template", "title"])
# ruff: noqa: SIM905  (a word list is read as text, not as a list)
BLOCKS = frozenset(
    (
        "address article blockquote body br center dd div dl dt footer form h1 h2 h3 h4 h5 h6 header hr li ol p pre section table tr ul"
    ).split()
)
PARAGRAPHS = frozenset(["blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "p", "table", "ul"])
SIGNATURE_CLASS = "gmail_signature"
NO_CHARACTER = re.compile(r"&#[0-9]{8,};?")  # html.unescape raises on thousands of digits


class Token(NamedTuple):
    """A tag (its name, whether it closes, its source) or, where the name is empty, text."""

    name: str
    closes: bool
    source: str


def html_text(source: str) -> str:
    """The visible text; time is linear in length, and no input is refused."""
    lines, line, hidden, quoted = [], [], "", 0
    for token in _tokens(source):
        if hidden:
            hidden = "" if (token.name == hidden and token.closes) or (token.name, hidden) == ("body", "head") else hidden
        elif not token.name:
            line.append(token.source)
        elif token.name in HIDDEN and not token.closes:
            hidden = token.name
        elif token.name in BLOCKS:
            lines.append(_line(line, quoted))
            line = []
            quoted = max(0, quoted + (-1 if token.closes else 1)) if token.name == "blockquote" else quoted
            lines += _around(token)
        elif token.name in ("td", "th"):
            line.append(" ")
    return _joined([*lines, _line(line, quoted)])


def _tokens(source: str) -> Iterator[Token]:
    at, comments_end = 0, source.rfind("-->")
    while at < len(source):
        start = source.find("<", at)
        if start != at:
            yield Token("", False, source[at : start if start >= 0 else len(source)])
        if start < 0:
            return
        if source.startswith("<!--", start) and start < comments_end:
            at = source.index("-->", start) + 3
        else:
            token, at = _tag(source, start)
            yield token


def _tag(source: str, start: int) -> tuple[Token, int]:
    """The tag that starts here and where it ends; a "<" that starts none is text."""
    following = source.find("<", start + 1)
    end = source.find(">", start + 1, following if following >= 0 else len(source))
    if end < 0:
        return Token("", False, "<"), start + 1
    tag = source[start : end + 1]
    found = TAG_NAME.match(tag)
    if found is None:
        return (Token("", False, "<"), start + 1) if tag[1] not in "!?" else (Token("!", False, tag), end + 1)
    return Token(found.group(1).lower(), tag.startswith("</"), tag), end + 1


def _line(parts: list[str], quoted: int) -> str:
    text = SPACE.sub(" ", html.unescape(NO_CHARACTER.sub("", "".join(parts)))).strip()
    return f"> {text}" if quoted and text else text


def _around(token: Token) -> list[str]:
    if SIGNATURE_CLASS in token.source and not token.closes:
        return ["", "--"]
    return [""] if token.name in PARAGRAPHS else []


def _joined(lines: list[str]) -> str:
    """Lines with at most one empty one between them. A block within a block makes none."""
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip("\n")
