"""An endpoint in memory, for tests of what drives a target: it holds revisions and a split, and answers nothing by itself."""

import itertools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from deployments import layout as layouts
from deployments.layout import Layout, ran_here
from deployments.target import Answers, Cohort, EndpointStatus, Mirrored, Observation, Revision, Running, Split
from headgate.errors import NotFound, Refused
from headgate.model.signing import verify_digest


class MemoryTarget:
    """Any number of endpoints; `observed` says what their cohorts answered, `mirrored` what to copies; both may look at the endpoint.

    `faulty` names the releases that do not start, and why.
    """

    routing: Literal["stepwise", "native"] = "stepwise"

    def __init__(
        self,
        observed: Callable[[EndpointStatus, float], tuple[Observation, ...]] = lambda _, __: (),
        mirrored: Callable[[EndpointStatus, float], Mirrored] = lambda _, __: Mirrored(),
        public_key: Path | None = None,
    ) -> None:
        self.endpoints: dict[str, EndpointStatus] = {}
        self.faulty: dict[str, str] = {}
        self.logged: Callable[[EndpointStatus, datetime, datetime], Answers] = lambda _, __, ___: Answers((), {}, {})
        self.observed, self.seen_mirrored, self.public_key = observed, mirrored, public_key
        self._asked = itertools.count()

    def deploy(self, endpoint: str, revision: Revision) -> EndpointStatus:
        """Start the revision beside the champion with no traffic; an endpoint's first revision becomes its champion. Idempotent."""
        self._require_signed(revision)
        return self._change(self.status(endpoint), layouts.deploy(revision))

    def status(self, endpoint: str) -> EndpointStatus:
        """What the endpoint serves now; changes nothing, and an unknown endpoint is one that is not ready."""
        return self.endpoints.get(endpoint, EndpointStatus(endpoint=endpoint))

    def set_split(self, endpoint: str, split: Split) -> EndpointStatus:
        """Share the requests out between champion and challenger. Idempotent."""
        return self._change(self._known(endpoint), layouts.share(endpoint, split))

    def promote(self, endpoint: str, release: str) -> EndpointStatus:
        """Make the challenger with this release the champion, with all traffic, and keep the old one as previous. Idempotent."""
        return self._change(self._known(endpoint), layouts.promote(endpoint, release))

    def observe(self, endpoint: str, window_s: float, correction_wait_s: float | None = None) -> tuple[Observation, ...]:
        """What champion and challenger answered in the last window_s seconds; changes nothing."""
        seen = self.observed(self._known(endpoint), window_s)
        return seen if correction_wait_s is not None else tuple(one.model_copy(update={"corrections": None}) for one in seen)

    def answers(self, endpoint: str, since: datetime, until: datetime) -> Answers:
        """What `logged` says that champion and challenger answered from since to until; changes nothing."""
        return self.logged(self._known(endpoint), since, until)

    def mirrored(self, endpoint: str, window_s: float) -> Mirrored:
        """What champion and challenger answered to the same mirrored requests in the last window_s seconds; changes nothing."""
        return self.seen_mirrored(self._known(endpoint), window_s)

    def invoke(self, endpoint: str, body: dict[str, Any], cohort: Cohort | None = None) -> dict[str, Any]:
        """Name the release that would answer; requests that name no cohort are shared out exactly."""
        if cohort is None and 7 * next(self._asked) % 100 < self._known(endpoint).split.challenger:
            cohort = "challenger"
        return {"model": {"release": self._live(endpoint, cohort).release}, "asked": body}

    def running(self, endpoint: str, cohort: Cohort) -> Running:
        """What the revision says, since there is no server."""
        live = self._live(endpoint, cohort)
        return Running(
            model=live.model,
            release=live.release,
            bundle_digest=live.bundle_digest,
            configuration=live.configuration.model_dump() if live.configuration else {},
            cache_namespace=live.bundle_digest,
            image_digest=live.image_digest,
        )

    def rollback(self, endpoint: str, to: Revision | None = None) -> EndpointStatus:
        """Drop the challenger and give the champion all traffic; a revision becomes champion again instead. Idempotent."""
        now = self._known(endpoint)
        if to and not ran_here(_layout(now), to.bundle_digest):
            self._require_signed(to)
        return self._change(now, layouts.roll_back(to))

    def delete(self, endpoint: str) -> None:
        """Forget the endpoint. Idempotent."""
        self.endpoints.pop(endpoint, None)

    def _live(self, endpoint: str, cohort: Cohort | None) -> Revision:
        found = _layout(self._known(endpoint)).live()
        if cohort and cohort not in found:
            raise NotFound(f"endpoint {endpoint} has no {cohort}; deploy one first")
        return found[cohort or "champion"]

    def _known(self, endpoint: str) -> EndpointStatus:
        if endpoint not in self.endpoints:
            raise NotFound(f"no endpoint {endpoint}; found: {', '.join(sorted(self.endpoints)) or 'none'}")
        return self.endpoints[endpoint]

    def _require_signed(self, revision: Revision) -> None:
        if self.public_key:
            verify_digest("bundle", revision.bundle_digest, revision.signature, self.public_key)

    def _change(self, now: EndpointStatus, decide: layouts.Change) -> EndpointStatus:
        wanted = decide(_layout(now))
        for release in sorted(wanted.releases() - _layout(now).releases()):
            if why := self.faulty.get(release):
                raise Refused(f"release {release} did not become ready at endpoint {now.endpoint}: {why}; nothing was changed")
        return self._put(now.model_copy(update={**dict(wanted), "ready": True}))

    def _put(self, status: EndpointStatus) -> EndpointStatus:
        self.endpoints[status.endpoint] = status
        return status


def _layout(now: EndpointStatus) -> Layout:
    return Layout(champion=now.champion, challenger=now.challenger, previous=now.previous, split=now.split)
