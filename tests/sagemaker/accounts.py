"""Names that the tests of SageMaker share, and the account that they run in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headgate.settings import SageMakerRegion

ROLE = "arn:aws:iam::123456789012:role/headgate-endpoint"
IMAGE = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/headgate@sha256:{'a' * 64}"

ENDPOINT = "replies-production"
PLACE = SageMakerRegion(
    region="us-east-1",
    role_arn=ROLE,
    repository="123456789012.dkr.ecr.us-east-1.amazonaws.com/headgate",
    captures="s3://captures/answers",
    instance_count=4,
    termination_wait_s=30,
    ready_s=600,
)


@dataclass(frozen=True)
class Account:
    """Where the tests run. `wait` lets seconds pass, by the simulator's clock or the wall's."""

    simulated: bool
    client: Callable[..., Any]
    wait: Callable[[float], None]
    role_arn: str
    image: str
    bucket: str
