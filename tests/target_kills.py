"""A change of an endpoint that is killed between any two calls is completed by repeating it, and undone by a rollback; as tests.

They take the fixtures of `target_ground`. A slow target takes every `stride`-th moment only, from `start` on.
"""

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from target_ground import Ground, OnTheGround, Revisions, releases

from deployments.target import Split, Target

Change = Callable[[Target, str, Revisions], object]
Doomed = Callable[[int], AbstractContextManager[Target]]
Dies = Callable[[Change, int], bool]


class Killed(BaseException):
    """Stands for kill -9 between two calls."""


@pytest.mark.timeout(1800)
class KillContract(OnTheGround):
    """For any target."""

    start, stride = 0, 1

    @pytest.fixture
    def killed(self, ground: Ground, doomed: Doomed) -> Dies:
        """Makes a change that is killed before its n-th act; says whether it had so many."""

        def dies(change: Change, moment: int) -> bool:
            with doomed(moment) as target:
                try:
                    change(target, ground.endpoint, ground.revisions)
                except Killed:
                    return True
            return False

        return dies

    def test_a_deploy_is_completed_by_repeating_it(self, ground: Ground, killed: Dies) -> None:
        first, second, _ = ground.revisions
        self.repeat_after_each(killed, ground, ground.alone, deploy_second, (first.release, second.release))

    def test_a_deploy_is_undone_by_a_rollback_instead(self, ground: Ground, killed: Dies) -> None:
        self.undo_after_each(killed, ground, ground.alone, deploy_second)

    def test_a_rollback_is_completed_by_repeating_it(self, ground: Ground, killed: Dies) -> None:
        self.repeat_after_each(killed, ground, ground.beside, roll_back, (ground.revisions.first.release, None))

    def test_a_rollback_to_a_revision_is_completed_by_repeating_it(self, ground: Ground, killed: Dies) -> None:
        self.repeat_after_each(killed, ground, ground.alone, roll_back_to_second, (ground.revisions.second.release, None))

    def test_a_delete_is_completed_by_repeating_it(self, ground: Ground, killed: Dies) -> None:
        for moment in itertools.count(self.start, self.stride):
            ground.beside()
            more = killed(delete, moment)
            ground.target.delete(ground.endpoint)
            assert (releases(ground.status), ground.servers()) == ((None, None, None), set())
            if not more:
                break
        assert moment > self.start, "a change that is never killed proves nothing"

    def repeat_after_each(
        self, killed: Dies, ground: Ground, prepare: Callable[[], None], change: Change, wanted: tuple[str | None, str | None]
    ) -> None:
        """Kill a change at one moment after another, and make it again each time; no request fails meanwhile."""
        prepare()
        with ground.traffic(ground.status.url) as failures:
            for moment in itertools.count(self.start, self.stride):
                prepare()
                more = killed(change, moment)
                assert ground.answered_by() in {ground.revisions.first.release, ground.revisions.second.release}
                change(ground.target, ground.endpoint, ground.revisions)
                assert (releases(ground.status)[:2], ground.status.ready) == (wanted, True)
                assert ground.servers() == {*wanted} - {None}
                if not more:
                    break
        assert moment > self.start, "a change that is never killed proves nothing"
        assert failures == []

    def undo_after_each(self, killed: Dies, ground: Ground, prepare: Callable[[], None], change: Change) -> None:
        """Kill a change at one moment after another, and go back each time; no request fails meanwhile."""
        first = ground.revisions.first
        prepare()
        with ground.traffic(ground.status.url) as failures:
            for moment in itertools.count(self.start, self.stride):
                prepare()
                more = killed(change, moment)
                status = ground.target.rollback(ground.endpoint, to=first)
                assert (releases(status)[:2], status.split, status.ready) == ((first.release, None), Split(), True)
                assert (ground.answered_by(), ground.servers()) == (first.release, {first.release})
                if not more:
                    break
        assert moment > self.start, "a change that is never killed proves nothing"
        assert failures == []


class StepwiseKillContract(KillContract):
    """For a target whose challenger has servers of its own from the start, and its share is set from outside."""

    def test_a_split_is_completed_by_repeating_it(self, ground: Ground, killed: Dies) -> None:
        first, second, _ = ground.revisions
        self.repeat_after_each(killed, ground, ground.beside, share_half, (first.release, second.release))
        assert ground.status.split == Split(champion=50, challenger=50)

    def test_a_promotion_is_completed_by_repeating_it(self, ground: Ground, killed: Dies) -> None:
        self.repeat_after_each(killed, ground, ground.beside, promote_second, (ground.revisions.second.release, None))

    def test_a_promotion_is_undone_by_a_rollback_instead(self, ground: Ground, killed: Dies) -> None:
        self.undo_after_each(killed, ground, ground.beside, promote_second)


def deploy_second(target: Target, endpoint: str, revisions: Revisions) -> object:
    return target.deploy(endpoint, revisions.second)


def promote_second(target: Target, endpoint: str, revisions: Revisions) -> object:
    return target.promote(endpoint, revisions.second.release)


def share_half(target: Target, endpoint: str, _: Revisions) -> object:
    return target.set_split(endpoint, Split(champion=50, challenger=50))


def roll_back(target: Target, endpoint: str, _: Revisions) -> object:
    return target.rollback(endpoint)


def roll_back_to_second(target: Target, endpoint: str, revisions: Revisions) -> object:
    return target.rollback(endpoint, to=revisions.second)


def delete(target: Target, endpoint: str, _: Revisions) -> object:
    return target.delete(endpoint)
