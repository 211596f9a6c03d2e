"""What an endpoint leaves behind: models, configurations and alarms of old releases. Only what carries our tags and names is removed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.sagemaker_clients import Clients, answered
from deployments.sagemaker_objects import ENDPOINT, OWNER, named
from deployments.sagemaker_plan import ALARMS, STOP_PREFIX
from deployments.sagemaker_state import Config, States
from headgate.errors import NotFound


@dataclass(frozen=True)
class Leftovers:
    """Of one endpoint; the models of the last `keep` releases stay, with the configurations that name no other model."""

    clients: Clients
    states: States
    endpoint: str
    keep: int

    def remove(self, in_force: set[str]) -> None:
        """Remove all that is neither in force (names of configurations, with those before them) nor kept. Idempotent."""
        self._remove_alarms()
        configs = {name: self.states.config(name) for name in self._ours("list_endpoint_configs", "EndpointConfigs", "EndpointConfig")}
        models = self._ours("list_models", "Models", "Model")
        used = {name for name in in_force | _before(in_force, configs) if name in configs}
        kept = {*models[: self.keep], *(model for name in used for model in _models(configs[name]))}
        for name, config in configs.items():
            if name not in used and not _models(config) <= kept:
                self._delete("delete_endpoint_config", f"endpoint configuration {name}", EndpointConfigName=name)
        for model in models:
            if model not in kept:
                self._delete("delete_model", f"model {model}", ModelName=model)

    def _ours(self, operation: str, listed: str, kind: str) -> list[str]:
        """Names of this endpoint's things, the newest first."""
        prefix = named(self.endpoint, {}).rpartition("-")[0]
        listing = self.clients.sagemaker.get_paginator(operation)
        with answered(f"list of {listed}"):
            pages = listing.paginate(NameContains=prefix, SortBy="CreationTime", SortOrder="Descending")
            found = [one for page in pages for one in page[listed] if one[f"{kind}Name"].startswith(f"{prefix}-")]
        newest = sorted(found, key=lambda one: one["CreationTime"], reverse=True)
        return [one[f"{kind}Name"] for one in newest if self._is_ours(one[f"{kind}Arn"])]

    def _is_ours(self, arn: str) -> bool:
        try:
            marks = self.states.tags(arn)
        except NotFound:
            return False
        return marks.get(OWNER) == "headgate" and marks.get(ENDPOINT) == self.endpoint

    def _remove_alarms(self) -> None:
        prefix = f"{STOP_PREFIX}{named(self.endpoint, {}).rpartition('-')[0]}-"
        with answered(f"alarms of endpoint {self.endpoint}"):
            pages = self.clients.cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix)
            found = [one for page in pages for one in page["MetricAlarms"]]
            names = [one["AlarmName"] for one in found if self._watches_it(one)]
            if names:
                self.clients.cloudwatch.delete_alarms(AlarmNames=names)

    def _watches_it(self, alarm: Mapping[str, Any]) -> bool:
        about = {one["Name"]: one["Value"] for one in alarm.get("Dimensions") or []}
        return about.get("EndpointName") == self.endpoint and alarm["AlarmName"].endswith(tuple(f"-{kind}" for kind in ALARMS))

    def _delete(self, operation: str, what: str, **request: str) -> None:
        try:
            with answered(what):
                getattr(self.clients.sagemaker, operation)(**request)
        except NotFound:
            pass


def _models(config: Config) -> set[str]:
    return {model for model in (config.cast.champion, config.cast.challenger) if model}


def _before(names: set[str], configs: Mapping[str, Config]) -> set[str]:
    return set(_chain(names, configs))


def _chain(names: set[str], configs: Mapping[str, Config]) -> Iterator[str]:
    """The configuration before each: it is whom one goes back to."""
    for name in names:
        if name in configs and (previous := configs[name].cast.previous):
            yield previous
