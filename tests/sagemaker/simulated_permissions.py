"""IAM over the simulator: whether the policies that a caller has allow a request.

Which resources an action is about is from the Service Authorization Reference of SageMaker, S3, ECR and CloudWatch. Only Allow
statements with the conditions that appear here are understood; another condition is an error of the test, not a refusal.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from simulated_wire import Call
from werkzeug import Request

Document = Mapping[str, Any]
NAMED = {"ModelName": "model", "EndpointConfigName": "endpoint-config", "EndpointName": "endpoint"}
GROUPED = {"ModelPackageGroupName": "model-package-group"}


@dataclass(frozen=True)
class Need:
    """One right that a request takes."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def missing(policies: Sequence[Document], request: Request, call: Call, account: str) -> Need | None:
    """The first right of the request that no policy gives."""
    return next((need for need in needs(request, call, account) if not any(_gives(policy, need) for policy in policies)), None)


def refusal(need: Need) -> str:
    return (
        f"User: arn:aws:sts::123456789012:assumed-role/flow/test is not authorized to perform: {need.action} on resource: {need.resource} "
        f"because no identity-based policy allows the {need.action} action"
    )


def needs(request: Request, call: Call, account: str) -> Iterator[Need]:
    here = f"{call.region}:{account}"
    if call.service == "sagemaker":
        yield from _sagemaker(request, call, f"arn:aws:sagemaker:{here}")
    elif call.service == "monitoring":
        yield from _cloudwatch(call.given, call.operation, f"arn:aws:cloudwatch:{here}")
    elif call.service == "s3":
        yield from _s3(request, call.operation)
    elif call.service == "ecr":
        repository = call.given.get("repositoryName")
        yield Need(f"ecr:{call.operation}", f"arn:aws:ecr:{here}:repository/{repository}" if repository else "*")
    elif call.service != "sts":
        yield Need(f"{call.service}:{call.operation}", "*")


def _sagemaker(request: Request, call: Call, prefix: str) -> Iterator[Need]:
    action, given = f"sagemaker:{call.operation}", call.given
    if call.operation == "InvokeEndpoint":
        yield Need(action, f"{prefix}:endpoint/{unquote(request.path.split('/')[2]).lower()}")
        return
    found = [str(given["ResourceArn"])] if "ResourceArn" in given else []
    found += [f"{prefix}:{kind}/{str(given[name]).lower()}" for name, kind in {**NAMED, **GROUPED}.items() if name in given]
    for resource in found or ["*"]:
        yield Need(action, resource)
    if given.get("Tags") and found:
        yield Need("sagemaker:AddTags", found[-1])
    if "ExecutionRoleArn" in given:
        yield Need("iam:PassRole", str(given["ExecutionRoleArn"]), {"iam:PassedToService": "sagemaker.amazonaws.com"})


def _cloudwatch(given: Mapping[str, Any], operation: str, prefix: str) -> Iterator[Need]:
    action = f"cloudwatch:{operation}"
    named = [given["AlarmName"]] if "AlarmName" in given else given.get("AlarmNames", [])
    if operation == "DescribeAlarms" and not named:
        named = [f"{given.get('AlarmNamePrefix', '')}*"]
    for name in named:
        yield Need(action, f"{prefix}:alarm:{name}")
    if given.get("Tags") and named:
        yield Need("cloudwatch:TagResource", f"{prefix}:alarm:{named[0]}")
    if not named:
        yield Need(action, "*", {"cloudwatch:namespace": given["Namespace"]} if "Namespace" in given else {})


def _s3(request: Request, operation: str) -> Iterator[Need]:
    bucket, _, key = request.path.lstrip("/").partition("/")
    if key:
        action = {"HeadObject": "GetObject", "POST": "PutObject"}.get(operation, operation)
        yield Need(f"s3:{action}", f"arn:aws:s3:::{bucket}/{unquote(key)}")
    else:
        yield Need("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": request.args.get("prefix", "")})


def _gives(policy: Document, need: Need) -> bool:
    return any(
        statement["Effect"] == "Allow"
        and need.action in statement["Action"]
        and any(fnmatchcase(need.resource, pattern) for pattern in statement["Resource"])
        and _holds(statement.get("Condition", {}), need.context)
        for statement in policy["Statement"]
    )


def _holds(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    for operator, wanted in conditions.items():
        for key, value in wanted.items():
            if operator not in ("StringEquals", "StringLike") or key not in context:
                raise NotImplementedError(f"the simulator knows no condition {operator} of {key} here")
            patterns = [value] if isinstance(value, str) else value
            if not any(fnmatchcase(context[key], pattern) if operator == "StringLike" else context[key] == pattern for pattern in patterns):
                return False
    return True
