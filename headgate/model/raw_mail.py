"""Reading a whole RFC 5322 message: what its writer typed, and the headers that tell a machine's mail.

Mail comes from anybody, so that nothing of it is trusted: depth, parts and headers are bounded, charsets are taken from a list, and time
is linear in length. The standard library parses each header block; its parser of whole messages recurses as deep as a message says.
"""

import base64
import quopri
import re
from collections.abc import Iterator
from contextlib import suppress
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser
from encodings.aliases import aliases
from itertools import islice
from typing import NamedTuple

from headgate.errors import BadInput
from headgate.model.mail_html import html_text

MAX_DEPTH = 8
MAX_PARTS = 100
MAX_HEAD_BYTES = 65_536
MAX_DECODED = 2_000
FIRST_ONLY = frozenset(["multipart/report", "multipart/signed"])
NO_CHARSETS = frozenset(["idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem", "utf_7"])
CHARSETS = (frozenset(aliases) | frozenset(aliases.values())) - NO_CHARSETS - {name for name, to in aliases.items() if to in NO_CHARSETS}
HEAD_END = re.compile(rb"\r?\n\r?\n")
HEADER_LINE = re.compile(rb"[!-9;-~]{1,100}[ \t]{0,10}:")
FOLD = re.compile(r"[\r\n]+[ \t]*")
NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


class Part(NamedTuple):
    """One part of a message: its headers and its body as sent."""

    head: Message
    body: bytes


class Said(NamedTuple):
    """The text of a part, and whether it was HTML."""

    text: str
    html: bool = False


def read_mail(raw: str | bytes) -> tuple[str, dict[str, str]]:
    """The text of a message (its plain part, else its HTML as text) and its headers, decoded, equal ones joined by ", ".

    Attachments and forwarded messages are left out. Raises BadInput if it has no header at all.
    """
    data = (raw.encode("utf-8", "replace") if isinstance(raw, str) else raw).lstrip(b"\r\n \t\0")
    if data.startswith((b"From ", b">From ")):
        data = data.partition(b"\n")[2]
    if not HEADER_LINE.match(data):
        shown = repr(data[:40].decode("utf-8", "replace")) if data else "nothing"
        raise BadInput(
            f"expected an RFC 5322 message that starts with a header such as 'From: ...', found {shown}; send a bare text as `text`"
        )
    message = _part(data)
    return _said(message, MAX_DEPTH, iter(range(MAX_PARTS))).text, _headers(message.head)


def _part(data: bytes) -> Part:
    if not HEADER_LINE.match(data):
        return Part(Message(), data.lstrip(b"\r\n"))
    end = HEAD_END.search(data)
    head = data[: end.start()] if end else data
    return Part(BytesHeaderParser().parsebytes(head[:MAX_HEAD_BYTES] + b"\n\n"), data[end.end() :] if end else b"")


def _headers(head: Message) -> dict[str, str]:
    names: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for name, raw in head.raw_items():
        found.setdefault(names.setdefault(name.lower(), name), []).append(_header(str(raw)))
    return {name: ", ".join(values) for name, values in found.items()}


def _header(raw: str) -> str:
    value = _decoded(FOLD.sub(" ", raw).encode("utf-8", "surrogateescape"), "utf-8").strip()
    if "=?" not in value:
        return value
    try:
        pieces = decode_header(value[:MAX_DECODED])
    except (MessageError, ValueError):
        return value
    return "".join(_piece(piece, charset) for piece, charset in pieces) + value[MAX_DECODED:]


def _piece(piece: str | bytes, charset: str | None) -> str:
    if isinstance(piece, str):
        return piece
    return _decoded(piece, charset) if charset else piece.decode("raw-unicode-escape", "replace")


def _field(head: Message, name: str) -> str:
    """The first header of this name as it was sent, unfolded."""
    return next((FOLD.sub(" ", str(raw)[:MAX_DECODED]).strip() for known, raw in head.raw_items() if known.lower() == name), "")


def _said(part: Part, depth: int, parts: Iterator[int]) -> Said:
    kind = _field(part.head, "content-type").partition(";")[0].strip().lower() or "text/plain"
    disposition = _field(part.head, "content-disposition").lower()
    if disposition.startswith("attachment") or "filename" in disposition:
        return Said("")
    if kind.startswith("multipart/"):
        return _of_parts(part, kind, depth - 1, parts) if depth > 0 else Said("")
    if kind == "text/html":
        return Said(html_text(_text(part)), html=True)
    plain = kind in ("text/plain", "text")
    return Said(_text(part).replace("\r\n", "\n").replace("\r", "\n").strip("\n") if plain else "")


def _of_parts(part: Part, kind: str, depth: int, parts: Iterator[int]) -> Said:
    children = _children(part) if kind not in FIRST_ONLY else islice(_children(part), 1)
    found = [_said(child, depth, parts) for child, _ in zip(children, parts, strict=False)]
    filled = [said for said in found if said.text.strip()]
    if kind == "multipart/alternative":
        return next((said for said in filled if not said.html), filled[0] if filled else Said(""))
    return Said("\n".join(said.text for said in filled), html=any(said.html for said in filled))


def _children(part: Part) -> Iterator[Part]:
    """The parts between the boundary's lines; the whole body where no boundary is named."""
    boundary = _parameter(part.head, "boundary")
    if not boundary:
        yield Part(Message(), part.body)
        return
    line = re.compile(rb"(?:^|\n)--" + re.escape(boundary.encode("utf-8", "surrogateescape")) + rb"(--)?[ \t]*\r?(?=\n|$)")
    start = None
    for mark in line.finditer(part.body):
        if start is not None:
            yield _part(part.body[start : mark.start()])
        start = mark.end() + 1
        if mark.group(1):
            return
    if start is not None:
        yield _part(part.body[start:])


def _parameter(head: Message, name: str) -> str:
    found = re.search(
        rf"""(?i);\s{{0,20}}{name}\s{{0,3}}=\s{{0,3}}(?:"([^"]{{1,200}})"|([^\s;"]{{1,200}}))""", _field(head, "content-type")
    )
    return (found.group(1) or found.group(2)) if found else ""


def _text(part: Part) -> str:
    encoding = _field(part.head, "content-transfer-encoding").lower()
    charset = _parameter(part.head, "charset")
    if encoding == "quoted-printable":
        return _decoded(quopri.decodestring(part.body), charset)
    if encoding == "base64":
        return _decoded(_from_base64(part.body), charset)
    return _decoded(part.body, charset if part.body.isascii() else "utf-8", charset)


def _from_base64(body: bytes) -> bytes:
    letters = NOT_BASE64.sub(b"", body.partition(b"=")[0])
    return base64.b64decode(letters[: len(letters) - (len(letters) % 4 == 1)] + b"==")


def _decoded(data: bytes, *charsets: str) -> str:
    """Text in the first charset that fits it; else in UTF-8; else in Windows' western one, where nothing is refused."""
    for charset in (*charsets, "utf-8"):
        name = re.sub(r"[^a-z0-9]+", "_", charset[:40].lower())
        if name in CHARSETS:
            with suppress(UnicodeError, LookupError):
                return data.decode(name)
    return data.decode("cp1252", "replace")
