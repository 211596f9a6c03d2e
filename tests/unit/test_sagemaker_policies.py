"""IAM policies of the flows on SageMaker: only what is listed, on named resources, in words that AWS has."""

import json
import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from cfnlint.data import AdditionalSpecs
from cfnlint.helpers import load_resource

import deployments
from deployments.sagemaker_objects import named
from deployments.sagemaker_plan import OWN, alarm_names
from deployments.sagemaker_policies import ANYWHERE, FLOWS, NAMESPACE, Place, place_of, policy
from headgate.errors import NotFound
from headgate.settings import SageMakerRegion

ROOM = Path(deployments.__file__).parent
# Rights that are not named like a request: https://docs.aws.amazon.com/service-authorization/
NOT_REQUESTS = {
    "s3:ListBucket": ("s3", "ListObjectsV2"),
    "iam:PassRole": None,
    "sagemaker:InvokeEndpoint": ("sagemaker-runtime", "InvokeEndpoint"),
}
REGION = SageMakerRegion(
    region="us-east-1",
    role_arn="arn:aws:iam::123456789012:role/headgate-endpoint",
    repository="123456789012.dkr.ecr.us-east-1.amazonaws.com/replies",
    models="s3://acme-models/headgate",
    captures="s3://acme-captures",
    kms_key="arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    subnets=("subnet-1",),
    security_groups=("sg-1",),
    model_registry=True,
)


@pytest.fixture
def place() -> Place:
    return place_of(REGION, ["replies", "triage"], "s3://acme-lake/lake")


def statements(flow: str, place: Place) -> list[dict[str, Any]]:
    return list(policy(flow, place)["Statement"])


def allowed(flow: str, place: Place) -> set[str]:
    return {action for statement in statements(flow, place) for action in statement["Action"]}


@cache
def operations(service: str) -> frozenset[str]:
    return frozenset(botocore.session.get_session().get_service_model(service).operation_names)


@cache
def authorisation() -> Any:
    """The service authorisation reference, as cfn-lint carries it."""
    return load_resource(AdditionalSpecs, "Policies.json")


@pytest.mark.parametrize("flow", FLOWS)
def test_every_action_is_a_request_that_aws_knows(flow: str, place: Place) -> None:
    for action in allowed(flow, place):
        service, _, name = action.partition(":")
        assert name.lower() in authorisation()[service]["Actions"], action
        request = NOT_REQUESTS.get(action, (service, name))
        assert request is None or request[1] in operations(request[0]), action


@pytest.mark.parametrize("flow", FLOWS)
def test_every_statement_names_its_resources_but_those_with_a_reason(flow: str, place: Place) -> None:
    for statement in statements(flow, place):
        if statement["Resource"] == ["*"]:
            assert {*statement["Action"]} <= {*ANYWHERE}, statement["Sid"]
        else:
            assert not {*statement["Action"]} & {*ANYWHERE}, statement["Sid"]
            assert all(one.startswith("arn:aws:") and not one.endswith(":*") for one in statement["Resource"]), statement["Sid"]


def test_an_action_without_resources_has_none_in_the_reference_or_is_about_metrics() -> None:
    for action in ANYWHERE:
        service, _, name = action.partition(":")
        kinds = authorisation()[service]["Actions"][name.lower()].get("Resources", [])
        assert kinds in ([], ["dataset"]), action


@pytest.mark.parametrize("flow", FLOWS)
def test_each_resource_is_of_a_kind_that_one_of_its_actions_has_and_each_action_has_one(flow: str, place: Place) -> None:
    for statement in statements(flow, place):
        if statement["Resource"] == ["*"]:
            continue
        kinds = {action: kinds_of(action) for action in statement["Action"]}
        for resource in statement["Resource"]:
            assert any(fits(resource, kind) for found in kinds.values() for kind in found), (statement["Sid"], resource)
        for action, found in kinds.items():
            assert any(fits(resource, kind) for resource in statement["Resource"] for kind in found), (statement["Sid"], action)


def kinds_of(action: str) -> list[str]:
    """ARN formats of an action's resources."""
    service, _, name = action.partition(":")
    told = authorisation()[service]
    return [form for kind in told["Actions"][name.lower()]["Resources"] for form in told["Resources"][kind]["ARNFormats"]]


def fits(arn: str, form: str) -> bool:
    service, resource = (arn.split(":", 5)[index] for index in (2, 5))
    wanted_service, wanted = (form.split(":", 5)[index] for index in (2, 5))
    head = wanted.split(".*")[0]
    return service == wanted_service and resource.startswith(head) and ("/.*/" not in wanted or "/" in resource)


