from datetime import timedelta

import pytest
from made_up_release import DATA, NOW, POLICY, RELEASE, YES
from pydantic import ValidationError

from headgate.data.version import DataVersion
from headgate.errors import BadInput, NotFound, Refused, Stale
from headgate.lake import FolderLake
from headgate.release.approval import Answer, Decision, archive, decide, decision_of, faults, require_approval
from headgate.release.candidate import Candidate, Standing, candidate_key, save_outcome, standing
from headgate.release.champion import champion, crown
from headgate.release.record import Release, load_release, save_release
from headgate.settings import Approval, Bundle, ModelSettings, Train

FROZEN = DataVersion(dataset="replies-regression", version=0, digest="e" * 32, rows=300)
CANDIDATE = Candidate(
    model="replies", key="c" * 16, data_version=DATA, regression_set=FROZEN, commit="x", started_by="person:a", champion=None
)


@pytest.fixture
def lake(tmp_path):
    return FolderLake(tmp_path)


def test_a_release_is_found_by_the_beginning_of_its_id(lake):
    release_id = save_release(lake, RELEASE)
    assert release_id == RELEASE.id
    assert load_release(lake, release_id[:8]) == RELEASE


def test_a_release_of_the_first_format_keeps_its_id_and_new_fields_change_it():
    assert RELEASE.id == "1c3f520cda7c2efb884558ce6cc1a33a3cc7e0fcdd38c31e3368bc27c6e0d51e"
    assert RELEASE.model_copy(update={"sbom_digest": "5" * 64}).id != RELEASE.id


def test_saving_a_release_again_changes_nothing(lake):
    assert save_release(lake, RELEASE) == save_release(lake, RELEASE)


def test_an_unknown_release_says_where_to_look(lake):
    with pytest.raises(NotFound, match=r"^expected one release whose id starts with 'abc', found 0; see `headgate status`$"):
        load_release(lake, "abc")


def test_a_changed_release_record_is_refused(lake):
    release_id = save_release(lake, RELEASE)
    file = lake.root / "releases" / release_id / "release.json"
    file.write_text(file.read_text().replace('"passed"', '"failed"'))
    with pytest.raises(BadInput, match=rf"expected the record whose sha256 is {release_id[:12]}, found [0-9a-f]{{12}}; it was changed$"):
        load_release(lake, release_id)


def test_another_starter_than_a_person_or_automation_is_refused():
    with pytest.raises(ValidationError):
        Release(**(RELEASE.model_dump() | {"started_by": "cron"}))


def test_an_answer_with_name_and_reason_counts():
    assert faults(YES, RELEASE, None, POLICY, timedelta(hours=1)) == []


def test_blank_names_and_reasons_are_both_named():
    found = faults(Answer(decision="approve", approver=" ", reason="\t"), RELEASE, None, POLICY, timedelta())
    assert found == ["approver: expected who decides, found nothing", "reason: expected why, found nothing"]


def test_a_name_that_would_drive_a_terminal_is_refused():
    found = faults(YES.model_copy(update={"approver": "ada\nroot"}), RELEASE, None, POLICY, timedelta())
    assert found == ["approver: expected one line of printable text, found 'ada\\nroot'"]


def test_an_answer_about_evidence_against_an_older_champion_is_stale():
    assert faults(YES, RELEASE, "9" * 64, POLICY, timedelta()) == [
        "stale: the evidence compares with champion none, but 999999999999 is live now; run `headgate retest` for new evidence"
    ]


def test_a_stale_release_can_still_be_rejected():
    assert faults(YES.model_copy(update={"decision": "reject"}), RELEASE, "9" * 64, POLICY, timedelta()) == []


def test_an_answer_after_the_timeout_is_expired():
    assert faults(YES, RELEASE, None, POLICY, timedelta(days=8)) == ["expired: asked 8 days ago, an answer counts for 7 days"]


def test_self_approval_is_refused_where_the_policy_forbids_it():
    own = YES.model_copy(update={"approver": "ada@example.com"})
    policy = Approval(forbid_self_approval=True)
    assert faults(own, RELEASE, None, policy, timedelta()) == [
        "self-approval: ada@example.com started this release and approval.forbid_self_approval is set"
    ]
    assert faults(own, RELEASE, None, POLICY, timedelta()) == []


def test_nobody_is_forbidden_to_approve_what_an_automation_started():
    started = RELEASE.model_copy(update={"started_by": "automation:headgate.dataset.updated"})
    assert faults(YES, started, None, Approval(forbid_self_approval=True), timedelta()) == []


def test_the_first_decision_about_a_release_is_the_one_that_counts(lake):
    first = archive(lake, decide(YES, RELEASE, NOW, POLICY))
    second = archive(lake, decide(YES.model_copy(update={"decision": "reject"}), RELEASE, NOW, POLICY))
    assert first == second == decision_of(lake, RELEASE.id)
    assert second.decision == "approve"


def test_a_rollout_without_an_approval_is_refused():
    with pytest.raises(Refused, match=f"^release {RELEASE.id[:12]}: expected an approval, found none$"):
        require_approval(None, RELEASE)
    with pytest.raises(Refused, match=f"^release {RELEASE.id[:12]}: expected an approval, found reject$"):
        require_approval(decide(YES.model_copy(update={"decision": "reject"}), RELEASE, NOW, POLICY), RELEASE)


