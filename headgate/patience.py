"""Trying again while a server does not answer: full jitter, and an end by time.

Method: exponential backoff with full jitter, Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from headgate.errors import Unavailable

T = TypeVar("T")
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 3.0


def patiently(attempt: Callable[[], T], patience_s: float) -> T:
    """Run the attempt again while it is Unavailable, for about so many seconds; then its last error is raised."""
    wait = wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S)
    again = Retrying(retry=retry_if_exception_type(Unavailable), stop=stop_after_delay(patience_s), wait=wait, reraise=True)
    return again(attempt)
