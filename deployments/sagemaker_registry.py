"""A mirror of our releases in SageMaker's Model Registry: a group for each model, a version for each release, our approvals as theirs.

Nothing is read back from it: the lake's records are the truth, and whoever changes a status there changes no release.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.sagemaker_clients import answered
from headgate.errors import NotFound, Refused
from headgate.evaluation.evidence import Evidence
from headgate.evaluation.report import Metrics
from headgate.release.approval import Decision
from headgate.release.record import Release
from headgate.settings import SageMakerRegion

STATUS = {"approve": "Approved", "reject": "Rejected"}
PENDING = "PendingManualApproval"
KINDS = ["application/json", "application/jsonlines"]


@dataclass(frozen=True)
class ModelRegistry:
    """The registry of one region; clients are boto3's. Every call may be repeated."""

    sagemaker: Any
    s3: Any
    place: SageMakerRegion

    def register(self, release: Release, evidence: Evidence, archive: str | None = None) -> str:
        """The ARN of the release's version, made where there is none; archive: s3://... of its model.tar.gz. Refused without an image."""
        self._group(release.model)
        if known := self.version_of(release):
            return known
        request = version_request(release, evidence, self.place, self._metrics(release, evidence), archive)
        with answered(f"release {release.id[:12]} in the Model Registry of {self.place.region}"):
            return str(self.sagemaker.create_model_package(**request)["ModelPackageArn"])

    def decide(self, release: Release, decision: Decision) -> None:
        """Give the release's version the status of our decision about it; NotFound if it was never registered."""
        if (arn := self.version_of(release)) is None:
            raise NotFound(f"release {release.id[:12]}: expected a version in group {release.model} of {self.place.region}, found none")
        said = f"{decision.approver}: {decision.reason}"
        with answered(f"release {release.id[:12]} in the Model Registry of {self.place.region}"):
            found = self.sagemaker.describe_model_package(ModelPackageName=arn)
            if (found.get("ModelApprovalStatus"), found.get("ApprovalDescription")) == (STATUS[decision.decision], _line(said)):
                return
            self.sagemaker.update_model_package(
                ModelPackageArn=arn,
                ModelApprovalStatus=STATUS[decision.decision],
                ApprovalDescription=_line(said),
                CustomerMetadataProperties=properties(release),
            )

    def version_of(self, release: Release) -> str | None:
        """The ARN of the release's version in its model's group, by the description that it was made with."""
        with answered(f"Model Registry of {self.place.region}"):
            pages = self.sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=release.model)
            found = [one for page in pages for one in page["ModelPackageSummaryList"]]
        mine = [one for one in found if one.get("ModelPackageDescription") == describe(release)]
        return str(min(mine, key=lambda one: one["ModelPackageVersion"])["ModelPackageArn"]) if mine else None

    def _group(self, model: str) -> None:
        from botocore.exceptions import ClientError

        tags = [{"Key": "headgate:managed-by", "Value": "headgate"}]
        told = f"Releases of {model}, mirrored by Headgate: its lake holds the records, and decides."
        with answered(f"group {model} in the Model Registry of {self.place.region}"):
            pages = self.sagemaker.get_paginator("list_model_package_groups").paginate(NameContains=model)
            if any(one["ModelPackageGroupName"] == model for page in pages for one in page["ModelPackageGroupSummaryList"]):
                return
            try:
                self.sagemaker.create_model_package_group(ModelPackageGroupName=model, ModelPackageGroupDescription=told, Tags=tags)
            except ClientError as fault:
                if "already exists" not in str(fault):
                    raise

    def _metrics(self, release: Release, evidence: Evidence) -> str | None:
        """Where the evidence's metrics lie as JSON in the bucket of model files; None where the place has none."""
        if self.place.models is None:
            return None
        bucket, _, prefix = self.place.models.removeprefix("s3://").partition("/")
        key = "/".join(filter(None, (prefix, "metrics", f"{release.id}.json")))
        body = json.dumps(metrics_of(evidence), sort_keys=True, indent=2).encode()
        with answered(f"metrics of release {release.id[:12]}"):
            self.s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")
        return f"s3://{bucket}/{key}"


