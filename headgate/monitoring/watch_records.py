"""What a look at production leaves in the lake for others to read; light, since the command line and the gateway load it."""

import json

from headgate.errors import Conflict
from headgate.lake import Lake
from headgate.record import canonical


def page_key(model: str) -> str:
    """Where the newest page about a model's production lies."""
    return f"watching/{model}/report/index.html"


def keep_status(lake: Lake, model: str, line: str) -> None:
    """Keep the line that `headgate status` shows."""
    replace(lake, _status_key(model), canonical({"line": line}))


def status_of(lake: Lake, model: str) -> str | None:
    """The line of the newest look, or None before the first."""
    entry = lake.get(_status_key(model))
    return str(json.loads(entry.data)["line"]) if entry else None


def replace(lake: Lake, key: str, data: bytes) -> None:
    """Make this the record's content, whatever is there."""
    while True:
        entry = lake.get(key)
        try:
            if entry is None or entry.data != data:
                lake.compare_and_swap(key, data, entry.tag if entry else None)
            return
        except Conflict:
            continue


def _status_key(model: str) -> str:
    return f"watching/{model}/status.json"