def test_each_flow_may_do_what_it_does_and_no_more(place: Place) -> None:
    may = {flow: allowed(flow, place) for flow in FLOWS}
    pushes = {"BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"}
    pulls = {"GetAuthorizationToken", "BatchGetImage", "DescribeImages", "GetDownloadUrlForLayer"}
    assert may["train_candidate"] - may["release_candidate"] == {f"ecr:{name}" for name in pushes | pulls}
    assert may["release_candidate"] < may["train_candidate"]
    registry = {"CreateModelPackageGroup", "ListModelPackageGroups"}
    registry |= {"CreateModelPackage", "DescribeModelPackage", "ListModelPackages", "UpdateModelPackage"}
    assert may["release_candidate"] - may["rollback_release"] == {f"sagemaker:{name}" for name in registry}
    assert may["rollback_release"] < may["release_candidate"]
    reads = ("Describe", "Get", "List", "Decrypt")
    changes = {flow: {action for action in may[flow] if not action.partition(":")[2].startswith(reads)} for flow in may}
    assert changes["watch_production"] == {"cloudwatch:PutMetricData", "s3:PutObject", "s3:AbortMultipartUpload"}
    assert changes["shipping"] == {"s3:PutObject"}
    assert {one for one in may["shipping"] if not one.startswith("s3:")} == {
        "sagemaker:DescribeModel", "sagemaker:DescribeEndpointConfig", "sagemaker:ListTags", "kms:Decrypt",
    }  # fmt: skip
    assert not {action for action in may["endpoint"] if action.startswith(("sagemaker:", "iam:"))}
    assert not any(
        action.endswith("*") or action.partition(":")[0] in ("secretsmanager", "ssm", "sts") for all in may.values() for action in all
    )


def test_it_names_the_models_the_bucket_and_the_repository_of_the_place(place: Place) -> None:
    found = {statement["Sid"]: statement for statement in statements("release_candidate", place)}
    assert found["Models"]["Resource"] == [
        "arn:aws:sagemaker:us-east-1:123456789012:model/replies-*",
        "arn:aws:sagemaker:us-east-1:123456789012:model/triage-*",
    ]
    assert found["Alarms"]["Resource"][0] == "arn:aws:cloudwatch:us-east-1:123456789012:alarm:headgate-replies-*"
    train = {statement["Sid"]: statement for statement in statements("train_candidate", place)}
    assert train["Push"]["Resource"] == ["arn:aws:ecr:us-east-1:123456789012:repository/replies"]
    assert found["WriteModel"]["Resource"] == ["arn:aws:s3:::acme-models/headgate/*"]
    assert found["ListModel"]["Condition"] == {"StringLike": {"s3:prefix": ["headgate/*"]}}
    assert found["MissModel"]["Condition"] == {"Null": {"s3:prefix": "true"}}
    assert found["ReadCaptures"]["Resource"] == ["arn:aws:s3:::acme-captures/*"]
    assert "Condition" not in found["ListCaptures"]
    assert found["GiveRole"] == {
        "Sid": "GiveRole",
        "Effect": "Allow",
        "Action": ["iam:PassRole"],
        "Resource": ["arn:aws:iam::123456789012:role/headgate-endpoint"],
        "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    }
    watch = {statement["Sid"]: statement for statement in statements("watch_production", place)}
    assert watch["TellMetrics"]["Condition"] == {"StringEquals": {"cloudwatch:namespace": NAMESPACE}}
    assert "acme-captures" not in json.dumps(watch)
    ships = {statement["Sid"]: statement for statement in statements("shipping", place)}
    assert ships["ReadCaptures"]["Resource"] == ["arn:aws:s3:::acme-captures/*"]
    kinds = ("predictions", "feedback")
    assert ships["WriteLake"]["Resource"] == [f"arn:aws:s3:::acme-lake/lake/{kind}/*" for kind in kinds]
    assert ships["ListLake"]["Condition"] == {"StringLike": {"s3:prefix": [f"lake/{kind}/*" for kind in kinds]}}


def test_what_a_place_has_not_is_not_allowed() -> None:
    without = {"model_registry": False, "kms_key": None, "models": None, "subnets": (), "security_groups": ()}
    bare = place_of(REGION.model_copy(update=without), ["replies"], "/var/lake")
    for flow in FLOWS:
        told = json.dumps(policy(flow, bare))
        assert not [word for word in ("kms:", "ec2:", "ModelPackage", "acme-lake", "acme-models") if word in told]


@pytest.mark.parametrize(
    ("told", "resource", "alias"),
    [
        ("1234abcd", "arn:aws:kms:us-east-1:123456789012:key/1234abcd", None),
        ("arn:aws:kms:eu-west-1:999999999999:key/1", "arn:aws:kms:eu-west-1:999999999999:key/1", None),
        ("alias/models", "arn:aws:kms:us-east-1:123456789012:key/*", "alias/models"),
        ("arn:aws:kms:eu-west-1:999999999999:alias/models", "arn:aws:kms:eu-west-1:999999999999:key/*", "alias/models"),
    ],
)
def test_a_key_may_be_told_in_four_ways(told: str, resource: str, alias: str | None) -> None:
    place = place_of(REGION.model_copy(update={"kms_key": told}), ["replies"])
    found = {statement["Sid"]: statement for statement in statements("release_candidate", place)}
    assert found["Key"]["Resource"] == [resource]
    wanted = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}} if alias else {}
    assert found["Key"].get("Condition", {}) == wanted
    assert found["Grant"]["Condition"] == {**wanted, "Bool": {"kms:GrantIsForAWSResource": "true"}}


