"""What an endpoint is made of on SageMaker, as requests, and how it is read back. Pure.

A model is one revision, an endpoint configuration says which models answer with which shares. Neither is ever changed: their names are
digests of their content, so that making one again finds the same one. The endpoint names its configuration, and so all that is settled.

    endpoint -> configuration -> variants `champion` and `challenger` -> models -> image, release, configuration of the servers
                tag headgate:previous of the configuration: the one before
    tag headgate:challenger of the endpoint: a model that stands by
    configuration with a name of its own (`kept_name`): what an endpoint shall serve again, while it is deleted and made anew
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from deployments.target import Revision
from headgate.errors import BadInput, Refused
from headgate.record import Record, canonical
from headgate.release.configuration import Configuration
from headgate.serving.sagemaker import environment_of
from headgate.settings import SageMakerRegion

CHAMPION, CHALLENGER = "champion", "challenger"  # the variants' names, which never change
LONGEST, DIGITS = 63, 16
OWNER, ENDPOINT, PREVIOUS, STANDS_BY = "headgate:managed-by", "headgate:endpoint", "headgate:previous", "headgate:challenger"
RELEASE, BUNDLE, IMAGE = "headgate:release", "headgate:bundle-digest", "headgate:image-digest"
SIGNATURE = "HEADGATE_BUNDLE_SIGNATURE"
Request = dict[str, Any]
Shape = Literal["single", "side_by_side", "shadow"]


class Cast(Record):
    """Who answers at an endpoint, as one configuration says it: names of models, and of the configuration before."""

    champion: str
    challenger: str | None = None
    shape: Shape = "single"
    shadow_percent: int = 0
    previous: str | None = None


def named(endpoint: str, content: Mapping[str, Any]) -> str:
    """A name that is a digest of the content, and short enough for SageMaker."""
    digest = hashlib.sha256(canonical(content)).hexdigest()[:DIGITS]
    return f"{endpoint[: LONGEST - DIGITS - 1].rstrip('-')}-{digest}"


def kept_name(endpoint: str) -> str:
    """Of the configuration that says what an endpoint shall serve again, while it is deleted and made anew."""
    return named(endpoint, {"kept": endpoint})


def tags(endpoint: str, **more: str | None) -> list[dict[str, str]]:
    """What marks a thing as ours, and as this endpoint's."""
    found = {OWNER: "headgate", ENDPOINT: endpoint} | {name: value for name, value in more.items() if value}
    return [{"Key": key, "Value": value} for key, value in found.items()]


