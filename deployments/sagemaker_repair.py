"""An endpoint that failed serves again. Where SageMaker takes no update any more it is deleted and made anew, for some minutes without one.

What it shall serve is written down before, as a configuration whose name follows from the endpoint's: whoever comes after a kill finds it.
"""

from dataclasses import dataclass

from deployments.sagemaker_changes import Changes
from deployments.sagemaker_objects import Cast, kept_name
from deployments.sagemaker_state import Now
from deployments.target import Revision
from headgate.errors import Refused


@dataclass(frozen=True)
class Repair:
    """Makes endpoints of one region again; each step can be repeated."""

    changes: Changes

    def repaired(self, endpoint: str, now: Now, cast: Cast, goal: Revision) -> Now:
        """Updated where SageMaker still takes that, else made anew."""
        if now.status == "UpdateRollbackFailed":
            try:
                return self.changes.switch(endpoint, cast)
            except Refused:
                pass
        self._write_down(endpoint, cast, goal)
        self.changes.gone(endpoint)
        return self._made(endpoint, cast, goal)

    def begun(self, endpoint: str) -> Now | None:
        """The endpoint, or None; a repair that was killed is finished first."""
        if now := self.changes.present(endpoint):
            return now
        kept = self.changes.states.kept(endpoint)
        return self._made(endpoint, kept.cast, self.changes.states.revision(kept.cast.champion)) if kept else None

    def anew(self, endpoint: str, goal: Revision) -> Now:
        """An endpoint that is gone serves this revision; what it was to serve by what is written down comes before it."""
        if (kept := self.changes.states.kept(endpoint)) is None:
            return self._made(endpoint, Cast(champion=self.changes.model(endpoint, goal)), goal)
        failed = self.changes.states.revision(kept.cast.champion)
        if failed.release == goal.release:
            return self._made(endpoint, kept.cast, goal)
        before = self.changes.config(endpoint, kept.cast, failed)
        return self._made(endpoint, Cast(champion=self.changes.model(endpoint, goal), previous=before), goal)

    def _made(self, endpoint: str, cast: Cast, goal: Revision) -> Now:
        now = self.changes.create(endpoint, cast, goal)
        self.changes.forget(endpoint)
        return now

    def _write_down(self, endpoint: str, cast: Cast, goal: Revision) -> None:
        kept = self.changes.states.kept(endpoint)
        if kept is None or kept.cast != cast:
            self.changes.forget(endpoint)
            self.changes.config(endpoint, cast, goal, EndpointConfigName=kept_name(endpoint))
