"""The control plane of the simulator: models, endpoint configurations, endpoints and their tags.

Messages as SageMaker's were reported: "Cannot create already existing ..." (aws/sagemaker-python-sdk, issue 101), "Cannot update
in-progress endpoint" and "Could not find ..." (the SageMaker controller for Kubernetes matches on both).
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from service_shapes import faults, refusal, service
from simulated_alarms import aware
from simulated_endpoints import IN_PROGRESS, Endpoint, Fleet
from simulated_rollout import faults as plan_faults
from simulated_wire import Call, error
from werkzeug import Request, Response

if TYPE_CHECKING:
    from simulator import Region, Simulator

Given = Mapping[str, Any]
PAGE = 10


class Invalid(Exception):
    """A ValidationException."""


class Control:
    """Answers what moto lacks or does otherwise; the rest goes to moto, checked against the service model."""

    def __init__(self, simulator: "Simulator") -> None:
        self._simulator = simulator
        self._own: dict[str, Callable[[str, Region, Given], dict[str, Any]]] = {
            "CreateEndpointConfig": self._create_config,
            "DescribeEndpointConfig": self._describe_config,
            "DeleteEndpointConfig": self._delete_config,
            "ListEndpointConfigs": self._list_configs,
            "CreateEndpoint": self._create,
            "DescribeEndpoint": self._describe,
            "UpdateEndpoint": self._update,
            "UpdateEndpointWeightsAndCapacities": self._scale,
            "DeleteEndpoint": self._delete,
            "ListEndpoints": self._list,
            "ListModels": self._list_models,
        }

    def respond(self, request: Request, call: Call) -> Response:
        operation = service("sagemaker").operation_model(call.operation)
        try:
            if found := faults(call.given, operation.input_shape):
                raise Invalid(refusal(found))
            said = self._said(call)
        except Invalid as problem:
            return error(request, "ValidationException", str(problem))
        if said is None:
            response = self._simulator.forward(request)
            if call.operation == "CreateModel" and response.status_code == 200:
                self._simulator.backend("sagemaker", call.region)._models[call.given["ModelName"]].creation_time = self._simulator.stamp()
            return response
        if operation.output_shape and (found := faults(said, operation.output_shape)):
            return error(request, "InternalFailure", f"the simulator's answer is not SageMaker's: {refusal(found)}")
        return Response(json.dumps(said) if operation.output_shape else b"", 200, content_type="application/x-amz-json-1.1")

    def _said(self, call: Call) -> dict[str, Any] | None:
        """The output; None: it is moto's to answer."""
        region = self._simulator.region(call.region)
        given = call.given
        if call.operation in self._own:
            return self._own[call.operation](call.region, region, given)
        if call.operation == "CreateModel":
            self._check_model(call.region, given)
        if call.operation in ("ListTags", "AddTags", "DeleteTags") and str(given["ResourceArn"]).split(":")[5].startswith("endpoint"):
            return self._tags(call.operation, region, given)
        return None

    # Models and tags

    def _check_model(self, region: str, given: Given) -> None:
        if given["ModelName"] in self._simulator.backend("sagemaker", region)._models:
            raise Invalid(f'Cannot create already existing model "{self._arn(region, "model", given["ModelName"])}".')
        for container in given.get("Containers", ()) or [given.get("PrimaryContainer", {})]:
            if uri := container.get("ModelDataUrl"):
                bucket, key = urlsplit(uri).netloc, urlsplit(uri).path.lstrip("/")
                buckets = self._simulator.backend("s3", "aws").buckets
                if bucket not in buckets or key not in buckets[bucket].keys:
                    raise Invalid(f"Could not find model data at {uri}.")

    def _list_models(self, name: str, region: "Region", given: Given) -> dict[str, Any]:
        found = self._simulator.backend("sagemaker", name)._models.values()
        rows = [
            {
                "ModelName": model.model_name,
                "ModelArn": self._arn(name, "model", model.model_name),
                "CreationTime": aware(model.creation_time).timestamp(),
            }
            for model in found
        ]
        return _page("Models", rows, given)

    def _tags(self, operation: str, region: "Region", given: Given) -> dict[str, Any]:
        tags = region.tags.get(given["ResourceArn"])
        if tags is None:
            raise Invalid(f"Could not find resource {given['ResourceArn']}.")
        if operation == "AddTags":
            tags |= _tag_map(given)
        if operation == "DeleteTags":
            for key in given["TagKeys"]:
                tags.pop(key, None)
            return {}
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    # Endpoint configurations

    def _create_config(self, name: str, region: "Region", given: Given) -> dict[str, Any]:
        config, arn = given["EndpointConfigName"], self._arn(name, "endpoint-config", given["EndpointConfigName"])
        if config in region.configs:
            raise Invalid(f'Cannot create already existing endpoint configuration "{arn}".')
        variants = [*given["ProductionVariants"], *given.get("ShadowProductionVariants", ())]
        if given.get("ShadowProductionVariants") and len(variants) != 2:
            raise Invalid("You can only specify one variant for ProductionVariants and one variant for ShadowProductionVariants.")
        names = [variant["VariantName"] for variant in variants]
        if len(set(names)) < len(names):
            raise Invalid(f"Variant names must be unique within an endpoint configuration, found {names}.")
        for variant in variants:
            self._check_variant(name, variant)
        kept = {key: value for key, value in given.items() if key != "Tags"}
        region.configs[config] = kept | {"EndpointConfigArn": arn, "CreationTime": self._simulator.stamp().timestamp()}
        region.tags[arn] = _tag_map(given)
        return {"EndpointConfigArn": arn}

    def _check_variant(self, region: str, variant: Given) -> None:
        model = variant.get("ModelName")
        if model not in self._simulator.backend("sagemaker", region)._models:
            raise Invalid(f'Could not find model "{self._arn(region, "model", str(model))}".')
        if not {"InstanceType", "InitialInstanceCount"} <= set(variant):
            raise Invalid(f"InstanceType and InitialInstanceCount are required for variant {variant['VariantName']}.")

    def _config(self, name: str, region: "Region", config: str) -> dict[str, Any]:
        if config not in region.configs:
            raise Invalid(f'Could not find endpoint configuration "{self._arn(name, "endpoint-config", config)}".')
        return region.configs[config]

    def _describe_config(self, name: str, region: "Region", given: Given) -> dict[str, Any]:
        return self._config(name, region, given["EndpointConfigName"])

    def _delete_config(self, name: str, region: "Region", given: Given) -> dict[str, Any]:
        config = self._config(name, region, given["EndpointConfigName"])
        del region.configs[given["EndpointConfigName"]], region.tags[config["EndpointConfigArn"]]
        return {}

    def _list_configs(self, name: str, region: "Region", given: Given) -> dict[str, Any]:
        names = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
        return _page("EndpointConfigs", [{key: config[key] for key in names} for config in region.configs.values()], given)

    # Endpoints

    def _endpoint(self, name: str, region: "Region", given: Given, *, changing: bool = True) -> Endpoint:
        endpoint = region.endpoints.get(given["EndpointName"])
        if endpoint is None:
            raise Invalid(f'Could not find endpoint "{self._arn(name, "endpoint", given["EndpointName"])}".')
        if changing and endpoint.status in IN_PROGRESS:
            raise Invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        return endpoint

    def _create(self, name: str, region: "Region", given: Given) -> dict[str, Any]:
        arn, now = self._arn(name, "endpoint", given["EndpointName"]), self._simulator.clock.now()
        if any(existing.lower() == given["EndpointName"].lower() for existing in region.endpoints):
            raise Invalid(f'Cannot create already existing endpoint "{arn}".')
        fleet = Fleet.of(self._config(name, region, given["EndpointConfigName"]))
        self._check_plan(name, given.get("DeploymentConfig", {}), {}, fleet.production())
        endpoint = Endpoint(given["EndpointName"], arn, name, now, now, self._simulator)
        endpoint.deploy(fleet, given.get("DeploymentConfig", {}), now)
        region.endpoints[endpoint.name], region.tags[arn] = endpoint, _tag_map(given)
        return {"EndpointArn": arn}

    def _describe(self, name: str, region: "Region", given: Given) -> dict[str, Any]:
        return self._endpoint(name, region, given, changing=False).described()

    def _update(self, name: str, region: "Region", given: Given) -> dict[str, Any]:
        endpoint = self._endpoint(name, region, given)
        if endpoint.status == "Failed" or not endpoint.fleet:
            raise Invalid(f'Cannot update endpoint "{endpoint.arn}" in status {endpoint.status}.')
        fleet = Fleet.of(self._config(name, region, given["EndpointConfigName"]))
        self._config(name, region, endpoint.fleet.config["EndpointConfigName"])
        if given.get("RetainAllVariantProperties"):
            _retain(endpoint.fleet, fleet, {one["VariantPropertyType"] for one in given.get("ExcludeRetainedVariantProperties", ())})
        plan = given.get("DeploymentConfig", {})
        if given.get("RetainDeploymentConfig"):
            if plan:
                raise Invalid("DeploymentConfig cannot be specified with RetainDeploymentConfig.")
            plan = endpoint.last_config or {}
        self._check_plan(name, plan, endpoint.fleet.production(), fleet.production())
        endpoint.deploy(fleet, plan, self._simulator.clock.now())
        return {"EndpointArn": endpoint.arn}

    def _check_plan(self, region: str, plan: Given, old: Mapping[str, int], new: Mapping[str, int]) -> None:
        """That an alarm must exist is the simulator's own strictness: the documentation does not say when it is looked up."""
        found = plan_faults(plan, old, new)
        existing = self._simulator.backend("cloudwatch", region).alarms
        alarms = [alarm["AlarmName"] for alarm in plan.get("AutoRollbackConfiguration", {}).get("Alarms", ())]
        found += [f"Alarm {alarm} does not exist" for alarm in alarms if alarm not in existing]
        if found:
            raise Invalid("; ".join(found))

    def _scale(self, name: str, region: "Region", given: Given) -> dict[str, Any]:
        endpoint = self._endpoint(name, region, given)
        if endpoint.status == "Failed" or not endpoint.fleet:
            raise Invalid(f'Cannot update endpoint "{endpoint.arn}" in status {endpoint.status}.')
        wanted = {one["VariantName"]: one for one in given["DesiredWeightsAndCapacities"]}
        if len(wanted) < len(given["DesiredWeightsAndCapacities"]):
            raise Invalid("Variant names must be unique within the request.")
        if missing := sorted(set(wanted) - set(endpoint.fleet.weights)):
            config = endpoint.fleet.config["EndpointConfigName"]
            raise Invalid(f'The variant name(s) "{", ".join(missing)}" is/are not present within endpoint configuration "{config}".')
        weights, instances = endpoint.fleet.weights, endpoint.fleet.instances
        desired = {
            variant: (float(one.get("DesiredWeight", weights[variant])), int(one.get("DesiredInstanceCount", instances[variant])))
            for variant, one in wanted.items()
        }
        endpoint.scale(desired, self._simulator.clock.now())
        return {"EndpointArn": endpoint.arn}

    def _delete(self, name: str, region: "Region", given: Given) -> dict[str, Any]:
        self._endpoint(name, region, given).delete(self._simulator.clock.now())
        return {}

    def _list(self, name: str, region: "Region", given: Given) -> dict[str, Any]:
        names = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        rows = [{key: endpoint.described()[key] for key in names} for endpoint in region.endpoints.values()]
        return _page("Endpoints", [row for row in rows if row["EndpointStatus"] == given.get("StatusEquals", row["EndpointStatus"])], given)

    def _arn(self, region: str, kind: str, name: str) -> str:
        return self._simulator.arn(region, kind, name)