def read_tags(listed: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Tags by their keys."""
    return {one["Key"]: one["Value"] for one in listed}


def model_request(endpoint: str, revision: Revision, place: SageMakerRegion, archive: str | None = None) -> Request:
    """CreateModel of a revision: its image by digest, with what its servers are told. `archive`: the bundle's model.tar.gz in S3.

    BadInput without the digest of the image.
    """
    if revision.image_digest is None:
        told = f"release {revision.release[:12]}: expected the digest of its serving image, found none"
        raise BadInput(f"{told}; build it, push it to {place.repository} and name it (docs/sagemaker.md)")
    told_to = (revision.configuration or Configuration()).model_dump()
    environment = environment_of(model=revision.model, release=revision.release, cohort=CHAMPION, **told_to)
    container: Request = {"Image": f"{place.repository}@{revision.image_digest}", "Environment": environment}
    if revision.signature:
        environment[SIGNATURE] = revision.signature
    if archive:
        container["ModelDataUrl"] = archive
    content: Request = {"PrimaryContainer": container, "ExecutionRoleArn": place.role_arn, "EnableNetworkIsolation": True}
    if place.subnets:
        content["VpcConfig"] = {"SecurityGroupIds": [*place.security_groups], "Subnets": [*place.subnets]}
    marks = {RELEASE: revision.release, BUNDLE: revision.bundle_digest, IMAGE: revision.image_digest}
    return {"ModelName": named(endpoint, {**content, BUNDLE: revision.bundle_digest}), **content, "Tags": tags(endpoint, **marks)}


def revision_of(described: Mapping[str, Any], marks: Mapping[str, str]) -> Revision:
    """The revision of a model, from DescribeModel and its tags; Refused where it is none of ours."""
    container = described["PrimaryContainer"]
    environment = container.get("Environment") or {}
    if marks.get(OWNER) != "headgate" or BUNDLE not in marks:
        raise Refused(f"model {described['ModelName']}: expected Headgate's tags, found {', '.join(sorted(marks)) or 'none'}; rename yours")
    told = {name: value for name in Configuration.model_fields if (value := environment.get(f"HEADGATE_SERVE_{name.upper()}")) is not None}
    return Revision(
        release=marks[RELEASE],
        bundle_digest=marks[BUNDLE],
        bundle=container.get("ModelDataUrl") or container["Image"],
        signature=environment.get(SIGNATURE),
        model=environment.get("HEADGATE_SERVE_MODEL", "adhoc"),
        configuration=Configuration.model_validate(told),
        image_digest=container["Image"].partition("@")[2] or None,
    )


def config_request(endpoint: str, cast: Cast, place: SageMakerRegion, keep_texts: bool) -> Request:
    """CreateEndpointConfig; answers are captured under a folder of this configuration's own, with keep_texts the requests too."""
    champion = _variant(CHAMPION, cast.champion, 1.0, place)
    content: Request = {"ProductionVariants": [champion]}
    if cast.challenger and cast.shape == "side_by_side":
        content["ProductionVariants"].append(_variant(CHALLENGER, cast.challenger, 0.0, place))
    if cast.challenger and cast.shape == "shadow":
        content["ShadowProductionVariants"] = [_variant(CHALLENGER, cast.challenger, cast.shadow_percent / 100, place)]
    if place.kms_key:
        content["KmsKeyId"] = place.kms_key
    modes = ["Output", *(["Input"] if keep_texts else [])]
    capture: Request = {
        "EnableCapture": True,
        "InitialSamplingPercentage": place.data_capture_percent,
        "CaptureOptions": [{"CaptureMode": mode} for mode in modes],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json", "application/jsonlines"]},
        **({"KmsKeyId": place.kms_key} if place.kms_key else {}),
    }
    name = named(endpoint, {**content, "capture": capture, "to": place.captures, "previous": cast.previous})
    capture["DestinationS3Uri"] = f"{place.captures}/{name}"
    marks = {PREVIOUS: cast.previous}
    return {"EndpointConfigName": name, **content, "DataCaptureConfig": capture, "Tags": tags(endpoint, **marks)}


def _variant(name: str, model: str, weight: float, place: SageMakerRegion) -> Request:
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": place.instance_type,
        "InitialInstanceCount": place.instance_count,
        "InitialVariantWeight": weight,
    }


def cast_of(described: Mapping[str, Any], marks: Mapping[str, str]) -> Cast:
    """Who answers by a configuration, from DescribeEndpointConfig and its tags; Refused where it is none of ours."""
    production = {one["VariantName"]: one for one in described["ProductionVariants"]}
    shadow = {one["VariantName"]: one for one in described.get("ShadowProductionVariants") or []}
    if marks.get(OWNER) != "headgate" or CHAMPION not in production:
        name = described["EndpointConfigName"]
        raise Refused(f"endpoint configuration {name}: expected Headgate's tags and a variant {CHAMPION}, found another's; rename yours")
    beside = production.get(CHALLENGER) or shadow.get(CHALLENGER)
    return Cast(
        champion=production[CHAMPION]["ModelName"],
        challenger=beside["ModelName"] if beside else None,
        shape="single" if beside is None else "shadow" if shadow else "side_by_side",
        shadow_percent=round(100 * shadow[CHALLENGER]["InitialVariantWeight"]) if shadow else 0,
        previous=marks.get(PREVIOUS),
    )


def shares(variants: Sequence[Mapping[str, Any]]) -> int:
    """Percent of the requests that the challenger's variant gets, from DescribeEndpoint."""
    weights = {one["VariantName"]: float(one.get("DesiredWeight", one.get("CurrentWeight", 0))) for one in variants}
    return round(100 * weights.get(CHALLENGER, 0.0) / (sum(weights.values()) or 1.0))


def told(request: Mapping[str, Any]) -> str:
    """A request for a reader."""
    return json.dumps(request, sort_keys=True, default=str)
