"""What Prometheus shall scrape of the local target, in the form of its http_sd: every live server, and the router before them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deployments.local import State
from deployments.ports import Ports

HOST = "127.0.0.1"


def scrape_targets(home: Path) -> list[dict[str, Any]]:
    """Each process of each endpoint under a home folder, with the labels endpoint, model, role and, of a server, release.

    A server is not labelled with its cohort: it tells that with each number, and a promotion changes it.
    """
    ports = Ports(home).known()
    files = sorted((home / "endpoints").glob("*/state.json"))
    return [
        {"targets": [f"{HOST}:{ports[name]}"], "labels": labels}
        for file in files
        for name, labels in _processes(file.parent.name, State.model_validate_json(file.read_bytes()))
        if name in ports
    ]


def _processes(endpoint: str, state: State) -> Iterator[tuple[str, dict[str, str]]]:
    """The programs of an endpoint, by the names of their ports."""
    live = state.settled.live()
    if champion := live.get("champion"):
        yield f"{endpoint}.router", {"endpoint": endpoint, "model": champion.model, "role": "router"}
    for revision in live.values():
        labels = {"endpoint": endpoint, "model": revision.model, "role": "server", "release": revision.release}
        yield f"{endpoint}.{revision.release}", labels