def _tag_map(given: Given) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in given.get("Tags", ())}


def _retain(old: Fleet, new: Fleet, excluded: set[str]) -> None:
    """Variant properties of the old fleet go on, but those that are excluded (API reference of UpdateEndpoint)."""
    kept = set(old.weights) & set(new.weights)
    if "DesiredWeight" not in excluded:
        new.weights |= {name: old.weights[name] for name in kept}
    if "DesiredInstanceCount" not in excluded:
        new.instances |= {name: old.instances[name] for name in kept}
    if "DataCaptureConfig" not in excluded and "DataCaptureConfig" in old.config:
        new.config = {**new.config, "DataCaptureConfig": old.config["DataCaptureConfig"]}


def _page(member: str, rows: list[dict[str, Any]], given: Given) -> dict[str, Any]:
    """Ten a page where the request does not say; the newest first."""
    noun = member.removesuffix("s")
    key = {"Name": f"{noun}Name", "Status": "EndpointStatus"}.get(given.get("SortBy", "CreationTime"), "CreationTime")
    fitting = [row for row in rows if given.get("NameContains", "").lower() in row[f"{noun}Name"].lower()]
    fitting.sort(key=lambda row: row[key], reverse=given.get("SortOrder", "Descending") == "Descending")
    start, size = int(given.get("NextToken", 0)), given.get("MaxResults", PAGE)
    more = {"NextToken": str(start + size)} if start + size < len(fitting) else {}
    return {member: fitting[start : start + size], **more}
