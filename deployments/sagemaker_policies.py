"""The IAM policies of the flows on SageMaker: one for each flow, one for who ships, and one for the role that the endpoints run as. Pure.

An action that stands under ANYWHERE has no resource, or none that could be named; every other statement names what it is about.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from headgate.errors import NotFound
from headgate.record import Record
from headgate.settings import SageMakerRegion

NAMESPACE = "Headgate"
ANYWHERE = {
    "ecr:GetAuthorizationToken": "a login is for the registry, not for one repository",
    "sagemaker:ListModels": "lists have no resource; what is old is found by name",
    "sagemaker:ListEndpointConfigs": "lists have no resource; what is old is found by name",
    "sagemaker:ListEndpoints": "lists have no resource; what is there is found by name",
    "sagemaker:ListModelPackageGroups": "lists have no resource; the group is found by name",
    "cloudwatch:GetMetricData": "metrics are no resources; they are read only",
    "cloudwatch:PutMetricData": "metrics are no resources; the condition names the namespaces",
    "ec2:DescribeNetworkInterfaces": "EC2's descriptions have no resource",
    "ec2:DescribeVpcs": "EC2's descriptions have no resource",
    "ec2:DescribeDhcpOptions": "EC2's descriptions have no resource",
    "ec2:DescribeSubnets": "EC2's descriptions have no resource",
    "ec2:DescribeSecurityGroups": "EC2's descriptions have no resource",
}
FLOWS = ("train_candidate", "release_candidate", "rollback_release", "watch_production", "shipping", "endpoint")


class Place(Record):
    """What the policies name; every text may hold CloudFormation's ${...}. A bucket's prefix is empty or ends in a slash."""

    partition: str
    region: str
    account: str
    models: tuple[str, ...]
    role_arn: str
    repository_arn: str
    captures: tuple[str, str]
    files: tuple[str, str] | None = None
    kms_key: str | None = None
    kms_alias: str | None = None
    lake: tuple[str, str] | None = None
    in_vpc: bool = False
    mirrored: bool = False

    def arn(self, service: str, resource: str) -> str:
        """Of something in this region and account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def named(self, kind: str, service: str = "sagemaker") -> list[str]:
        """All things of a kind that belong to the models: their names start with a model's."""
        return [self.arn(service, f"{kind}{model}-*") for model in self.models]


class Statement(NamedTuple):
    """What may be done to what; `when` are conditions."""

    sid: str
    actions: tuple[str, ...]
    resources: Sequence[str]
    when: dict[str, dict[str, Any]] | None = None

    def document(self) -> dict[str, Any]:
        """As IAM writes it."""
        found = {"Sid": self.sid, "Effect": "Allow", "Action": [*self.actions], "Resource": [*self.resources]}
        return {**found, "Condition": self.when} if self.when else found


def place_of(region: SageMakerRegion, models: Sequence[str], lake: str = "") -> Place:
    """What the policies of a place name. models: names in headgate.toml; lake: its address, of which only s3:// matters here."""
    _, partition, _, _, account, _ = region.role_arn.split(":", 5)
    registry, _, repository = region.repository.partition("/")
    owner, _, _, where, *_ = registry.split(".")
    key, alias = _key(region.kms_key, f"arn:{partition}:kms:{region.region}:{account}")
    return Place(
        partition=partition,
        region=region.region,
        account=account,
        models=tuple(models),
        role_arn=region.role_arn,
        repository_arn=f"arn:{partition}:ecr:{where}:{owner}:repository/{repository}",
        files=_bucket(region.models) if region.models else None,
        captures=_bucket(region.captures),
        kms_key=key,
        kms_alias=alias,
        lake=_bucket(lake) if lake.startswith("s3://") else None,
        in_vpc=bool(region.subnets),
        mirrored=region.model_registry,
    )


def policy(flow: str, place: Place) -> dict[str, Any]:
    """The policy of one flow, or of `endpoint`; NotFound for another word."""
    if flow not in FLOWS:
        raise NotFound(f"expected one of {', '.join(FLOWS)}, found {flow!r}")
    found = {
        "train_candidate": _train,
        "release_candidate": _release,
        "rollback_release": _rollback,
        "watch_production": _watch,
        "shipping": _shipping,
        "endpoint": _endpoint,
    }[flow](place)
    return {"Version": "2012-10-17", "Statement": [statement.document() for statement in found]}


def _train(place: Place) -> list[Statement]:
    """Push the image, and a shadow beside the champion: the only flow that pushes."""
    return [*_push(place), *_models(place), *_serve(place), *_registry(place)]


def _release(place: Place) -> list[Statement]:
    return [*_models(place), *_serve(place), *_registry(place)]


def _rollback(place: Place) -> list[Statement]:
    """Back to what is there: no new image, no new model file."""
    return _serve(place)


