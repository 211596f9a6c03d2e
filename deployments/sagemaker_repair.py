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
        """An endpoint that is gone serves this revision, as it was written down if that is the one."""
        kept = self.changes.states.kept(endpoint)
        same = kept is not None and self.changes.states.revision(kept.cast.champion).release == goal.release
        cast = kept.cast if kept and same else Cast(champion=self.changes.model(endpoint, goal))
        return self._made(endpoint, cast, goal)

    def _made(self, endpoint: str, cast: Cast, goal: Revision) -> Now:
        now = self.changes.create(endpoint, cast, goal)
        self.changes.forget(endpoint)
        return now

    def _write_down(self, endpoint: str, cast: Cast, goal: Revision) -> None:
        kept = self.changes.states.kept(endpoint)
        if kept is None or kept.cast != cast:
            self.changes.forget(endpoint)
            self.changes.config(endpoint, cast, goal, EndpointConfigName=kept_name(endpoint))