def test_other_partitions_keep_their_names() -> None:
    china = REGION.model_copy(
        update={
            "region": "cn-north-1",
            "role_arn": "arn:aws-cn:iam::123456789012:role/endpoint",
            "repository": "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/team/replies",
            "kms_key": None,
        }
    )
    found = {statement["Sid"]: statement for statement in statements("train_candidate", place_of(china, ["replies"]))}
    assert found["Push"]["Resource"] == ["arn:aws-cn:ecr:cn-north-1:123456789012:repository/team/replies"]
    assert found["ReadModel"]["Resource"] == ["arn:aws-cn:s3:::acme-models/headgate/*"]


@pytest.mark.parametrize("flow", FLOWS)
def test_a_policy_fits_into_a_managed_policy(flow: str, place: Place) -> None:
    assert len(json.dumps(policy(flow, place), separators=(",", ":"))) <= 6144


# Requests whose right has another name, or needs none.
RIGHTS = {"s3:ListObjectsV2": "s3:ListBucket", "s3:HeadObject": "s3:GetObject", "sts:GetCallerIdentity": None}


def requests_of_the_target() -> set[str]:
    """Every request of AWS whose boto3 name stands in the code of the SageMaker target."""
    names = {}
    for service in ("sagemaker", "sagemaker-runtime", "s3", "ecr", "cloudwatch", "sts"):
        names |= {xform_name(name): f"{service.partition('-')[0]}:{name}" for name in operations(service)}
    code = [
        file.read_text(encoding="utf-8")
        for file in ROOM.glob("sagemaker*.py")
        if file.name not in ("sagemaker_policies.py", "sagemaker_template.py")
    ]
    return {names[word] for text in code for word in re.findall(r"[a-z]+_[a-z0-9_]+", text) if word in names}


def test_whatever_the_target_asks_of_aws_is_allowed_to_the_flow_that_releases(place: Place) -> None:
    asked = requests_of_the_target()
    assert {"sagemaker:UpdateEndpoint", "cloudwatch:PutMetricAlarm", "sagemaker:InvokeEndpoint"} <= asked
    needed = {RIGHTS.get(request, request) for request in asked} - {None}
    assert needed - allowed("release_candidate", place) - {request for request in needed if str(request).startswith("ecr:")} == set()
    assert {request for request in needed if str(request).startswith("ecr:")} <= allowed("train_candidate", place)


def test_what_the_target_names_is_what_the_policies_name(place: Place) -> None:
    assert NAMESPACE == OWN
    found = {statement["Sid"]: statement for statement in statements("release_candidate", place)}
    for alarm in alarm_names(named("replies-production", {"a": 1})):
        arn = f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{alarm}"
        assert any(fnmatchcase(arn, pattern) for pattern in found["Alarms"]["Resource"]), alarm
    model = f"arn:aws:sagemaker:us-east-1:123456789012:model/{named('replies-production', {'a': 1})}"
    assert fnmatchcase(model, found["Models"]["Resource"][0])


def test_an_unknown_flow_is_told(place: Place) -> None:
    with pytest.raises(NotFound, match=r"expected one of train_candidate, release_candidate, .*, found 'deploy'"):
        policy("deploy", place)
