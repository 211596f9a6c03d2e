"""Amazon's registry: what is there under a tag, and how Docker or buildah log in for one push."""

import base64
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.sagemaker_clients import answered, code_of
from headgate.errors import NotFound


def digest_there(ecr: Any, repository: str, tag: str) -> str | None:
    """The digest of the image under a tag, which in a repository with immutable tags can be pushed once; None if there is none."""
    from botocore.exceptions import ClientError

    with answered(f"image {repository}:{tag}"):
        try:
            found = ecr.describe_images(repositoryName=_name(repository), imageIds=[{"imageTag": tag}])["imageDetails"]
        except ClientError as fault:
            if code_of(fault) == "ImageNotFoundException":
                return None
            if code_of(fault) == "RepositoryNotFoundException":
                raise NotFound(f"{repository}: no such repository; create it first, as deployments/production/aws/ does") from fault
            raise
    return str(found[0]["imageDigest"])


@contextmanager
def login(ecr: Any) -> Iterator[dict[str, str]]:
    """Variables with which Docker and buildah push to this account's registry; the password lasts for hours and its file until the end."""
    with answered("login to ECR"):
        [told] = ecr.get_authorization_token()["authorizationData"]
    registry = told["proxyEndpoint"].removeprefix("https://")
    with tempfile.TemporaryDirectory(prefix="headgate-") as folder:
        file = Path(folder) / "config.json"
        file.touch(0o600)
        file.write_text(json.dumps({"auths": {registry: {"auth": _as_basic(told["authorizationToken"])}}}))
        yield {"DOCKER_CONFIG": folder, "REGISTRY_AUTH_FILE": str(file)}


def _as_basic(token: str) -> str:
    """ECR's token is `user:password` in base64 already, as the file wants it; anything else is a fault of the service."""
    user, _, _ = base64.b64decode(token).decode().partition(":")
    assert user == "AWS"
    return token


def _name(repository: str) -> str:
    return repository.partition("/")[2]
