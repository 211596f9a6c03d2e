"""A CloudFormation template for one region, with the flows' policies: `python -m deployments.sagemaker_template` writes headgate.yaml."""

from pathlib import Path
from typing import Any

import yaml

from deployments.sagemaker_policies import FLOWS, Place, policy

FILE = Path(__file__).parent / "production" / "aws" / "headgate.yaml"
PLACE = Place(
    partition="${AWS::Partition}",
    region="${AWS::Region}",
    account="${AWS::AccountId}",
    models=("${Model}",),
    role_arn="${EndpointRole.Arn}",
    repository_arn="${Repository.Arn}",
    files=("${Bucket}", "models/"),
    captures=("${Bucket}", "captures/"),
    kms_key="${Key.Arn}",
    mirrored=True,
)
DESCRIPTION = (
    "Headgate on SageMaker, one region: bucket, key, registry, the endpoints' role and one role for each flow. "
    "Built by deployments/sagemaker_template.py: change that, not this."
)
Json = dict[str, Any]


class Dumper(yaml.SafeDumper):
    """CloudFormation knows no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # PyYAML's own signature
        """Write everything out."""
        return True


def template() -> Json:
    """The template. Its roles have no names of their own, so that a stack in each region does not collide."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": DESCRIPTION,
        "Parameters": _parameters(),
        "Conditions": {
            "InVpc": {"Fn::Not": [{"Fn::Equals": [{"Ref": "VpcId"}, ""]}]},
            "LakeInS3": {"Fn::Not": [{"Fn::Equals": [{"Ref": "LakeBucket"}, ""]}]},
        },
        "Resources": {**_storage(), **_endpoint(), **_flows()},
        "Outputs": _outputs(),
    }


def text() -> str:
    """The template as the file has it."""
    written: str = yaml.dump(template(), Dumper=Dumper, sort_keys=False, width=1_000)
    return written


def _parameters() -> Json:
    return {
        "Model": {
            "Type": "String",
            "AllowedPattern": "^[a-z0-9][a-z0-9-]*$",
            "Description": "Name of the model in headgate.toml; all that the flows make here has names that start with it.",
        },
        "FlowsPrincipal": {
            "Type": "String",
            "AllowedPattern": "^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+$",
            "Description": "ARN of what the workers of the flows run as; it may assume the flows' roles.",
        },
        "VpcId": {"Type": "String", "Default": "", "Description": "VPC of the endpoints; empty: SageMaker's own network."},
        "EndpointCidr": {
            "Type": "String",
            "Default": "10.0.0.0/8",
            "Description": "What the endpoints may reach over HTTPS in the VPC: its interface endpoints of S3, ECR, CloudWatch and KMS.",
        },
        "LakeBucket": {"Type": "String", "Default": "", "Description": "Bucket of the lake; empty: the lake is not in S3."},
        "KeepCapturesDays": {
            "Type": "Number",
            "Default": 30,
            "MinValue": 1,
            "Description": "Requests and answers that SageMaker captured are deleted after so many days.",
        },
    }


