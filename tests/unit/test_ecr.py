"""Amazon's registry, as moto plays it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from deployments.ecr import digest_there, login
from headgate.errors import NotFound

REGION, ACCOUNT = "us-east-1", "123456789012"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/sales/replies"
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": []})


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("ecr", region_name=REGION)


def test_an_image_that_is_there_has_the_digest_that_the_registry_gave_it(ecr: Any) -> None:
    ecr.create_repository(repositoryName="sales/replies", imageTagMutability="IMMUTABLE")
    put = ecr.put_image(repositoryName="sales/replies", imageManifest=MANIFEST, imageTag="bundle-1")["image"]
    assert digest_there(ecr, REPOSITORY, "bundle-1") == put["imageId"]["imageDigest"]
    assert digest_there(ecr, REPOSITORY, "bundle-2") is None


def test_a_repository_that_is_not_there_is_said_to_be_missing(ecr: Any) -> None:
    with pytest.raises(NotFound) as fault:
        digest_there(ecr, REPOSITORY, "bundle-1")
    assert str(fault.value) == f"{REPOSITORY}: no such repository; create it first, as deployments/production/aws/ does"


def test_a_login_is_a_private_file_that_docker_and_buildah_read_and_that_is_gone_afterwards(ecr: Any) -> None:
    with login(ecr) as variables:
        file = Path(variables["REGISTRY_AUTH_FILE"])
        assert file == Path(variables["DOCKER_CONFIG"]) / "config.json"
        assert file.stat().st_mode & 0o077 == 0
        [(registry, told)] = json.loads(file.read_text())["auths"].items()
        assert registry == f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
        assert base64.b64decode(told["auth"]).startswith(b"AWS:")
    assert not file.exists()
