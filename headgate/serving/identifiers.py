"""Prediction ids: the bundle's first eight hex digits and a ULID, so that ids sort by time."""

import os
import re
import time

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PATTERN = rf"[0-9a-f]{{8}}-[0-6][{CROCKFORD}]{{25}}"  # a ULID may begin with 7, but no date holds the years from 9775 on
RANDOM_CHARACTERS = 16
MADE_AT_ONCE = 512

_OF_BYTE = bytes(ord(CROCKFORD[byte & 31]) for byte in range(256))
_known = re.compile(PATTERN)


class PredictionIds:
    """Fresh ids of one process: 48 bits of milliseconds and 80 random bits, which are drawn for many ids at once."""

    def __init__(self, bundle_digest: str) -> None:
        self._prefix = f"{bundle_digest[:8]}-".encode()
        self._millisecond, self._start = -1, b""
        self._random, self._at = b"", 0

    def fresh(self, at_ns: int | None = None) -> bytes:
        """`<first 8 of bundle digest>-<ulid>`; never the same twice."""
        millisecond = (time.time_ns() if at_ns is None else at_ns) // 1_000_000
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            self._start = self._prefix + "".join(CROCKFORD[millisecond >> shift & 31] for shift in range(45, -5, -5)).encode()
        if self._at == len(self._random):
            self._random, self._at = os.urandom(RANDOM_CHARACTERS * MADE_AT_ONCE).translate(_OF_BYTE), 0
        start = self._at
        self._at = start + RANDOM_CHARACTERS
        return self._start + self._random[start : self._at]


def is_prediction_id(text: str) -> bool:
    """Whether a text has the form of a prediction id."""
    return _known.fullmatch(text) is not None
