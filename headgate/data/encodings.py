"""How a file's bytes become text: UTF-8, a byte order mark, UTF-16 by its zeros, or an older encoding that is detected and told.

Detection is charset-normalizer's measure of disorder and of the language's letter frequencies, over the lines that are not ASCII.
"""

import re
from dataclasses import dataclass

from charset_normalizer import CharsetMatch, from_bytes

BYTE_ORDER_MARKS = {b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
CANDIDATES = "cp1252 cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 iso8859_2 koi8_r shift_jis euc_jp gb18030 big5 euc_kr".split()  # noqa: SIM905 - a word list
USUAL, USUAL_BONUS = "cp1252", 0.1
SAMPLE_BYTES = 65_536
MAX_SAMPLE_LINE = 2_000
SIGNATURES = {b"PK": "a zip archive or Excel workbook", b"\x1f\x8b": "gzip", b"%PDF": "PDF", b"\x89PNG": "a picture"}
BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
NOT_DECODED = re.compile("[\udc80-\udcff]")
DECODED = re.compile("[^\x00-\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's text, and what a person should know about how it was read. Bytes that fit no encoding stay marked as lone surrogates."""

    text: str
    remark: str | None = None


def decoded(data: bytes) -> Decoded:
    """The text of a file; ValueError if it is no text at all."""
    if encoding := next((encoding for mark, encoding in BYTE_ORDER_MARKS.items() if data.startswith(mark)), None):
        return Decoded(_wide(data, encoding))
    if kind := next((kind for signature, kind in SIGNATURES.items() if data.startswith(signature)), None):
        raise ValueError(f"expected text, found {kind}; export the rows as CSV or JSON Lines")
    if encoding := _by_zeros(data[:SAMPLE_BYTES]):
        return Decoded(_wide(data, encoding), f"read as {encoding.upper()}, which its zero bytes show; it has no byte order mark")
    sample = data[:SAMPLE_BYTES]
    if sum(byte < 32 and byte not in b"\t\n\r\f" for byte in sample) > len(sample) / 20:
        raise ValueError("expected text, found binary data; export the rows as CSV or JSON Lines in UTF-8")
    return _narrow(data)


def _wide(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as fault:
        raise ValueError(f"{encoding.upper()} text that breaks off or is damaged at byte {fault.start}; save the file as UTF-8") from None


def _by_zeros(sample: bytes) -> str | None:
    """UTF-16 without a mark, where nearly every second byte of mostly western text is zero."""
    pairs = len(sample) // 2
    high, low = sample[1::2].count(0), sample[::2].count(0)
    if pairs >= 4 and max(high, low) > 0.7 * pairs and min(high, low) == 0:
        return "utf-16-le" if high > low else "utf-16-be"
    return None


def _narrow(data: bytes) -> Decoded:
    text = data.decode("utf-8-sig", errors="surrogateescape")
    if text.isascii() or not (damaged := len(NOT_DECODED.findall(text))):
        return Decoded(text)
    if len(DECODED.findall(text)) * 2 > damaged:  # other encodings form UTF-8 by chance, but more seldom
        return Decoded(text, "UTF-8 with damaged bytes; the rows that hold them are refused")
    return _older(data) or Decoded(text)


def _older(data: bytes) -> Decoded | None:
    """The text in the likeliest older encoding; where two are about as likely, Windows-1252 is, being the most used."""
    sample = b"\n".join(_first_lines(data))
    matches = list(from_bytes(sample, cp_isolation=CANDIDATES))
    if not matches:
        return None
    best = max(matches, key=_likelihood)
    name = USUAL if USUAL in best.could_be_from_charset else best.encoding
    try:
        text = data.decode(name)
    except UnicodeDecodeError:
        return None
    others = [match.encoding for match in matches if match is not best and _likelihood(match) > _likelihood(best) - USUAL_BONUS]
    doubt = f"; {', '.join(others)} is about as likely" if others else ""
    return Decoded(text, f"not UTF-8: read as {name}, which was detected{doubt}; look at its accented letters: {_example(sample, name)!r}")


def _first_lines(data: bytes) -> list[bytes]:
    """Lines that are not ASCII, or so much of them as stands around their first such byte."""
    lines, size = [], 0
    for line in data.split(b"\n"):
        if size < SAMPLE_BYTES and (match := BEYOND_ASCII.search(line)):
            lines.append(line[max(0, match.start() - MAX_SAMPLE_LINE // 2) :][:MAX_SAMPLE_LINE].strip())
            size += len(lines[-1])
    return lines


def _likelihood(match: CharsetMatch) -> float:
    return match.coherence - match.chaos + (USUAL_BONUS if USUAL in match.could_be_from_charset else 0)


def _example(sample: bytes, encoding: str) -> str:
    return sample.split(b"\n", 1)[0].decode(encoding, "replace")[:80]
