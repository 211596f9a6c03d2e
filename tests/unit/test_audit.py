"""The audit log: a chain of hashes, held against the records that it tells of."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from made_up_release import NOW, PAGE, POLICY, YES, keep
from made_up_release import WITH_PAGE as RELEASE

from headgate.errors import BadInput
from headgate.lake import FolderLake
from headgate.release.approval import archive, decide
from headgate.release.audit import append, entries, over
from headgate.release.audit_check import audit_json, audit_lines, faults_of
from headgate.release.champion import crown
from headgate.release.record import folder, save_release

SHORT = RELEASE.id[:12]


@pytest.fixture
def lake(tmp_path):
    return FolderLake(tmp_path)


def _entry(lake, action="approve", **changed):
    return append(lake, **({"now": NOW, "who": "ada", "action": action, "model": "replies", "release": "r1", "reason": "why"} | changed))


def _decided(lake):
    """A release that was approved and promoted, as the flows record it."""
    keep(lake, RELEASE)
    decision = archive(lake, decide(YES, RELEASE, NOW, POLICY))
    about = {"who": decision.approver, "reason": decision.reason, "now": decision.decided_at, "release": RELEASE.id, "over": over(RELEASE)}
    _entry(lake, **about)
    crown(lake, "replies", "production", RELEASE.id, None, NOW)
    _entry(lake, "promote", release=RELEASE.id, environment="production", who="automation:rollout")


def test_audit_entries_follow_each_other_by_hash(lake):
    first, second = _entry(lake), _entry(lake, "promote")
    assert second.before == first.hash
    assert entries(lake) == [first, second]


def test_a_repeated_step_writes_no_second_audit_entry(lake):
    assert _entry(lake) == _entry(lake)
    assert len(entries(lake)) == 1


def test_an_entry_of_an_older_version_keeps_its_hash(lake):
    assert _entry(lake).hash == "56d076d837806a471c9cb5d8cfac12dc427a80e7830b1e73a6d4662be0e2313c"
    assert b"over" not in lake.read("audit/00000000.json")


def test_a_changed_audit_entry_is_noticed(lake):
    _entry(lake)
    _entry(lake, "promote")
    file = lake.root / "audit" / "00000000.json"
    file.write_text(file.read_text().replace("ada", "eve"))
    with pytest.raises(BadInput, match=r"^audit entry 1: expected it to follow [0-9a-f]{12}, found number 1 after [0-9a-f]{12}$"):
        entries(lake)


def test_the_digests_that_a_decision_is_over_are_part_of_the_chain(lake):
    _decided(lake)
    file = lake.root / "audit" / "00000000.json"
    file.write_text(file.read_text().replace("b" * 64, "a" * 64))
    with pytest.raises(BadInput, match=r"^audit entry 1: expected it to follow"):
        entries(lake)


def test_a_removed_entry_is_noticed(lake):
    for action in ("approve", "promote", "roll_back"):
        _entry(lake, action)
    (lake.root / "audit" / "00000001.json").unlink()
    with pytest.raises(BadInput, match=r"^audit entry 1: expected it to follow [0-9a-f]{12}, found number 2 after [0-9a-f]{12}$"):
        entries(lake)


def test_an_entry_that_cannot_be_read_is_named(lake):
    _entry(lake)
    (lake.root / "audit" / "00000000.json").write_text("{")
    with pytest.raises(BadInput, match=r"audit/00000000\.json: expected an audit entry, found none that can be read"):
        entries(lake)


def test_a_log_that_tells_of_every_decision_and_champion_has_no_faults(lake):
    _decided(lake)
    assert faults_of(lake, entries(lake), {}) == []


def test_a_log_that_lost_its_last_entry_is_noticed_by_the_champion(lake):
    _decided(lake)
    (lake.root / "audit" / "00000001.json").unlink()
    assert faults_of(lake, entries(lake), {}) == [
        f"replies in production: expected an entry that made {SHORT} champion, found none; the log may have lost its end"
    ]


def test_a_log_that_was_emptied_is_noticed_by_the_decision_too(lake):
    _decided(lake)
    for number in range(2):
        (lake.root / "audit" / f"{number:08d}.json").unlink()
    assert faults_of(lake, entries(lake), {})[0] == (
        f"release {SHORT}: expected an entry 'approve' by grace@example.com, found none; the log may have lost its end"
    )


def test_a_last_entry_that_was_changed_is_noticed_by_the_decision(lake):
    keep(lake, RELEASE)
    decision = archive(lake, decide(YES, RELEASE, NOW, POLICY))
    _entry(lake, who=decision.approver, reason=decision.reason, now=NOW + timedelta(days=1), release=RELEASE.id)
    assert faults_of(lake, entries(lake), {}) == [
        f"release {SHORT}: expected an entry 'approve' by grace@example.com at 2026-05-01 12:00:00, found another; "
        "the entry or the archived decision was changed"
    ]


def test_a_changed_release_record_is_a_fault_of_the_audit(lake):
    _decided(lake)
    file = lake.root / "releases" / RELEASE.id / "release.json"
    file.write_text(file.read_text().replace("b" * 64, "a" * 64))
    (fault,) = faults_of(lake, entries(lake), {})
    assert re.search(rf"expected the record whose sha256 is {SHORT}, found [0-9a-f]{{12}}; it was changed$", fault)


def test_the_log_says_who_what_when_why_and_over_what(lake):
    _decided(lake)
    assert audit_lines(entries(lake)) == [
        f"2026-05-01 12:00:00 replies approve {SHORT} by grace@example.com: looks right",
        f"    over bundle {'b' * 12}, data replies@0 {'d' * 30}, evidence {RELEASE.evidence_digest[:12]}, champion none",
        f"2026-05-01 12:00:00 replies promote in production {SHORT} by automation:rollout: why",
    ]


def test_a_reason_cannot_drive_the_terminal_or_forge_a_line(lake):
    _entry(lake, reason="fine\n2026-05-01 by root: \x1b[2Jall good")
    assert audit_lines(entries(lake)) == [
        "2026-05-01 12:00:00 replies approve r1 by ada: fine 2026-05-01 by root: \N{REPLACEMENT CHARACTER}[2Jall good"
    ]


def test_the_log_as_json_has_hashes_and_faults(lake):
    entry = _entry(lake)
    told = audit_json(entries(lake), ["something"])
    assert told["faults"] == ["something"]
    assert (told["entries"][0]["hash"], told["entries"][0]["who"], told["entries"][0]["over"]) == (entry.hash, "ada", None)
    assert datetime.fromisoformat(told["entries"][0]["at"]) == datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("approval.json", "(approve {short}): expected the archived decision 'approve', found none"),
        ("release.json", "(approve {short}): expected the release's record, found none"),
    ],
)
def test_an_entry_whose_record_is_gone_is_noticed(lake, key, fault):
    _decided(lake)
    (lake.root / folder(RELEASE.id) / key).unlink()
    assert f"audit entry 0 {fault.format(short=SHORT)}" in faults_of(lake, entries(lake), {})


def test_an_evidence_page_that_was_changed_after_the_approval_is_noticed(lake):
    _decided(lake)
    (lake.root / folder(RELEASE.id) / "evidence" / "index.html").write_bytes(PAGE + b" ")
    (fault,) = faults_of(lake, entries(lake), {})
    assert fault.startswith(f"audit entry 0 (approve {SHORT}): release {SHORT}: expected evidence {RELEASE.evidence_digest[:12]} at ")


def test_a_champion_that_never_was_approved_is_noticed_though_the_log_tells_of_it(lake):
    worse = RELEASE.model_copy(update={"verdict": "failed"})
    save_release(lake, worse)
    crown(lake, "replies", "production", worse.id, None, NOW)
    _entry(lake, "promote", release=worse.id, environment="production")
    assert faults_of(lake, entries(lake), {}) == [
        f"audit entry 0 (promote {worse.id[:12]}): expected a release that passed and was approved, "
        "found one whose tests failed and whose decision is none"
    ]
