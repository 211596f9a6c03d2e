"""The target in memory keeps the promises of every target, so that what is tested with it holds elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest
from target_contract import StepwiseContract
from target_ground import Revisions
from target_kills import Killed, StepwiseKillContract

from deployments.memory import MemoryTarget
from deployments.target import EndpointStatus, Revision, Target

ENDPOINT = "staging"


def revision(name: str, digit: str) -> Revision:
    return Revision(release=name, bundle_digest=digit * 64, bundle=Path(name), model="replies")


class Dying(MemoryTarget):
    """The same endpoints, changed by a process that dies before its n-th moment: one lies before each change, and one after it."""

    def __init__(self, of: MemoryTarget, moments: int) -> None:
        super().__init__()
        self.endpoints, self.faulty, self._left = of.endpoints, of.faulty, moments

    def _moment(self) -> None:
        if self._left == 0:
            raise Killed
        self._left -= 1

    def _put(self, status: EndpointStatus) -> EndpointStatus:
        self._moment()
        done = super()._put(status)
        self._moment()
        return done

    def delete(self, endpoint: str) -> None:
        self._moment()
        super().delete(endpoint)
        self._moment()


class TestMemoryTarget(StepwiseContract, StepwiseKillContract):
    """Without `TrafficContract`: what its cohorts answered is told by the test that made it."""

    @pytest.fixture
    def endpoint(self) -> str:
        return ENDPOINT

    @pytest.fixture
    def revisions(self) -> Revisions:
        return Revisions(revision("one", "1"), revision("two", "2"), revision("bad", "3"))

    @pytest.fixture
    def target(self) -> MemoryTarget:
        found = MemoryTarget()
        found.faulty["bad"] = "out of luck"
        return found

    @pytest.fixture
    def make_target(self, target: MemoryTarget) -> Callable[..., Target]:
        def made(public_key: Path | None = None) -> Target:
            found = MemoryTarget(public_key=public_key)
            found.endpoints, found.faulty = target.endpoints, target.faulty
            return found

        return made

    @pytest.fixture
    def servers(self, target: MemoryTarget) -> Callable[[], set[str]]:
        def found() -> set[str]:
            status = target.status(ENDPOINT)
            return {one.release for one in (status.champion, status.challenger) if one}

        return found

    @pytest.fixture
    def doomed(self, target: MemoryTarget) -> Callable[[int], AbstractContextManager[Target]]:
        @contextmanager
        def dying(moment: int) -> Iterator[Target]:
            yield Dying(target, moment)

        return dying

    @pytest.fixture
    def traffic(self) -> Callable[[str | None], AbstractContextManager[list[str]]]:
        return lambda _: nullcontext([])