@pytest.mark.parametrize("field", ["release", "bundle_digest", "image_digest", "evidence_digest", "expected_champion"])
def test_an_approval_of_other_digests_is_refused(field):
    other = decide(YES, RELEASE, NOW, POLICY).model_copy(update={field: "0" * 64})
    with pytest.raises(Refused, match=f"^release {RELEASE.id[:12]}: its approval is about other digests; it cannot be used$"):
        require_approval(other, RELEASE)


def test_an_approval_of_another_data_version_is_refused():
    other = decide(YES, RELEASE, NOW, POLICY).model_copy(update={"data_version": FROZEN})
    with pytest.raises(Refused, match="its approval is about other digests"):
        require_approval(other, RELEASE)


def test_an_approval_that_an_older_version_wrote_still_binds():
    fields = {"image_digest", "data_version", "expires_at", "signed_by"}
    old = decide(YES, RELEASE, NOW, POLICY).model_dump(exclude=fields)
    assert require_approval(Decision(**old), RELEASE).approver == "grace@example.com"


def test_a_champion_is_followed_only_by_who_expected_it(lake):
    crown(lake, "replies", "production", "r1", None, NOW)
    with pytest.raises(Stale, match=r"^replies in production: expected champion none, found r1$"):
        crown(lake, "replies", "production", "r2", None, NOW)
    crown(lake, "replies", "production", "r2", "r1", NOW)
    live = champion(lake, "replies", "production")
    assert live is not None
    assert (live.release, live.previous) == ("r2", ("r1",))


def test_crowning_again_changes_nothing(lake):
    first = crown(lake, "replies", "production", "r1", None, NOW)
    assert crown(lake, "replies", "production", "r1", None, NOW + timedelta(days=1)) == first


def test_rolling_back_a_rollback_works(lake):
    for release, expected in (("r1", None), ("r2", "r1"), ("r1", "r2"), ("r2", "r1")):
        crown(lake, "replies", "production", release, expected, NOW)
    live = champion(lake, "replies", "production")
    assert live is not None
    assert (live.release, live.previous) == ("r2", ("r1",))


def test_the_candidate_key_changes_with_the_behavioural_rows(tmp_path):
    rows = tmp_path / "behaviour.jsonl"
    rows.write_text("first")
    settings = ModelSettings(dataset="replies", behaviour_rows=rows)
    before = candidate_key(DATA, FROZEN, settings)
    assert before == candidate_key(DATA, FROZEN, settings)
    assert before != candidate_key(DATA, FROZEN, ModelSettings(dataset="replies"))
    rows.write_text("second")
    assert candidate_key(DATA, FROZEN, settings) != before


def test_the_candidate_key_changes_with_data_and_training_but_not_with_the_load_test():
    settings = ModelSettings(dataset="replies")
    key = candidate_key(DATA, FROZEN, settings)
    assert key == candidate_key(DATA, FROZEN, settings)
    assert key != candidate_key(DATA.model_copy(update={"digest": "0" * 32}), FROZEN, settings)
    assert key != candidate_key(DATA, FROZEN, settings.model_copy(update={"train": Train(epochs=1)}))


def test_changed_code_of_a_private_package_makes_a_new_candidate(tmp_path):
    (tmp_path / "filters.py").write_text("one = 1\n")
    settings = ModelSettings(dataset="replies", bundle=Bundle(private_packages=(tmp_path,)))
    before = candidate_key(DATA, FROZEN, settings)
    assert before == candidate_key(DATA, FROZEN, settings)
    (tmp_path / "filters.py").write_text("one = 2\n")
    assert candidate_key(DATA, FROZEN, settings) != before


def test_an_unknown_candidate_is_new(lake):
    assert standing(lake, "replies", "c" * 16, "production") == Standing(kind="new")


def test_a_stopped_candidate_says_why(lake):
    save_outcome(lake, CANDIDATE, release=None, stopped="data checks failed: ids_unique")
    assert standing(lake, "replies", "c" * 16, "production") == Standing(kind="stopped", why="data checks failed: ids_unique")


def test_a_tested_candidate_waits_then_lives_then_is_replaced(lake):
    release_id = save_release(lake, RELEASE)
    save_outcome(lake, CANDIDATE, release=release_id, stopped=None)
    assert standing(lake, "replies", "c" * 16, "production").kind == "waiting"
    crown(lake, "replies", "production", release_id, None, NOW)
    assert standing(lake, "replies", "c" * 16, "production").kind == "live"
    crown(lake, "replies", "production", "r2", release_id, NOW)
    assert standing(lake, "replies", "c" * 16, "production").kind == "replaced"


def test_a_rejected_candidate_says_by_whom(lake):
    save_outcome(lake, CANDIDATE, release=save_release(lake, RELEASE), stopped=None)
    archive(lake, decide(Answer(decision="reject", approver="grace", reason="no"), RELEASE, NOW, POLICY))
    found = standing(lake, "replies", "c" * 16, "production")
    assert (found.kind, found.why) == ("rejected", "grace: no")


def test_a_retest_is_the_candidate_s_newest_outcome(lake):
    first = save_release(lake, RELEASE)
    save_outcome(lake, CANDIDATE, release=first, stopped=None)
    archive(lake, decide(Answer(decision="reject", approver="grace", reason="no"), RELEASE, NOW, POLICY))
    again = save_release(lake, RELEASE.model_copy(update={"evidence_digest": "0" * 64}))
    save_outcome(lake, CANDIDATE.model_copy(update={"retest": first}), release=again, stopped=None)
    found = standing(lake, "replies", "c" * 16, "production")
    assert (found.kind, found.release) == ("waiting", again)
