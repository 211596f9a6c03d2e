"""A release that waits, and an answer to it, for tests of what happens next."""

from datetime import UTC, datetime

from headgate.data.version import DataVersion
from headgate.release.approval import Answer
from headgate.release.record import Release
from headgate.settings import Approval

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
YES = Answer(decision="approve", approver="grace@example.com", reason="looks right")
POLICY = Approval()
