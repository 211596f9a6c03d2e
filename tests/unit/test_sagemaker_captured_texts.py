"""Requests, which hold the texts of mails, leave a container only where every release that answers them keeps texts."""

from typing import Any, cast

import pytest

from deployments.sagemaker_changes import Changes
from deployments.sagemaker_clients import Clients
from deployments.sagemaker_objects import Cast, Shape
from deployments.sagemaker_state import States
from deployments.target import Revision
from headgate.release.configuration import Configuration
from headgate.serving.config import LogText
from headgate.settings import SageMakerRegion

PLACE = SageMakerRegion(
    region="us-east-1",
    role_arn="arn:aws:iam::123456789012:role/headgate-endpoint",
    repository="123456789012.dkr.ecr.us-east-1.amazonaws.com/replies",
    captures="s3://captures/answers",
)


def of(log_text: LogText) -> Revision:
    configuration = Configuration(log_text=log_text)
    return Revision(release="r1", bundle_digest="b" * 64, bundle="x", model="replies", configuration=configuration)


class Known:
    """A model is named by what its release keeps of texts."""

    def revision(self, model: LogText) -> Revision:
        return of(model)


class Made:
    """SageMaker's client, as far as a configuration is made."""

    def __init__(self) -> None:
        self.modes: list[str] = []

    def create_endpoint_config(self, **request: Any) -> None:
        self.modes = [one["CaptureMode"] for one in request["DataCaptureConfig"]["CaptureOptions"]]


@pytest.mark.parametrize(
    ("champion", "challenger", "shape", "captured"),
    [
        ("full", None, "single", ["Output", "Input"]),
        ("hash", None, "single", ["Output"]),
        ("full", "full", "side_by_side", ["Output", "Input"]),
        ("full", "none", "side_by_side", ["Output"]),
        ("none", "full", "side_by_side", ["Output"]),
        ("full", "none", "shadow", ["Output", "Input"]),  # they are the champion's requests
        ("none", "full", "shadow", ["Output"]),
    ],
)
def test_what_is_captured_of_requests(champion: LogText, challenger: LogText | None, shape: Shape, captured: list[str]) -> None:
    made = Made()
    clients = Clients(sagemaker=made, runtime=None, s3=None, ecr=None, cloudwatch=None, sts=None)
    changes = Changes(PLACE, clients, cast(States, Known()), 20, lambda _: None)
    changes.config("replies-production", Cast(champion=champion, challenger=challenger, shape=shape, shadow_percent=50), of(champion))
    assert made.modes == captured