def _serve(place: Place) -> list[Statement]:
    """What every flow that changes an endpoint does: change it, ask it, and read how it does."""
    return [*_host(place), _ask(place), *_captured(place), *_alarms(place), *_metrics(), *_lake(place)]


def _watch(place: Place) -> list[Statement]:
    """See which configuration serves a release, and put the library's own metrics of it."""
    about = ("DescribeModel", "DescribeEndpointConfig", "DescribeEndpoint", "ListTags")
    return [_look(place, about, ("model/", "endpoint-config/", "endpoint/")), _told(), *_lake(place)]


def _shipping(place: Place) -> list[Statement]:
    """Captured answers into the lake, and what tells whose they are."""
    look = _look(place, ("DescribeModel", "DescribeEndpointConfig", "ListTags"), ("model/", "endpoint-config/"))
    return [look, *_captured(place), *_key_use(place, names=("Decrypt",)), *_shipped(place)]


def _look(place: Place, about: Sequence[str], kinds: Sequence[str]) -> Statement:
    return Statement("Look", _of("sagemaker", about), [named for kind in kinds for named in place.named(kind)])


def _endpoint(place: Place) -> list[Statement]:
    """What SageMaker does in the name of the execution role: pull, read the model, write captures and logs, look at the alarms."""
    pull = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
    logs = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
    groups = place.named("log-group:/aws/sagemaker/Endpoints/", "logs")
    spaces = ["AWS/SageMaker", "/aws/sagemaker/*"]
    return [
        Statement("LogIn", ("ecr:GetAuthorizationToken",), ["*"]),
        Statement("Pull", pull, [place.repository_arn]),
        *(_reading("Model", place, place.files) if place.files else []),
        Statement("Capture", ("s3:PutObject",), [_objects(place, place.captures)]),
        Statement("Log", logs, groups),
        Statement("Metrics", ("cloudwatch:PutMetricData",), ["*"], {"StringLike": {"cloudwatch:namespace": spaces}}),
        Statement("Alarms", ("cloudwatch:DescribeAlarms",), place.named("alarm:headgate-", "cloudwatch")),
        *_key_use(place),
        *_network(place),
    ]


def _push(place: Place) -> list[Statement]:
    layers = ("BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage")
    reads = ("BatchGetImage", "DescribeImages", "GetDownloadUrlForLayer")
    push = Statement("Push", tuple(f"ecr:{name}" for name in layers + reads), [place.repository_arn])
    return [Statement("LogIn", ("ecr:GetAuthorizationToken",), ["*"]), push]


def _host(place: Place) -> list[Statement]:
    models = ("CreateModel", "DescribeModel", "DeleteModel")
    configurations = ("CreateEndpointConfig", "DescribeEndpointConfig", "DeleteEndpointConfig")
    endpoints = ("CreateEndpoint", "UpdateEndpoint", "DescribeEndpoint", "DeleteEndpoint", "UpdateEndpointWeightsAndCapacities")
    lists = ("sagemaker:ListModels", "sagemaker:ListEndpointConfigs", "sagemaker:ListEndpoints")
    kinds = [named for kind in ("model/", "endpoint-config/", "endpoint/") for named in place.named(kind)]
    both = [*place.named("endpoint/"), *place.named("endpoint-config/")]
    return [
        Statement("Models", _of("sagemaker", models), place.named("model/")),
        Statement("Configurations", _of("sagemaker", configurations), place.named("endpoint-config/")),
        Statement("Endpoints", _of("sagemaker", endpoints), both),
        Statement("Tags", ("sagemaker:AddTags", "sagemaker:ListTags", "sagemaker:DeleteTags"), kinds),
        Statement("Find", lists, ["*"]),
        Statement("GiveRole", ("iam:PassRole",), [place.role_arn], {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}),
        *_key_use(place, grants=True),
    ]


def _ask(place: Place) -> Statement:
    return Statement("Ask", ("sagemaker:InvokeEndpoint",), place.named("endpoint/"))


def _captured(place: Place) -> list[Statement]:
    return _reading("Captures", place, place.captures)


def _alarms(place: Place) -> list[Statement]:
    told = ("PutMetricAlarm", "SetAlarmState", "DescribeAlarms", "DeleteAlarms", "TagResource")
    return [Statement("Alarms", _of("cloudwatch", told), place.named("alarm:headgate-", "cloudwatch"))]


def _metrics() -> list[Statement]:
    """Metrics of the service are read; our own are put: prediction quality, and the word that takes a release back."""
    return [Statement("ReadMetrics", ("cloudwatch:GetMetricData",), ["*"]), _told()]


def _told() -> Statement:
    return Statement("TellMetrics", ("cloudwatch:PutMetricData",), ["*"], {"StringEquals": {"cloudwatch:namespace": NAMESPACE}})


