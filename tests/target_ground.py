"""An endpoint of a target under test, and the fixtures that bring it into the state that a test begins with.

The module that tests a target subclasses `target_contract` and `target_kills`, and gives the fixtures
    target       the target, whose endpoint is gone in the end
    endpoint     the name of an endpoint that nobody else uses
    revisions    `Revisions`: two that serve, and one that never starts
    make_target  another target on the same place, as another process would have it; takes `public_key`
    servers      says which releases have something that runs at the endpoint
    traffic      a context in which clients ask a url all the time, with the list of what failed; None: no such url
    doomed       (for `target_kills`) a context with a target on the same place that dies before its n-th change of the world
and where the place has a time of its own, or counts its clients' requests otherwise than ours
    clock        what time it is there
    pause        lets a moment of it pass, in which what comes late may come
    client       says which release answers a client's request to a cohort by name

An endpoint is brought there by the target's own calls, and stays as a test left it: where a server takes long to start, most tests begin
with servers that run already. Where that is still too slow, a subclass sets the name of a test to None and says why.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from deployments.target import Cohort, EndpointStatus, Revision, Split, Target

BODY = {"instances": [{"text": "Sounds good, let us talk on Monday."}]}
Servers = Callable[[], set[str]]
Traffic = Callable[[str | None], AbstractContextManager[list[str]]]
Clock = Callable[[], datetime]
Pause = Callable[[], object]
Client = Callable[[Cohort], str]


class Revisions(NamedTuple):
    """What a target is given to serve; `faulty` never starts."""

    first: Revision
    second: Revision
    faulty: Revision


@dataclass(frozen=True)
class Ground:
    """One endpoint of one target, and what can be seen of it from outside."""

    target: Target
    endpoint: str
    revisions: Revisions
    servers: Servers
    traffic: Traffic
    clock: Clock
    pause: Pause
    client: Client

    @property
    def absent(self) -> str:
        """The name of an endpoint that is not there."""
        return f"{self.endpoint}-absent"

    @property
    def status(self) -> EndpointStatus:
        return self.target.status(self.endpoint)

    def deploy(self, revision: Revision) -> EndpointStatus:
        return self.target.deploy(self.endpoint, revision)

    def share(self, challenger: int, shadow: int = 0) -> EndpointStatus:
        return self.target.set_split(self.endpoint, Split(champion=100 - challenger, challenger=challenger, shadow=shadow))

    def answered_by(self, cohort: Any = None) -> str:
        """The release that answers a request."""
        return str(self.target.invoke(self.endpoint, BODY, cohort=cohort)["model"]["release"])

    def alone(self) -> None:
        """The first revision serves, and nothing else."""
        now = self.status
        if now.champion is None:
            self.deploy(self.revisions.first)
        elif releases(now)[:2] != (self.revisions.first.release, None):
            self.target.rollback(self.endpoint, to=self.revisions.first)

    def beside(self) -> None:
        """The first revision serves, and the second stands beside it without traffic."""
        now, (first, second, _) = self.status, self.revisions
        if releases(now)[:2] != (first.release, second.release):
            self.alone()
            self.deploy(second)
        elif now.split != Split():
            self.share(0)


def releases(status: EndpointStatus) -> tuple[str | None, str | None, str | None]:
    """Champion, challenger, previous."""
    champion, challenger, previous = (found and found.release for found in (status.champion, status.challenger, status.previous))
    return champion, challenger, previous


def what(revision: Revision | None) -> tuple[str, str, str] | None:
    """What a revision is, wherever the target keeps its bundle."""
    return revision and (revision.release, revision.bundle_digest, revision.model)


class OnTheGround:
    """The states that tests begin with."""

    @pytest.fixture
    def ground(
        self,
        target: Target,
        endpoint: str,
        revisions: Revisions,
        servers: Servers,
        traffic: Traffic,
        clock: Clock,
        pause: Pause,
        client: Client,
    ) -> Ground:
        return Ground(target, endpoint, revisions, servers, traffic, clock, pause, client)

    @pytest.fixture
    def clock(self) -> Clock:
        return lambda: datetime.now(UTC)

    @pytest.fixture
    def pause(self) -> Pause:
        return lambda: time.sleep(0.1)

    @pytest.fixture
    def client(self, target: Target, endpoint: str) -> Client:
        return lambda cohort: str(target.invoke(endpoint, BODY, cohort=cohort)["model"]["release"])

    @pytest.fixture
    def nothing(self, ground: Ground) -> Ground:
        ground.target.delete(ground.endpoint)
        return ground

    @pytest.fixture
    def alone(self, ground: Ground) -> Ground:
        ground.alone()
        return ground

    @pytest.fixture
    def fresh(self, ground: Ground) -> Ground:
        """As `alone`, and nothing served here before."""
        if ground.status.previous:
            ground.target.delete(ground.endpoint)
        ground.alone()
        return ground

    @pytest.fixture
    def beside(self, ground: Ground) -> Ground:
        ground.beside()
        return ground
