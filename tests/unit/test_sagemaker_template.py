"""The CloudFormation template of a region: what it keeps safe, and that its roles have the flows' policies."""

from typing import Any

import yaml

from deployments.sagemaker_policies import FLOWS
from deployments.sagemaker_template import FILE, template, text


def resources() -> dict[str, Any]:
    return dict(template()["Resources"])


def documents(role: str) -> dict[str, Any]:
    """Policy documents by name; those that a condition adds, too."""
    found = [one.get("Fn::If", [None, one])[1] for one in resources()[role]["Properties"]["Policies"]]
    return {one["PolicyName"]: one["PolicyDocument"] for one in found}


def test_the_file_is_what_the_code_writes() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run python -m deployments.sagemaker_template"
    assert yaml.safe_load(text()) == template()


def test_the_bucket_is_private_encrypted_and_keeps_no_captures_for_ever() -> None:
    bucket = resources()["Bucket"]
    assert bucket["DeletionPolicy"] == "Retain"
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Fn::Sub": "${Key.Arn}"}}
    expired = [one for one in bucket["Properties"]["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in one]
    assert [(one["Prefix"], one["ExpirationInDays"]) for one in expired] == [("captures/", {"Ref": "KeepCapturesDays"})]
    (denied,) = resources()["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (denied["Effect"], denied["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_a_tag_of_an_image_never_moves() -> None:
    assert resources()["Repository"]["Properties"]["ImageTagMutability"] == "IMMUTABLE"


def test_only_sagemaker_of_this_account_takes_the_endpoints_role_and_only_the_workers_the_flows() -> None:
    (trust,) = resources()["EndpointRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    roles = [name for name, one in resources().items() if one["Type"] == "AWS::IAM::Role" and name != "EndpointRole"]
    assert roles == ["TrainCandidateRole", "ReleaseCandidateRole", "RollbackReleaseRole", "WatchProductionRole", "ShippingRole"]
    for role in roles:
        (trust,) = resources()[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"AWS": {"Ref": "FlowsPrincipal"}}


def test_each_role_has_its_flows_policy_and_lake_or_network_only_where_there_is_one() -> None:
    for flow in FLOWS:
        role = "".join(word.capitalize() for word in flow.split("_")) + "Role"
        own, added = documents(role).values()
        words = {action.partition(":")[0] for statement in own["Statement"] for action in statement["Action"]}
        assert words <= {"sagemaker", "s3", "ecr", "cloudwatch", "kms", "iam", "logs"}
        condition = resources()[role]["Properties"]["Policies"][1]["Fn::If"][0]
        sids = [statement["Sid"] for statement in added["Statement"]]
        if flow == "endpoint":
            assert (condition, sids) == ("InVpc", ["Network", "LookAtNetwork"])
        else:
            assert (condition, sids) == ("LakeInS3", ["ReadLake", "ListLake", "WriteLake"])


def test_what_goes_into_headgate_toml_comes_out() -> None:
    told = {one["Description"]: one["Value"] for one in template()["Outputs"].values()}
    assert {"role_arn", "repository", "models", "captures", "kms_key"} <= set(told)
    assert told["captures"] == {"Fn::Sub": "s3://${Bucket}/captures"}


def test_no_secret_is_asked_for() -> None:
    assert not [
        name for name in template()["Parameters"] if any(word in name.lower() for word in ("secret", "password", "token", "accesskey"))
    ]
    assert "AWS::IAM::AccessKey" not in text()
