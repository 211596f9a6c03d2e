"""An endpoint in memory, for tests of what drives a target: it holds revisions and a split, and answers nothing by itself."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from deployments.target import Answers, Cohort, EndpointStatus, Mirrored, Observation, Revision, Running, Split
from headgate.errors import NotFound, Refused, Stale


class MemoryTarget:
    """Any number of endpoints; `observed` says what their cohorts answered, `mirrored` what to copies; both may look at the endpoint."""

    routing: Literal["stepwise", "native"] = "stepwise"

    def __init__(
        self,
        observed: Callable[[EndpointStatus, float], tuple[Observation, ...]] = lambda _, __: (),
        mirrored: Callable[[EndpointStatus, float], Mirrored] = lambda _, __: Mirrored(),
    ) -> None:
        self.endpoints: dict[str, EndpointStatus] = {}
        self.logged: Callable[[EndpointStatus, datetime, datetime], Answers] = lambda _, __, ___: Answers((), {}, {})
        self.observed, self.seen_mirrored = observed, mirrored

    def deploy(self, endpoint: str, revision: Revision) -> EndpointStatus:
        """Start the revision beside the champion with no traffic; an endpoint's first revision becomes its champion. Idempotent."""
        now = self.status(endpoint)
        if revision in (now.champion, now.challenger):
            return now
        cohort = "challenger" if now.champion else "champion"
        return self._put(now, **{cohort: revision}, split=Split(), ready=True)

    def status(self, endpoint: str) -> EndpointStatus:
        """What the endpoint serves now; changes nothing, and an unknown endpoint is one that is not ready."""
        return self.endpoints.get(endpoint, EndpointStatus(endpoint=endpoint))

    def set_split(self, endpoint: str, split: Split) -> EndpointStatus:
        """Share the requests out between champion and challenger. Idempotent."""
        now = self._known(endpoint)
        if now.challenger is None and split != Split():
            raise Refused(f"endpoint {endpoint}: expected a challenger to give traffic to, found none; deploy one first")
        return self._put(now, split=split)

    def promote(self, endpoint: str, release: str) -> EndpointStatus:
        """Make the challenger with this release the champion, with all traffic, and keep the old one as previous. Idempotent."""
        now = self._known(endpoint)
        if now.champion and now.champion.release == release:
            return now
        if now.challenger is None or now.challenger.release != release:
            raise Stale(f"endpoint {endpoint}: expected {release} as the challenger; deploy it again")
        return self._put(now, champion=now.challenger, challenger=None, previous=now.champion, split=Split())

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
        """Name the release that would answer."""
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
        if to is None or to == now.champion:
            return self._put(now, challenger=None, split=Split())
        return self._put(now, champion=to, challenger=None, previous=now.champion, split=Split())

    def delete(self, endpoint: str) -> None:
        """Forget the endpoint. Idempotent."""
        self.endpoints.pop(endpoint, None)

    def _live(self, endpoint: str, cohort: Cohort | None) -> Revision:
        now = self._known(endpoint)
        if (found := now.challenger if cohort == "challenger" else now.champion) is None:
            raise NotFound(f"endpoint {endpoint} has no {cohort or 'champion'}")
        return found

    def _known(self, endpoint: str) -> EndpointStatus:
        if endpoint not in self.endpoints:
            raise NotFound(f"no endpoint {endpoint}")
        return self.endpoints[endpoint]

    def _put(self, now: EndpointStatus, **change: Any) -> EndpointStatus:
        self.endpoints[now.endpoint] = now.model_copy(update=change)
        return self.endpoints[now.endpoint]
