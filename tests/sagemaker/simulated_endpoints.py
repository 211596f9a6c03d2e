"""One simulated SageMaker endpoint: its fleets, its status and what DescribeEndpoint says of it.

Statuses as in the API reference of DescribeEndpoint. After a rollback the endpoint is InService with its previous configuration; the reason
may or may not be told (hashicorp/terraform-provider-aws, issues 39099 and 48997).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from simulated_rollout import Stage, Times, stages, way_back

IN_PROGRESS = ("Creating", "Updating", "RollingBack", "Deleting")


class World(Protocol):
    """What an endpoint asks of the rest of the account."""

    times: Times
    silent_rollback: bool
    rollback_fails: bool

    def refuses_to_start(self, region: str, model: str, variant: str) -> str | None:
        """Why an instance of the model does not come up; None: it does."""
        ...

    def in_alarm(self, region: str, names: Iterable[str]) -> str | None:
        """The first of these alarms that is in state ALARM."""
        ...

    def images(self, region: str, model: str) -> list[dict[str, Any]]:
        """DeployedImages of the model."""
        ...


@dataclass
class Fleet:
    """The instances of one endpoint configuration."""

    config: Mapping[str, Any]
    weights: dict[str, float]
    instances: dict[str, int]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Fleet":
        variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", ())]
        weights = {variant["VariantName"]: float(variant.get("InitialVariantWeight", 1.0)) for variant in variants}
        return cls(config, weights, {variant["VariantName"]: variant.get("InitialInstanceCount", 1) for variant in variants})

    def production(self) -> dict[str, int]:
        return {variant["VariantName"]: self.instances[variant["VariantName"]] for variant in self.config["ProductionVariants"]}

    def model(self, variant: str) -> str:
        return next(str(one["ModelName"]) for one in self.variants() if one["VariantName"] == variant)

    def variants(self, kinds: tuple[str, ...] = ("ProductionVariants", "ShadowProductionVariants")) -> list[Mapping[str, Any]]:
        return [variant for kind in kinds for variant in self.config.get(kind, ())]


@dataclass
class Deployment:
    """A change of fleets under way."""

    fleet: Fleet
    config: Mapping[str, Any]
    way: list[Stage]
    started: datetime
    stage_since: datetime
    back: bool = False

    @property
    def stage(self) -> Stage:
        return self.way[0]

    @property
    def until(self) -> datetime:
        return self.stage_since + timedelta(seconds=self.stage.seconds)

    def share(self, variant: str) -> float:
        total = self.fleet.production().get(variant, 0)
        return self.stage.on.get(variant, 0) / total if total else 0.0


@dataclass
class Endpoint:
    """Moved on by `tick` alone; every other member is what its account's calls made of it."""

    name: str
    arn: str
    region: str
    created: datetime
    modified: datetime
    world: World
    fleet: Fleet | None = None
    status: str = "Creating"
    deployment: Deployment | None = None
    last_config: Mapping[str, Any] | None = None
    failure: str | None = None
    desired: dict[str, tuple[float, int]] = field(default_factory=dict)
    until: datetime | None = None

    # What is asked of it

    def deploy(self, fleet: Fleet, config: Mapping[str, Any], now: datetime) -> None:
        times = self.world.times
        way = (
            stages(config, fleet.production(), times) if self.fleet else [Stage("Creating", times.provision_s, "Launching instances.", {})]
        )
        self.deployment = Deployment(fleet, config, way, now, now)
        self.status, self.failure, self.modified = "Updating" if self.fleet else "Creating", None, now
        if config:
            self.last_config = config

    def scale(self, desired: dict[str, tuple[float, int]], now: datetime) -> None:
        self.desired, self.status, self.modified = desired, "Updating", now
        self.until = now + timedelta(seconds=self.world.times.scale_s)

    def delete(self, now: datetime) -> None:
        self.status, self.modified = "Deleting", now
        self.until = now + timedelta(seconds=self.world.times.delete_s)

    # What time makes of it

    def next_event(self) -> datetime | None:
        if self.deployment and self.status in IN_PROGRESS:
            return self.deployment.until
        return self.until

    def tick(self, now: datetime) -> None:
        """All that is due by now; a deployment is looked at before and after each of its stages."""
        if self.status not in IN_PROGRESS:
            return
        if self.until and self.until <= now:
            self._settle(now)
        while (deployment := self.deployment) and self.status in IN_PROGRESS:
            if not deployment.back and (reason := self._why_back(deployment, now)):
                self._roll_back(deployment, reason, now)
            elif deployment.until <= now:
                self._end_stage(deployment, now)
            else:
                return

    def _settle(self, now: datetime) -> None:
        self.until, self.modified = None, now
        if self.status == "Deleting":
            self.status = "Deleted"
            return
        assert self.fleet
        self.fleet.weights |= {name: weight for name, (weight, _) in self.desired.items()}
        self.fleet.instances |= {name: count for name, (_, count) in self.desired.items()}
        self.desired, self.status = {}, "InService"

    def _why_back(self, deployment: Deployment, now: datetime) -> str | None:
        """Alarms are watched while the new fleet bakes ("Auto-Rollback Configuration and Monitoring")."""
        alarms = [alarm["AlarmName"] for alarm in deployment.config.get("AutoRollbackConfiguration", {}).get("Alarms", ())]
        if self.fleet and deployment.stage.status == "Baking" and (name := self.world.in_alarm(self.region, alarms)):
            return f"Deployment was rolled back because the alarm {name} is in state ALARM."
        policy = deployment.config.get("BlueGreenUpdatePolicy", deployment.config.get("RollingUpdatePolicy", {}))
        limit = policy.get("MaximumExecutionTimeoutInSeconds")
        if self.fleet and limit is not None and now - deployment.started > timedelta(seconds=limit):
            return f"Deployment was rolled back because it exceeded its maximum execution time of {limit} seconds."
        return None

    def _roll_back(self, deployment: Deployment, reason: str, now: datetime) -> None:
        deployment.way = way_back(deployment.config, deployment.stage.on, self.world.times)
        deployment.back, deployment.stage_since = True, now
        self.status, self.failure = "RollingBack", reason

    def _end_stage(self, deployment: Deployment, now: datetime) -> None:
        if deployment.stage.status == "Creating" and (reason := self._does_not_start(deployment)):
            self._failed_start(deployment, reason, now)
            return
        if len(deployment.way) == 1:
            self._finish(deployment, now)
            return
        deployment.stage_since = deployment.until
        deployment.way = deployment.way[1:]

    def _does_not_start(self, deployment: Deployment) -> str | None:
        fleet = self.fleet if deployment.back else deployment.fleet
        assert fleet
        reasons = (self.world.refuses_to_start(self.region, one["ModelName"], one["VariantName"]) for one in fleet.variants())
        return next((reason for reason in reasons if reason), None)

    def _failed_start(self, deployment: Deployment, reason: str, now: datetime) -> None:
        if deployment.back:
            self.status, self.failure, self.modified = "UpdateRollbackFailed", reason, now
        elif self.fleet:
            self._roll_back(deployment, reason, now)
        else:
            self.status, self.failure, self.modified, self.deployment = "Failed", reason, now, None

    def _finish(self, deployment: Deployment, now: datetime) -> None:
        if deployment.back:
            self.failure = None if self.world.silent_rollback else self.failure
        else:
            self.fleet = deployment.fleet
        self.status = "Failed" if deployment.back and self.world.rollback_fails else "InService"
        self.deployment, self.modified = None, now

    # What is seen of it

    def routes(self) -> list[tuple[Fleet, str, float]]:
        """Fleets and production variants with their parts of the traffic."""
        if not self.fleet or self.status in ("Failed", "Deleting"):
            return []
        share = self.deployment.share if self.deployment else lambda _: 0.0
        old = [(self.fleet, name, self.fleet.weights[name] * (1 - share(name))) for name in self.fleet.production()]
        new = self.deployment.fleet if self.deployment else self.fleet
        routes = old + ([(new, name, new.weights[name] * share(name)) for name in new.production()] if self.deployment else [])
        return [route for route in routes if route[2] > 0 or (not self.deployment and route[0] is self.fleet)]

    def described(self) -> dict[str, Any]:
        """The output of DescribeEndpoint."""
        of = self.fleet or (self.deployment.fleet if self.deployment else None)
        said = {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointStatus": self.status,
            "CreationTime": self.created.timestamp(),
            "LastModifiedTime": self.modified.timestamp(),
            "EndpointConfigName": of.config["EndpointConfigName"] if of else None,
            "FailureReason": self.failure if self.status != "RollingBack" else None,
            "LastDeploymentConfig": self.last_config,
            "DataCaptureConfig": _capture(of.config.get("DataCaptureConfig")) if of else None,
            "PendingDeploymentSummary": self._pending() if self.deployment and self.status in IN_PROGRESS else None,
        }
        if self.fleet:
            for kind in ("ProductionVariants", "ShadowProductionVariants"):
                said[kind] = [self._summary(variant) for variant in self.fleet.variants((kind,))] or None
        return {name: value for name, value in said.items() if value is not None}

    def _summary(self, variant: Mapping[str, Any]) -> dict[str, Any]:
        assert self.fleet
        name = variant["VariantName"]
        weight, instances = self.fleet.weights[name], self.fleet.instances[name]
        wanted_weight, wanted_instances = self.desired.get(name, (weight, instances))
        said = {
            "VariantName": name,
            "DeployedImages": self.world.images(self.region, variant["ModelName"]),
            "CurrentWeight": weight,
            "DesiredWeight": wanted_weight,
            "CurrentInstanceCount": instances,
            "DesiredInstanceCount": wanted_instances,
        }
        if name in self.desired:
            said["VariantStatus"] = [{"Status": "Updating", "StartTime": self.modified.timestamp()}]
        return said

    def _pending(self) -> dict[str, Any]:
        assert self.deployment
        deployment, fleet = self.deployment, self.deployment.fleet
        status = {"Status": deployment.stage.status, "StatusMessage": deployment.stage.message}
        said: dict[str, Any] = {"EndpointConfigName": fleet.config["EndpointConfigName"], "StartTime": deployment.started.timestamp()}
        for kind in ("ProductionVariants", "ShadowProductionVariants"):
            if variants := fleet.variants((kind,)):
                said[kind] = [
                    {
                        "VariantName": (name := variant["VariantName"]),
                        "DeployedImages": self.world.images(self.region, variant["ModelName"]),
                        "CurrentWeight": fleet.weights[name],
                        "DesiredWeight": fleet.weights[name],
                        "CurrentInstanceCount": deployment.stage.on.get(name, 0),
                        "DesiredInstanceCount": fleet.instances[name],
                        "InstanceType": variant.get("InstanceType"),
                        "VariantStatus": [status | {"StartTime": deployment.stage_since.timestamp()}],
                    }
                    for variant in variants
                ]
        return said


def _capture(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if config is None:
        return None
    enabled = config.get("EnableCapture", True)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }
