"""Prediction ids: the bundle's first eight hex digits and a ULID, so that ids sort by time."""

import os
import time

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def prediction_id(bundle_digest: str) -> str:
    """`<first 8 of bundle digest>-<ulid>`; never the same twice."""
    return f"{bundle_digest[:8]}-{ulid()}"


def ulid() -> str:
    """26 characters of Crockford's base 32: 48 bits of milliseconds, 80 random bits."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -5, -5))
