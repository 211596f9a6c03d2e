"""What every place that hosts a model can do, and the records that travel to and from it."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from headgate.model.bundle import open_bundle, signature_beside
from headgate.record import Record
from headgate.release.configuration import Configuration
from headgate.release.observation import Answers as Answers
from headgate.release.observation import Observation as Observation
from headgate.release.plan import Plan as Plan
from headgate.release.plan import Progress as Progress
from headgate.release.shadow_report import Mirrored as Mirrored
from headgate.release.verification import Running as Running

Percent = Annotated[int, Field(ge=0, le=100)]
Cohort = Literal["champion", "challenger"]


class Revision(Record):
    """One bundle under one release: what an endpoint serves."""

    release: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="release id, or adhoc-<8 of digest>")
    bundle_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    bundle: Path | str = Field(description="folder or URI of the bundle")
    signature: str | None = Field(None, description="minisign's, of the bundle digest")
    model: str = Field("adhoc", min_length=1, description="model name in metrics and the prediction log")
    configuration: Configuration | None = Field(None, description="what the servers are told; None: the target's own choice")
    image_digest: str | None = Field(None, description="as the registry has it, for a target that runs images")

    @classmethod
    def adhoc(cls, bundle: Path) -> Self:
        """The revision of a bundle that no release names; BadBundle if the folder is none."""
        found = open_bundle(bundle)
        model = str(found.provenance.get("model") or "adhoc")
        return cls(
            release=f"adhoc-{found.digest[:8]}",
            bundle_digest=found.digest,
            bundle=bundle.resolve(),
            model=model,
            signature=signature_beside(bundle),
        )


class Split(Record):
    """Percent of requests that each cohort answers, and percent of the champion's that the challenger sees too."""

    champion: Percent = 100
    challenger: Percent = 0
    shadow: Percent = 0

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.champion + self.challenger != 100:
            raise ValueError(f"expected champion + challenger = 100 percent, found {self.champion} + {self.challenger}")
        return self


class EndpointStatus(Record):
    """What an endpoint serves now."""

    endpoint: str
    url: str | None = None
    champion: Revision | None = None
    challenger: Revision | None = None
    previous: Revision | None = None
    split: Split = Split()
    ready: bool = False
    detail: str = ""


class Target(Protocol):
    """A place with endpoints. Every call may be repeated after a failure or a kill and ends in the same state.

    NotFound names an endpoint that is not there, Refused says why a change was not made, Unavailable may be tried again.
    A target that was given a public key deploys nothing that is not signed with it.
    """

    @property
    def routing(self) -> Literal["stepwise", "native"]:
        """Who moves the shares: the machine, step by step, or the place itself, by a plan."""

    def deploy(self, endpoint: str, revision: Revision) -> EndpointStatus:
        """Start the revision beside the champion with no traffic; an endpoint's first revision becomes its champion. Idempotent."""

    def status(self, endpoint: str) -> EndpointStatus:
        """What the endpoint serves now; changes nothing, and an unknown endpoint is one that is not ready."""

    def set_split(self, endpoint: str, split: Split) -> EndpointStatus:
        """Share the requests out between champion and challenger. Idempotent."""

    def promote(self, endpoint: str, release: str) -> EndpointStatus:
        """Make the challenger with this release the champion, with all traffic, and keep the old one as previous. Idempotent."""

    def observe(self, endpoint: str, window_s: float, correction_wait_s: float | None = None) -> tuple[Observation, ...]:
        """What champion and challenger answered in the last window_s seconds; changes nothing.

        With correction_wait_s also what users said of the answers that are so old, within that time.
        """

    def answers(self, endpoint: str, since: datetime, until: datetime) -> Answers:
        """All that champion and challenger logged from since to until, with the corrections that came by then; changes nothing."""

    def mirrored(self, endpoint: str, window_s: float) -> Mirrored:
        """What champion and challenger answered to the same mirrored requests in the last window_s seconds; changes nothing."""

    def invoke(self, endpoint: str, body: dict[str, Any], cohort: Cohort | None = None) -> dict[str, Any]:
        """Score a request past the cache, by the named cohort if one is given; changes nothing."""

    def running(self, endpoint: str, cohort: Cohort) -> Running:
        """What the cohort's server says about itself, read from it now; NotFound if there is none, changes nothing."""

    def rollback(self, endpoint: str, to: Revision | None = None) -> EndpointStatus:
        """Drop the challenger and give the champion all traffic; a revision becomes champion again instead. Idempotent."""

    def delete(self, endpoint: str) -> None:
        """Stop everything of the endpoint and forget it; its prediction log stays. Idempotent."""


class NativeTarget(Target, Protocol):
    """A target that shifts traffic by itself, by a plan that it is given; it decides nothing.

    `deploy` lets a revision stand by without servers. Its `observe` tells of a cohort `previous` too: who was champion before the plan
    was done. `rollback` stops a plan that is under way. `set_split` and `promote` work as everywhere, by two variants side by side.
    """

    def check(self, endpoint: str, plan: Plan) -> None:
        """Refused tells all that the place cannot do of the plan; changes nothing, and asks nobody."""

    def submit(self, endpoint: str, plan: Plan) -> EndpointStatus:
        """Let the place shift all traffic to the challenger by the plan, and return at once. Idempotent."""

    def progress(self, endpoint: str, release: str) -> Progress:
        """How far the release is on its way to all traffic, by the place's own word; changes nothing."""