def _storage() -> Json:
    """What holds data stays when the stack goes."""
    kept = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    root = {"AWS": _sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}
    key_policy = _document([{"Sid": "Account", "Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}])
    return {
        "Key": {
            "Type": "AWS::KMS::Key",
            **kept,
            "Properties": {
                "Description": "Model files, captures, images and the volumes of the endpoints.",
                "EnableKeyRotation": True,
                "KeyPolicy": key_policy,
            },
        },
        "Bucket": {"Type": "AWS::S3::Bucket", **kept, "Properties": _bucket()},
        "BucketPolicy": {"Type": "AWS::S3::BucketPolicy", "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": _tls_alone()}},
        "Repository": {
            "Type": "AWS::ECR::Repository",
            **kept,
            "Properties": {
                "RepositoryName": _sub("headgate/${Model}"),
                "ImageTagMutability": "IMMUTABLE",
                "ImageScanningConfiguration": {"ScanOnPush": True},
                "EncryptionConfiguration": {"EncryptionType": "KMS", "KmsKey": _sub("${Key.Arn}")},
            },
        },
    }


def _bucket() -> Json:
    encrypted = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": _sub("${Key.Arn}")}
    return {
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": encrypted, "BucketKeyEnabled": True}]},
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "LifecycleConfiguration": {
            "Rules": [
                {"Id": "captures", "Status": "Enabled", "Prefix": "captures/", "ExpirationInDays": {"Ref": "KeepCapturesDays"}},
                {"Id": "broken-uploads", "Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
            ]
        },
    }


def _tls_alone() -> Json:
    both = [_sub("${Bucket.Arn}"), _sub("${Bucket.Arn}/*")]
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    return _document([{"Sid": "TlsAlone", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": both, "Condition": plain}])


def _endpoint() -> Json:
    """The execution role, and what its instances may talk to where they are in a VPC."""
    here = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole", "Condition": here}
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": {"Ref": "EndpointCidr"}, "Description": "AWS in the VPC"}
    return {
        "EndpointRole": _role("SageMaker runs the endpoints as this.", trust, "endpoint"),
        "EndpointGroup": {
            "Type": "AWS::EC2::SecurityGroup",
            "Condition": "InVpc",
            "Properties": {
                "GroupDescription": "Endpoints of Headgate: nothing comes in by it, HTTPS within the VPC goes out.",
                "VpcId": {"Ref": "VpcId"},
                "SecurityGroupEgress": [https],
            },
        },
    }


def _flows() -> Json:
    trust = {"Effect": "Allow", "Principal": {"AWS": {"Ref": "FlowsPrincipal"}}, "Action": "sts:AssumeRole"}
    names = [flow for flow in FLOWS if flow != "endpoint"]
    return {_logical(flow): _role(f"{_who(flow)} runs as this.".capitalize(), trust, flow) for flow in names}


def _role(told: str, trust: Json, flow: str) -> Json:
    """The flow's own policy, and what it needs only where the stack has it: a lake in S3, a VPC."""
    own = {"PolicyName": flow.replace("_", "-"), "PolicyDocument": _substituted(policy(flow, PLACE))}
    more = PLACE.model_copy(update={"in_vpc": True} if flow == "endpoint" else {"lake": ("${LakeBucket}", "")})
    added = [one for one in policy(flow, more)["Statement"] if one not in policy(flow, PLACE)["Statement"]]
    name, condition = ("network", "InVpc") if flow == "endpoint" else ("lake", "LakeInS3")
    only_if = {"Fn::If": [condition, {"PolicyName": name, "PolicyDocument": _substituted(_document(added))}, {"Ref": "AWS::NoValue"}]}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"Description": told, "AssumeRolePolicyDocument": _document([trust]), "Policies": [own, only_if]},
    }


def _outputs() -> Json:
    """What `[sagemaker.NAME]` in headgate.toml is told."""
    return {
        "RoleArn": {"Description": "role_arn", "Value": _sub("${EndpointRole.Arn}")},
        "RepositoryUri": {"Description": "repository", "Value": _sub("${Repository.RepositoryUri}")},
        "Models": {"Description": "models", "Value": _sub("s3://${Bucket}/models")},
        "Captures": {"Description": "captures", "Value": _sub("s3://${Bucket}/captures")},
        "KmsKey": {"Description": "kms_key", "Value": _sub("${Key.Arn}")},
        "SecurityGroup": {
            "Description": "security_groups; name the VPC's subnets beside it",
            "Condition": "InVpc",
            "Value": _sub("${EndpointGroup.GroupId}"),
        },
        **{
            f"{_logical(flow)}Arn": {"Description": f"role of {_who(flow)}", "Value": _sub(f"${{{_logical(flow)}.Arn}}")}
            for flow in FLOWS
            if flow != "endpoint"
        },
    }


def _who(flow: str) -> str:
    return "who ships the prediction log" if flow == "shipping" else f"the flow {flow}"


def _logical(flow: str) -> str:
    return "".join(word.capitalize() for word in flow.split("_")) + "Role"


def _document(statements: list[Json]) -> Json:
    return {"Version": "2012-10-17", "Statement": statements}


def _sub(value: str) -> Json:
    return {"Fn::Sub": value}


def _substituted(value: Any) -> Any:
    """The same with Fn::Sub around every text that has a ${...}."""
    if isinstance(value, dict):
        return {name: _substituted(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_substituted(one) for one in value]
    return _sub(value) if isinstance(value, str) and "${" in value else value


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
