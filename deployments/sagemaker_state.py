"""What is true of an endpoint now, read from SageMaker alone: the endpoint, its configurations, its models and their tags.

Configurations and models never change, so each is read once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deployments.layout import Layout
from deployments.sagemaker_clients import Clients, answered
from deployments.sagemaker_objects import CHALLENGER, CHAMPION, OWNER, STANDS_BY, Cast, cast_of, kept_name, read_tags, revision_of, shares
from deployments.sagemaker_plan import STOP_PREFIX, STOP_SUFFIX, share_of
from deployments.target import Revision, Split
from headgate.errors import NotFound, Refused

MOVING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
BROKEN = ("Failed", "UpdateRollbackFailed", "OutOfService")


class Config(NamedTuple):
    """An endpoint configuration: who answers by it, where its answers are captured, and what part of them."""

    name: str
    cast: Cast
    captures: str
    captured_percent: int


NOTHING = Config("", Cast(champion=""), "", 0)  # of an endpoint that never came into service


class Fleet(NamedTuple):
    """Servers that answer, or answered, as one cohort."""

    cohort: str
    config: Config
    variant: str
    revision: Revision


@dataclass(frozen=True)
class Now:
    """An endpoint as it is: its own description, the configuration in force, and the one that it is being updated to."""

    described: Mapping[str, Any]
    marks: Mapping[str, str]
    config: Config
    pending: Config | None

    @property
    def status(self) -> str:
        """SageMaker's word."""
        return str(self.described["EndpointStatus"])

    @property
    def moving(self) -> bool:
        """Whether SageMaker is changing something, and would refuse a change of ours."""
        return self.status in MOVING

    @property
    def broken(self) -> bool:
        """Whether it serves nothing that can be relied on."""
        return self.status in BROKEN

    @property
    def served(self) -> bool:
        """Whether it ever came into service: one that failed before has no variants."""
        return bool(self.described.get("ProductionVariants"))

    @property
    def reason(self) -> str:
        """Why SageMaker failed or went back, if it says so."""
        return str(self.described.get("FailureReason") or "")

    @property
    def submitted(self) -> str | None:
        """The configuration that the last update with our alarms led to."""
        auto = (self.described.get("LastDeploymentConfig") or {}).get("AutoRollbackConfiguration") or {}
        names = [str(one.get("AlarmName")) for one in auto.get("Alarms") or []]
        return next((name[len(STOP_PREFIX) : -len(STOP_SUFFIX)] for name in names if name.endswith(STOP_SUFFIX)), None)


@dataclass(frozen=True)
class States:
    """Reads endpoints of one region."""

    clients: Clients
    _configs: dict[str, Config] = field(default_factory=dict)
    _revisions: dict[str, Revision] = field(default_factory=dict)

    def now(self, endpoint: str) -> Now | None:
        """The endpoint, or None; Refused where somebody else made one of this name."""
        try:
            with answered(f"endpoint {endpoint}"):
                described = self.clients.sagemaker.describe_endpoint(EndpointName=endpoint)
        except NotFound:
            return None
        marks = self.tags(described["EndpointArn"])
        if marks.get(OWNER) != "headgate":
            raise Refused(f"endpoint {endpoint}: expected Headgate's tag {OWNER}, found none; somebody else made it: rename or delete it")
        pending = (described.get("PendingDeploymentSummary") or {}).get("EndpointConfigName")
        name = described.get("EndpointConfigName") or pending
        current = self.config(name) if name else NOTHING
        return Now(described, marks, current, self.config(pending) if pending and pending != current.name else None)

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of a thing."""
        with answered(f"tags of {arn}"):
            pages = self.clients.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
            return read_tags([one for page in pages for one in page["Tags"]])

    def config(self, name: str) -> Config:
        """One endpoint configuration; NotFound if it was removed."""
        if name not in self._configs:
            self._configs[name] = self._config(name)
        return self._configs[name]

    def kept(self, endpoint: str) -> Config | None:
        """What an endpoint that is deleted shall serve again; None unless it was being made anew."""
        try:
            return self._config(kept_name(endpoint))
        except NotFound:
            return None

    def _config(self, name: str) -> Config:
        with answered(f"endpoint configuration {name}"):
            found = self.clients.sagemaker.describe_endpoint_config(EndpointConfigName=name)
        cast, capture = cast_of(found, self.tags(found["EndpointConfigArn"])), found.get("DataCaptureConfig") or {}
        return Config(name, cast, capture.get("DestinationS3Uri", ""), capture.get("InitialSamplingPercentage", 0))

    def revision(self, model: str) -> Revision:
        """The revision that a model is; NotFound if it was removed."""
        if model not in self._revisions:
            with answered(f"model {model}"):
                found = self.clients.sagemaker.describe_model(ModelName=model)
            self._revisions[model] = revision_of(found, self.tags(found["ModelArn"]))
        return self._revisions[model]

    def layout(self, now: Now) -> Layout:
        """Who is champion, challenger and previous, and how requests are shared out."""
        if now.config == NOTHING:
            return Layout()
        challenger = _challenger(now)
        return self.alone(now.config).model_copy(
            update={"challenger": self.known(challenger), "split": _split(now) if challenger else Split()}
        )

    def alone(self, config: Config) -> Layout:
        """The champion of a configuration, and who was it before."""
        previous = self.before(config)
        return Layout(champion=self.revision(config.cast.champion), previous=self.known(previous.cast.champion) if previous else None)

    def before(self, config: Config) -> Config | None:
        """The configuration before, while it is kept."""
        try:
            return self.config(config.cast.previous) if config.cast.previous else None
        except NotFound:
            return None

    def fleets(self, now: Now) -> list[Fleet]:
        """Who answers now, by cohort; and `previous`, who answered before the last change of champions."""
        cast = now.config.cast
        if now.config == NOTHING:
            return []
        found = [("champion", now.config, CHAMPION, cast.champion)]
        if now.pending and now.pending.cast.champion != cast.champion:
            found.append(("challenger", now.pending, CHAMPION, now.pending.cast.champion))
        elif cast.challenger:
            found.append(("challenger", now.config, CHALLENGER, cast.challenger))
        elif previous := self.before(now.config):
            found.append(("previous", previous, CHAMPION, previous.cast.champion))
        return [Fleet(cohort, config, variant, self.revision(model)) for cohort, config, variant, model in found]

    def known(self, model: str | None) -> Revision | None:
        """The revision that a model is; None for no model, and for one that was removed."""
        try:
            return self.revision(model) if model else None
        except NotFound:
            return None


def _challenger(now: Now) -> str | None:
    """The model that comes, that stands beside the champion, or that stands by."""
    cast, pending = now.config.cast, now.pending.cast if now.pending else None
    if pending and pending.champion != cast.champion:
        return pending.champion
    stands_by = now.marks.get(STANDS_BY)
    beside = cast.challenger or (pending.challenger if pending else None)
    return beside or (stands_by if stands_by != cast.champion else None)


def _split(now: Now) -> Split:
    cast = now.config.cast
    if now.pending and now.pending.cast.champion != cast.champion:
        percent, _ = share_of(now.described["PendingDeploymentSummary"]) if now.status != "RollingBack" else (0, None)
        return Split(champion=100 - percent, challenger=percent)
    if cast.shape == "shadow":
        return Split(shadow=cast.shadow_percent)
    percent = shares(now.described.get("ProductionVariants") or []) if cast.shape == "side_by_side" else 0
    return Split(champion=100 - percent, challenger=percent)
