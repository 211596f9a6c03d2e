"""Clients of an endpoint: requests at set times, each tried once."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

CLIENTS = 8


def outcome(answer: dict[str, Any]) -> str:
    return str(answer["predictions"][0]["outcome"])


@contextmanager
def load(url: str, rate_per_s: float, keep_alive: bool = True) -> Iterator[list[tuple[int, str]]]:
    """Requests at set times, each tried once, until the block ends: the status (0: none) and outcome of each.

    keep_alive: eight connections for all; else one each.
    """
    found: list[tuple[int, str]] = []
    ended = threading.Event()

    def send(number: int, http: httpx.Client) -> None:
        try:
            answer = http.post("/invocations", json={"instances": [{"text": f"please call me {number}"}]})
            found.append((answer.status_code, outcome(answer.json()) if answer.is_success else answer.text[:200]))
        except Exception as fault:  # whatever it is, it is no answer
            found.append((0, repr(fault)))

    def client(first: int, of: int) -> None:
        limits = httpx.Limits(max_keepalive_connections=None if keep_alive else 0)
        with httpx.Client(base_url=url, timeout=20, trust_env=False, limits=limits) as http:
            began, number = time.monotonic(), first
            while not ended.is_set():
                send(number, http)
                number += of
                time.sleep(max(0.0, began + number / rate_per_s - time.monotonic()))

    clients = [threading.Thread(target=client, args=(number, CLIENTS)) for number in range(CLIENTS)]
    for one in clients:
        one.start()
    try:
        yield found
    finally:
        ended.set()
        for one in clients:
            one.join()


def failures(found: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Those that were not answered well, of some that were sent."""
    assert found, "no request was sent, so that none could fail"
    return [one for one in found if one[0] != 200]
