"""A release that waits, and an answer to it, for tests of what happens next; `made_up` makes others."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from headgate.data.version import DataVersion
from headgate.lake import Lake
from headgate.release.approval import Answer
from headgate.release.record import Release, folder, save_release
from headgate.settings import Approval

PAGE = b"<!doctype html><title>evidence</title>"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DATA = DataVersion(dataset="replies", version=0, digest="d" * 32, rows=700)
RELEASE = Release(
    model="replies",
    candidate="c" * 16,
    bundle_digest="b" * 64,
    data_version=DATA,
    commit="0" * 40,
    evidence_digest="f" * 64,
    verdict="passed",
    expected_champion=None,
    started_by="person:ada@example.com",
    registered_version="1",
)
WITH_PAGE = RELEASE.model_copy(update={"evidence_digest": hashlib.sha256(PAGE).hexdigest()})
YES = Answer(decision="approve", approver="grace@example.com", reason="looks right")
POLICY = Approval()


def made_up(**changed: Any) -> Release:
    """RELEASE with other fields."""
    return Release.model_validate(RELEASE.model_dump() | changed)


def keep(lake: Lake, release: Release) -> None:
    """A release over PAGE and that page, as the flows leave them."""
    save_release(lake, release)
    lake.put_if_absent(f"{folder(release.id)}/evidence/index.html", PAGE)
