"""The mirror of releases in SageMaker's Model Registry, against moto's."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from made_up_evidence import evidence as made_up
from made_up_release import NOW, POLICY, RELEASE, YES
from moto import mock_aws

from deployments.sagemaker_registry import ModelRegistry, card, version_request
from headgate.errors import NotFound, Refused
from headgate.evaluation.evidence import Evidence
from headgate.release.approval import decide
from headgate.settings import SageMakerRegion

REGION = SageMakerRegion(
    region="us-east-1",
    role_arn="arn:aws:iam::123456789012:role/endpoint",
    repository="123456789012.dkr.ecr.us-east-1.amazonaws.com/replies",
    models="s3://acme-models/headgate",
    captures="s3://acme-captures",
)
IMAGED = RELEASE.model_copy(update={"image_digest": f"sha256:{'9' * 64}"})
APPROVED = decide(YES, IMAGED, NOW, POLICY)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return made_up(tmp_path_factory.mktemp("evidence"))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelRegistry]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        session = boto3.Session(region_name="us-east-1")
        session.client("s3").create_bucket(Bucket="acme-models")
        yield ModelRegistry(session.client("sagemaker"), session.client("s3"), REGION)


def described(registry: ModelRegistry, arn: str) -> dict[str, Any]:
    return dict(registry.sagemaker.describe_model_package(ModelPackageName=arn))


def versions(registry: ModelRegistry) -> list[str]:
    listed = registry.sagemaker.list_model_packages(ModelPackageGroupName="replies")["ModelPackageSummaryList"]
    return [one["ModelPackageArn"] for one in listed]


def test_a_release_becomes_a_version_that_waits_for_approval(registry: ModelRegistry, evidence: Evidence) -> None:
    arn = registry.register(IMAGED, evidence, "s3://acme-models/headgate/b.tar.gz")
    found = described(registry, arn)
    assert (found["ModelPackageGroupName"], found["ModelPackageVersion"], found["ModelApprovalStatus"]) == (
        "replies",
        1,
        "PendingManualApproval",
    )
    (container,) = found["InferenceSpecification"]["Containers"]
    assert container["Image"] == f"{REGION.repository}@{IMAGED.image_digest}"
    assert container["ModelDataUrl"] == "s3://acme-models/headgate/b.tar.gz"
    assert found["CustomerMetadataProperties"]["headgate.release"] == IMAGED.id
    assert found["MetadataProperties"]["CommitId"] == IMAGED.commit
    address = found["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    assert address == f"s3://acme-models/headgate/metrics/{IMAGED.id}.json"
    told = json.loads(registry.s3.get_object(Bucket="acme-models", Key=f"headgate/metrics/{IMAGED.id}.json")["Body"].read())
    assert told["classification"]["macro_f1"] == evidence.report.candidate.macro_f1
    assert set(told["gates"]) == {gate.name for gate in evidence.all_gates}


def test_registering_again_makes_nothing_new_and_another_release_is_the_next_version(registry: ModelRegistry, evidence: Evidence) -> None:
    first = registry.register(IMAGED, evidence)
    registry.decide(IMAGED, APPROVED)
    assert registry.register(IMAGED, evidence) == first
    assert described(registry, first)["ModelApprovalStatus"] == "Approved"
    other = IMAGED.model_copy(update={"candidate": "d" * 16})
    assert registry.register(other, evidence) != first
    assert len(versions(registry)) == 2
    assert registry.version_of(other) != registry.version_of(IMAGED)


@pytest.mark.parametrize(("said", "status"), [("approve", "Approved"), ("reject", "Rejected")])
def test_our_decision_becomes_its_status(registry: ModelRegistry, evidence: Evidence, said: Any, status: str) -> None:
    arn = registry.register(IMAGED, evidence)
    for _ in range(2):
        registry.decide(IMAGED, decide(YES.model_copy(update={"decision": said, "reason": "looks\nright"}), IMAGED, NOW, POLICY))
        found = described(registry, arn)
        assert (found["ModelApprovalStatus"], found["ApprovalDescription"]) == (status, "grace@example.com: looks right")
        assert found["CustomerMetadataProperties"]["headgate.release"] == IMAGED.id


def test_a_release_that_was_never_registered_is_told(registry: ModelRegistry, evidence: Evidence) -> None:
    registry.register(IMAGED, evidence)
    other = IMAGED.model_copy(update={"candidate": "d" * 16})
    with pytest.raises(NotFound) as caught:
        registry.decide(other, APPROVED)
    assert str(caught.value) == f"release {other.id[:12]}: expected a version in group replies of us-east-1, found none"


def test_without_a_bucket_for_models_there_are_no_metrics(registry: ModelRegistry, evidence: Evidence) -> None:
    bare = ModelRegistry(registry.sagemaker, registry.s3, REGION.model_copy(update={"models": None}))
    assert not described(bare, bare.register(IMAGED, evidence)).get("ModelMetrics")


def test_a_release_without_an_image_is_refused(evidence: Evidence) -> None:
    with pytest.raises(Refused, match="expected the digest of its serving image, found none"):
        version_request(RELEASE, evidence, REGION)


def test_the_model_card_has_the_evidence_in_it(evidence: Evidence) -> None:
    request = version_request(IMAGED, evidence, REGION)
    assert request["ModelCard"]["ModelCardStatus"] == "PendingReview"
    told = json.loads(request["ModelCard"]["ModelCardContent"])
    assert told == card(IMAGED, evidence)
    quality, gates = told["evaluation_details"][0]["metric_groups"]
    assert {one["name"]: one["value"] for one in quality["metric_data"]}["accuracy"] == evidence.report.candidate.accuracy
    assert {one["name"]: one["value"] for one in gates["metric_data"]} == {gate.name: gate.verdict for gate in evidence.all_gates}
    assert told["additional_information"]["custom_details"]["headgate.bundle_digest"] == IMAGED.bundle_digest