def describe(release: Release) -> str:
    """By which a release's version is found again."""
    return f"release {release.id}"


def version_request(
    release: Release, evidence: Evidence, place: SageMakerRegion, metrics: str | None = None, archive: str | None = None
) -> dict[str, Any]:
    """CreateModelPackage: image, where its metrics lie, model card, and no approval yet. Refused where the release has no image."""
    if release.image_digest is None:
        raise Refused(f"release {release.id[:12]}: expected the digest of its serving image, found none; the Model Registry names images")
    container = {"Image": f"{place.repository}@{release.image_digest}", **({"ModelDataUrl": archive} if archive else {})}
    quality = {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": metrics}}}
    return {
        "ModelPackageGroupName": release.model,
        "ModelPackageDescription": describe(release),
        "ClientToken": release.id[:36],
        "ModelApprovalStatus": PENDING,
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": KINDS,
            "SupportedResponseMIMETypes": KINDS,
            "SupportedRealtimeInferenceInstanceTypes": [place.instance_type],
        },
        "MetadataProperties": {"CommitId": release.commit},
        "CustomerMetadataProperties": properties(release),
        "ModelCard": {"ModelCardContent": json.dumps(card(release, evidence), sort_keys=True), "ModelCardStatus": "PendingReview"},
        **({"ModelMetrics": quality} if metrics else {}),
    }


def properties(release: Release) -> dict[str, str]:
    """What binds a version to our records."""
    return {
        "headgate.release": release.id,
        "headgate.bundle_digest": release.bundle_digest,
        "headgate.evidence_digest": release.evidence_digest,
        "headgate.data_version": f"{release.data_version.dataset}@{release.data_version.version}",
        "headgate.started_by": release.started_by,
    }


def metrics_of(evidence: Evidence) -> dict[str, Any]:
    """The candidate's numbers, with the verdict of every gate."""
    load, measured = evidence.load, evidence.report.candidate
    return {
        "verdict": evidence.verdict,
        "gates": {gate.name: gate.verdict for gate in evidence.all_gates},
        "classification": _numbers(measured),
        "labels": {one.label: {"precision": one.precision, "recall": one.recall, "f1": one.f1} for one in measured.labels},
        "sustained_per_s": load.saturation_per_s.get("candidate") if load else None,
    }


def card(release: Release, evidence: Evidence) -> dict[str, Any]:
    """A model card in SageMaker's schema for model packages, from the evidence."""
    data = [f"{release.data_version.dataset} version {release.data_version.version}, {release.data_version.rows} rows"]
    quality = [{"name": name, "type": "number", "value": value} for name, value in _numbers(evidence.report.candidate).items()]
    gates = [{"name": gate.name, "type": "string", "value": gate.verdict} for gate in evidence.all_gates]
    return {
        "model_overview": {"model_creator": release.started_by},
        "training_details": {"training_observations": f"Trained on {data[0]}, by commit {release.commit}."},
        "evaluation_details": [
            {
                "name": "Regression test",
                "evaluation_observation": f"Headgate's evidence {release.evidence_digest}: {evidence.verdict}.",
                "metric_groups": [{"name": "quality", "metric_data": quality}, {"name": "gates", "metric_data": gates}],
            }
        ],
        "additional_information": {"custom_details": {**properties(release), **_texts(evidence.provenance)}},
    }


def _numbers(measured: Metrics) -> dict[str, float]:
    return {"accuracy": measured.accuracy, "macro_f1": measured.macro_f1, "coverage": measured.coverage, "rows": measured.rows}


def _texts(told: Mapping[str, str]) -> dict[str, str]:
    return {name: str(value) for name, value in told.items()}


def _line(said: str) -> str:
    """One line of at most 1024 characters, as an approval's description is."""
    return " ".join(said.split())[:1024]
