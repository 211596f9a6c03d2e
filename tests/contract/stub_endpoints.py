"""Endpoints on this machine: real routers and supervisord, and a stub in place of the server where one has to misbehave."""

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.local import LocalTarget
from deployments.target import Revision
from headgate.model.bundle import REQUIRED, open_bundle

STUB = (sys.executable, str(Path(__file__).with_name("stub_server.py")))
BODY = {"instances": [{"text": "Sounds good, let us talk on Monday."}]}


def stub_bundle(folder: Path, **behaviour: Any) -> Path:
    """A bundle whose list is right and whose provenance tells the stub how to behave."""
    folder.mkdir()
    texts = dict.fromkeys(REQUIRED, "[]") | {"provenance.json": json.dumps({"stub": "good", **behaviour, "name": folder.name})}
    for name, text in texts.items():
        (folder / name).write_text(text)
    files = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    (folder / "bundle.json").write_text(json.dumps({"format_version": 1, "files": files}))
    return folder


def stub_revision(folder: Path, release: str = "", **behaviour: Any) -> Revision:
    """The revision of the stub bundle in a folder, which is made where there is none yet; its release is called like the folder."""
    if not folder.exists():
        stub_bundle(folder, **behaviour)
    return Revision(release=release or folder.name, bundle_digest=open_bundle(folder).digest, bundle=folder)


@contextmanager
def local_endpoints(target: LocalTarget) -> Iterator[LocalTarget]:
    """The target; at the end its endpoints are gone, and its supervisord with them."""
    try:
        yield target
        empty(target)
    finally:
        target.processes.shutdown()


def empty(target: LocalTarget) -> None:
    """Take every endpoint off."""
    for endpoint in target.endpoints():
        target.delete(endpoint)
