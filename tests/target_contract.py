"""What every target promises, as tests: the sentences of `deployments.target.Target`.

They take the fixtures of `target_ground`. `TargetContract` holds for any target; `StepwiseContract` for one whose challenger has servers
and a share that is set from outside; `TrafficContract` for one that logs what it answers. `target_kills` goes on from here.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import minisign
import pytest
from target_ground import BODY, Ground, OnTheGround, releases, what

from deployments.target import Revision, Split, Target
from headgate.errors import NotFound, Refused, Stale
from headgate.model.signing import sign_digest
from headgate.settings import Signing

MakeTarget = Callable[..., Target]
HOUR_S = 3600.0


class TargetContract(OnTheGround):
    """What holds for any target."""

    def crown(self, ground: Ground, revision: Revision) -> None:
        """Make a revision champion, by whatever way this target has."""
        ground.deploy(revision)
        ground.target.promote(ground.endpoint, revision.release)

    def test_an_unknown_endpoint_has_a_status_that_says_so(self, nothing: Ground) -> None:
        status = nothing.status
        assert status == nothing.status
        assert (status.endpoint, releases(status), status.split, status.ready) == (nothing.endpoint, (None, None, None), Split(), False)
        assert nothing.servers() == set()

    @pytest.mark.parametrize(
        "call",
        [
            lambda target, endpoint: target.invoke(endpoint, BODY),
            lambda target, endpoint: target.running(endpoint, "champion"),
            lambda target, endpoint: target.rollback(endpoint),
        ],
        ids=["invoke", "running", "rollback"],
    )
    def test_a_call_that_needs_an_endpoint_names_the_one_that_is_not_there(
        self, ground: Ground, call: Callable[[Target, str], object]
    ) -> None:
        with pytest.raises(NotFound, match=rf"^no endpoint {ground.absent}\b"):
            call(ground.target, ground.absent)
        assert ground.target.status(ground.absent).champion is None

    def test_an_endpoints_first_revision_becomes_its_champion_and_answers(self, nothing: Ground) -> None:
        first = nothing.revisions.first
        status = nothing.deploy(first)
        assert (releases(status), status.split, status.ready) == ((first.release, None, None), Split(), True)
        assert what(status.champion) == what(first)
        assert status == nothing.status
        assert nothing.answered_by() == first.release
        assert nothing.servers() == {first.release}

    def test_the_next_revision_stands_beside_the_champion_without_traffic(self, alone: Ground) -> None:
        first, second, _ = alone.revisions
        status = alone.deploy(second)
        assert (releases(status)[:2], status.split, status.ready) == ((first.release, second.release), Split(), True)
        assert what(status.challenger) == what(second)
        assert status == alone.status
        assert {alone.answered_by() for _ in range(10)} == {first.release}

    def test_to_deploy_what_is_there_already_changes_nothing(self, beside: Ground) -> None:
        before = beside.status
        for revision in beside.revisions[:2]:
            assert beside.deploy(revision) == before
        assert beside.status == before

    def test_a_new_challenger_takes_the_place_of_the_one_before(self, beside: Ground) -> None:
        first, second, _ = beside.revisions
        third = second.model_copy(update={"release": "9" * 64})
        assert releases(beside.deploy(third))[:2] == (first.release, third.release)
        assert second.release not in beside.servers()

    def test_a_request_is_answered_by_the_cohort_that_it_names(self, alone: Ground) -> None:
        assert alone.answered_by(cohort="champion") == alone.revisions.first.release
        before = alone.status
        with pytest.raises(NotFound, match=rf"^endpoint {alone.endpoint} has no challenger\b"):
            alone.answered_by(cohort="challenger")
        assert alone.status == before

    def test_a_cohorts_server_says_what_it_runs(self, alone: Ground) -> None:
        first = alone.revisions.first
        found = alone.target.running(alone.endpoint, "champion")
        assert (found.release, found.bundle_digest, found.model) == what(first)
        assert found == alone.target.running(alone.endpoint, "champion")
        with pytest.raises(NotFound, match=rf"^endpoint {alone.endpoint} has no challenger\b"):
            alone.target.running(alone.endpoint, "challenger")

    def test_a_rollback_drops_the_challenger_and_may_be_repeated(self, beside: Ground) -> None:
        first = beside.revisions.first
        status = beside.target.rollback(beside.endpoint)
        assert (releases(status)[:2], status.split, status.ready) == ((first.release, None), Split(), True)
        assert beside.servers() == {first.release}
        assert beside.target.rollback(beside.endpoint) == status == beside.status
        assert beside.answered_by() == first.release

    def test_a_rollback_to_the_previous_revision_makes_it_champion_again_and_may_be_repeated(self, alone: Ground) -> None:
        first, second, _ = alone.revisions
        self.crown(alone, second)
        assert releases(alone.status) == (second.release, None, first.release)
        assert alone.answered_by() == second.release
        back = alone.target.rollback(alone.endpoint, to=alone.status.previous)
        assert (releases(back), back.split, back.ready) == ((first.release, None, second.release), Split(), True)
        assert alone.target.rollback(alone.endpoint, to=first) == back == alone.status
        assert alone.answered_by() == first.release
        assert alone.servers() == {first.release}

    def test_to_delete_forgets_everything_and_may_be_repeated(self, beside: Ground) -> None:
        target, endpoint, first = beside.target, beside.endpoint, beside.revisions.first
        target.delete(endpoint)
        target.delete(endpoint)
        assert (releases(beside.status), beside.status.ready, beside.servers()) == ((None, None, None), False, set())
        with pytest.raises(NotFound, match=rf"^no endpoint {endpoint}\b"):
            target.invoke(endpoint, BODY)
        assert releases(beside.deploy(first)) == (first.release, None, None)

    def test_with_a_public_key_a_rollback_takes_what_ran_here_before_and_nothing_else_unsigned(
        self, fresh: Ground, make_target: MakeTarget, tmp_path: Path
    ) -> None:
        first, second, _ = fresh.revisions
        careful = make_target(public_key=key_pair(tmp_path, "release")[1])
        before = fresh.status
        with pytest.raises(Refused, match=r"^bundle [0-9a-f]{12}: expected a signature by .*, found none"):
            careful.rollback(fresh.endpoint, to=signed(second, None))
        assert fresh.status == before
        self.crown(fresh, second)
        assert releases(careful.rollback(fresh.endpoint, to=signed(first, None)))[0] == first.release

    def test_with_a_public_key_only_what_is_signed_with_it_is_deployed(
        self, alone: Ground, make_target: MakeTarget, tmp_path: Path
    ) -> None:
        key, public_key = key_pair(tmp_path, "release")
        other_key, _ = key_pair(tmp_path, "other")
        careful, second, before = make_target(public_key=public_key), alone.revisions.second, alone.status
        subject = f"bundle {second.bundle_digest[:12]}: expected a signature by {public_key}, found"
        for key_used, told in [(None, "none; `headgate sign` makes one"), (other_key, "another")]:
            with pytest.raises(Refused) as refused:
                careful.deploy(alone.endpoint, signed(second, key_used))
            assert str(refused.value).startswith(f"{subject} {told}")
            assert alone.status == before
        assert releases(careful.deploy(alone.endpoint, signed(second, key)))[1] == second.release


class StepwiseContract(TargetContract):
    """What holds where a challenger has servers of its own from the start, and its share is set from outside."""

    @pytest.mark.parametrize(
        "call",
        [lambda target, endpoint: target.set_split(endpoint, Split()), lambda target, endpoint: target.promote(endpoint, "none")],
        ids=["set_split", "promote"],
    )
    def test_a_change_of_traffic_names_the_endpoint_that_is_not_there(self, ground: Ground, call: Callable[[Target, str], object]) -> None:
        with pytest.raises(NotFound, match=rf"^no endpoint {ground.absent}\b"):
            call(ground.target, ground.absent)

    def test_a_challenger_has_servers_of_its_own_that_answer_who_names_it(self, beside: Ground) -> None:
        first, second, _ = beside.revisions
        assert beside.servers() == {first.release, second.release}
        assert (beside.answered_by(cohort="challenger"), beside.answered_by(cohort="champion")) == (second.release, first.release)
        found = beside.target.running(beside.endpoint, "challenger")
        assert (found.release, found.bundle_digest, found.model) == what(second)

    def test_the_parts_of_a_split_add_up(self) -> None:
        with pytest.raises(ValueError, match=r"expected champion \+ challenger = 100 percent, found 60 \+ 30"):
            Split(champion=60, challenger=30)

    def test_a_split_shares_requests_out_and_may_be_repeated(self, beside: Ground) -> None:
        first, second, _ = beside.revisions
        for percent, answering in [(100, {second.release}), (50, {first.release, second.release}), (0, {first.release})]:
            status = beside.share(percent)
            assert status.split == Split(champion=100 - percent, challenger=percent)
            assert beside.share(percent) == status == beside.status
            assert {beside.answered_by() for _ in range(40)} == answering

    def test_to_deploy_the_challenger_again_leaves_it_its_share(self, beside: Ground) -> None:
        before = beside.share(30)
        assert beside.deploy(beside.revisions.second) == before

    def test_nobody_gets_an_answer_of_a_shadow(self, beside: Ground) -> None:
        assert beside.share(0, shadow=100).split == Split(shadow=100)
        assert {beside.answered_by() for _ in range(10)} == {beside.revisions.first.release}

    def test_only_the_challenger_that_is_there_is_promoted(self, beside: Ground) -> None:
        before, second = beside.status, beside.revisions.second
        with pytest.raises(Stale) as stale:
            beside.target.promote(beside.endpoint, "another")
        told = f"endpoint {beside.endpoint}: expected another as the challenger, found {second.release}; deploy it again"
        assert str(stale.value) == told
        assert beside.status == before

    def test_a_promotion_gives_the_challenger_all_traffic_and_may_be_repeated(self, beside: Ground) -> None:
        first, second, _ = beside.revisions
        beside.share(40)
        status = beside.target.promote(beside.endpoint, second.release)
        assert (releases(status), status.split, status.ready) == ((second.release, None, first.release), Split(), True)
        assert beside.target.promote(beside.endpoint, second.release) == status == beside.status
        assert {beside.answered_by() for _ in range(20)} == {second.release}
        assert beside.target.running(beside.endpoint, "champion").release == second.release
        assert beside.servers() == {second.release}

    def test_a_rollback_takes_the_challengers_share_back(self, beside: Ground) -> None:
        first = beside.revisions.first
        beside.share(60)
        status = beside.target.rollback(beside.endpoint)
        assert (releases(status)[:2], status.split) == ((first.release, None), Split())
        assert {beside.answered_by() for _ in range(20)} == {first.release}

    def test_a_split_needs_a_challenger(self, alone: Ground) -> None:
        before = alone.status
        with pytest.raises(Refused, match=rf"^endpoint {alone.endpoint}: expected a challenger to give traffic to, found none"):
            alone.share(10)
        with pytest.raises(Refused, match=rf"^endpoint {alone.endpoint}: expected a challenger to give traffic to, found none"):
            alone.share(0, shadow=10)
        assert alone.status == before
        assert alone.share(0) == before, "all to the champion is what is there"

    def test_without_a_challenger_nothing_is_promoted(self, alone: Ground) -> None:
        before, second = alone.status, alone.revisions.second
        with pytest.raises(Stale) as stale:
            alone.target.promote(alone.endpoint, second.release)
        assert str(stale.value) == f"endpoint {alone.endpoint}: expected {second.release} as the challenger, found none; deploy it again"
        assert alone.status == before

    def test_a_revision_that_does_not_start_is_refused_and_everybody_else_goes_on(self, beside: Ground) -> None:
        faulty, before = beside.revisions.faulty, beside.status
        with (
            beside.traffic(before.url) as failures,
            pytest.raises(Refused, match=rf"^release {faulty.release} did not become ready at endpoint {beside.endpoint}: "),
        ):
            beside.deploy(faulty)
        assert failures == []
        assert beside.status == before
        assert beside.servers() == {before.champion.release, before.challenger.release}
        assert beside.answered_by() == before.champion.release

    def test_a_rollback_to_a_revision_that_does_not_start_is_refused_and_everybody_else_goes_on(self, beside: Ground) -> None:
        faulty, before = beside.revisions.faulty, beside.status
        with pytest.raises(Refused, match=rf"^release {faulty.release} did not become ready at endpoint {beside.endpoint}: "):
            beside.target.rollback(beside.endpoint, to=faulty)
        assert beside.status == before
        assert beside.answered_by() == before.champion.release

    def test_a_first_revision_that_does_not_start_leaves_no_endpoint(self, nothing: Ground) -> None:
        faulty = nothing.revisions.faulty
        with pytest.raises(Refused, match=rf"^release {faulty.release} did not become ready at endpoint {nothing.endpoint}: "):
            nothing.deploy(faulty)
        assert (releases(nothing.status), nothing.status.ready, nothing.servers()) == ((None, None, None), False, set())
        with pytest.raises(NotFound, match=rf"^no endpoint {nothing.endpoint}\b"):
            nothing.answered_by()


class TrafficContract(TargetContract):
    """What holds where answers are logged."""

    @pytest.mark.parametrize(
        "call",
        [
            lambda target, endpoint: target.observe(endpoint, HOUR_S),
            lambda target, endpoint: target.answers(endpoint, datetime.now(UTC), datetime.now(UTC)),
            lambda target, endpoint: target.mirrored(endpoint, HOUR_S),
        ],
        ids=["observe", "answers", "mirrored"],
    )
    def test_a_look_names_the_endpoint_that_is_not_there(self, ground: Ground, call: Callable[[Target, str], object]) -> None:
        with pytest.raises(NotFound, match=rf"^no endpoint {ground.absent}\b"):
            call(ground.target, ground.absent)

    def test_an_observation_tells_of_corrections_where_they_are_asked_for(self, alone: Ground) -> None:
        alone.answered_by()
        [found] = alone.target.observe(alone.endpoint, HOUR_S, correction_wait_s=30)
        assert found.corrections is not None
        assert (found.corrections.wait_s, found.corrections.corrected, found.corrections.confirmed) == (30, 0, 0)

    def test_without_a_challenger_nothing_is_mirrored(self, alone: Ground) -> None:
        assert alone.target.mirrored(alone.endpoint, HOUR_S).pairs == ()

    def test_an_observation_counts_what_each_cohort_answered(self, beside: Ground) -> None:
        before = seen(beside)
        for cohort, times in (("champion", 3), ("challenger", 2)):
            for _ in range(times):
                beside.client(cohort)
        until(beside, lambda: seen(beside).keys() == {"champion", "challenger"} and total(seen(beside)) >= total(before) + 5)
        after = seen(beside)
        assert {cohort: after[cohort].requests - before[cohort].requests for cohort in after} == {"champion": 3, "challenger": 2}
        assert {cohort: after[cohort].errors - before[cohort].errors for cohort in after} == {"champion": 0, "challenger": 0}
        timed = {cohort: sum(after[cohort].latency_ms.values()) - sum(before[cohort].latency_ms.values()) for cohort in after}
        assert timed == {"champion": 3, "challenger": 2}
        assert [found.corrections for found in after.values()] == [None, None], "nobody asked for them"
        assert {cohort: found.requests for cohort, found in seen(beside).items()} == {c: f.requests for c, f in after.items()}

    def test_answers_are_those_of_a_while_with_the_cohort_that_gave_them(self, beside: Ground) -> None:
        beside.client("champion")
        until(beside, lambda: bool(lines_of_the_last_hour(beside)))
        since = beside.clock()
        for cohort in ("challenger", "champion", "challenger"):
            beside.client(cohort)

        def cohorts(until: datetime) -> list[str]:
            return sorted(str(line["cohort"]) for line in beside.target.answers(beside.endpoint, since, until).lines)

        until(beside, lambda: len(cohorts(beside.clock())) >= 3)
        assert cohorts(beside.clock()) == ["challenger", "challenger", "champion"]
        assert cohorts(since) == []

    def test_a_mirrored_request_is_seen_with_both_answers(self, beside: Ground) -> None:
        beside.share(0, shadow=100)
        before = len(beside.target.mirrored(beside.endpoint, HOUR_S).pairs)
        for _ in range(5):
            beside.answered_by()
        until(beside, lambda: len(beside.target.mirrored(beside.endpoint, HOUR_S).pairs) >= before + 5)
        pairs = beside.target.mirrored(beside.endpoint, HOUR_S).pairs
        assert len(pairs) == before + 5
        assert all(pair.champion.prediction_id != pair.challenger.prediction_id for pair in pairs)


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A secret and a public key that belong together."""
    pair = minisign.KeyPair.generate()
    secret, public = folder / f"{name}.key", folder / f"{name}.pub"
    secret.write_bytes(bytes(pair.secret_key))
    public.write_bytes(bytes(pair.public_key))
    return secret, public


def signed(revision: Revision, key: Path | None) -> Revision:
    """The revision with a signature by a secret key, or without any."""
    signature = sign_digest("bundle", revision.bundle_digest, Signing(secret_key=key)) if key else None
    return revision.model_copy(update={"signature": signature})


def seen(ground: Ground) -> dict[str, Any]:
    """What each cohort answered in the last hour."""
    return {found.cohort: found for found in ground.target.observe(ground.endpoint, HOUR_S)}


def lines_of_the_last_hour(ground: Ground) -> list[Any]:
    """What was answered lately."""
    now = ground.clock()
    return list(ground.target.answers(ground.endpoint, now - timedelta(seconds=HOUR_S), now).lines)


def total(found: dict[str, Any]) -> int:
    return sum(one.requests for one in found.values())


def until(ground: Ground, look: Callable[[], bool], timeout_s: float = 30) -> None:
    """Wait for what follows a moment later, such as a line of a log."""
    deadline = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < deadline, "it never came"
        ground.pause()