def _registry(place: Place) -> list[Statement]:
    """SageMaker's model registry, which mirrors ours: a group for each model."""
    if not place.mirrored:
        return []
    groups = [place.arn("sagemaker", f"model-package-group/{model}") for model in place.models]
    packages = [place.arn("sagemaker", f"model-package/{model}/*") for model in place.models]
    one = ("CreateModelPackage", "DescribeModelPackage", "ListModelPackages", "UpdateModelPackage")
    return [
        Statement("FindGroups", ("sagemaker:ListModelPackageGroups",), ["*"]),
        Statement("Groups", _of("sagemaker", ("CreateModelPackageGroup", "AddTags")), groups),
        Statement("Packages", _of("sagemaker", (*one, "AddTags")), [*groups, *packages]),
    ]


def _models(place: Place) -> list[Statement]:
    return _writing("Model", place, place.files) if place.files else []


def _lake(place: Place) -> list[Statement]:
    return _writing("Lake", place, place.lake) if place.lake else []


def _shipped(place: Place) -> list[Statement]:
    """Of the lake only where logs are shipped to: who writes there cannot name a champion, or rewrite the audit log."""
    if place.lake is None:
        return []
    bucket, prefix = place.lake
    folders = [f"{prefix}{kind}/" for kind in ("predictions", "feedback")]
    objects = [_objects(place, (bucket, folder)) for folder in folders]
    listing = {"StringLike": {"s3:prefix": [f"{folder}*" for folder in folders]}}
    return [
        Statement("ReadLake", ("s3:GetObject",), objects),
        Statement("ListLake", ("s3:ListBucket",), [f"arn:{place.partition}:s3:::{bucket}"], listing),
        Statement("WriteLake", ("s3:PutObject",), objects),
    ]


def _reading(what: str, place: Place, where: tuple[str, str]) -> list[Statement]:
    """Objects under a prefix, and their list."""
    bucket, prefix = where
    listing: dict[str, dict[str, Any]] | None = {"StringLike": {"s3:prefix": [f"{prefix}*"]}} if prefix else None
    return [
        Statement(f"Read{what}", ("s3:GetObject",), [_objects(place, where)]),
        Statement(f"List{what}", ("s3:ListBucket",), [f"arn:{place.partition}:s3:::{bucket}"], listing),
    ]


def _writing(what: str, place: Place, where: tuple[str, str]) -> list[Statement]:
    """The same and new ones, in parts where they are large; who may not list without a prefix is told 403 for what is not there."""
    write = Statement(f"Write{what}", ("s3:PutObject", "s3:AbortMultipartUpload"), [_objects(place, where)])
    unnamed = {"Null": {"s3:prefix": "true"}}
    miss = Statement(f"Miss{what}", ("s3:ListBucket",), [f"arn:{place.partition}:s3:::{where[0]}"], unnamed)
    return [*_reading(what, place, where), *([miss] if where[1] else []), write]


def _key_use(place: Place, grants: bool = False, names: Sequence[str] = ("Decrypt", "GenerateDataKey", "DescribeKey")) -> list[Statement]:
    """The key of volumes, captures and model files; a grant is what SageMaker encrypts the instances' volumes with."""
    if place.kms_key is None:
        return []
    alias = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": place.kms_alias}} if place.kms_alias else {}
    use = Statement("Key", _of("kms", names), [place.kms_key], alias or None)
    grant = Statement("Grant", ("kms:CreateGrant",), [place.kms_key], {**alias, "Bool": {"kms:GrantIsForAWSResource": "true"}})
    return [use, grant] if grants else [use]


def _network(place: Place) -> list[Statement]:
    if not place.in_vpc:
        return []
    change = ("CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface", "DeleteNetworkInterfacePermission")
    look = ("DescribeNetworkInterfaces", "DescribeVpcs", "DescribeDhcpOptions", "DescribeSubnets", "DescribeSecurityGroups")
    where = [place.arn("ec2", f"{kind}/*") for kind in ("network-interface", "subnet", "security-group")]
    return [Statement("Network", _of("ec2", change), where), Statement("LookAtNetwork", _of("ec2", look), ["*"])]


def _of(service: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{service}:{name}" for name in names)


def _objects(place: Place, where: tuple[str, str]) -> str:
    return f"arn:{place.partition}:s3:::{where[0]}/{where[1]}*"


def _bucket(address: str) -> tuple[str, str]:
    bucket, _, prefix = address.removeprefix("s3://").strip("/").partition("/")
    return bucket, f"{prefix}/" if prefix else ""


def _key(key: str | None, here: str) -> tuple[str | None, str | None]:
    """A key's ARN, and its alias where only that was told: a policy cannot name an alias, but ask for it."""
    if key is None:
        return None, None
    if alias := re.search(r"(?:^|:)(alias/.+)$", key):
        return f"{key.rpartition(':')[0] or here}:key/*", alias[1]
    return (key if key.startswith("arn:") else f"{here}:key/{key}"), None
