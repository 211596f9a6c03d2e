"""cfn-lint accepts the CloudFormation template, and would not accept a wrong one."""

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from deployments.sagemaker_template import FILE

pytestmark = pytest.mark.slow


def faults(template: str) -> list[str]:
    """With the informational rules."""
    return [str(match) for match in lint(template, config=ManualArgs(include_checks=["I"], regions=["us-east-1", "us-west-2"]))]


def test_the_template_has_no_fault() -> None:
    assert faults(FILE.read_text(encoding="utf-8")) == []


def test_a_misspelt_action_and_an_unknown_property_are_found() -> None:
    wrong = FILE.read_text(encoding="utf-8")
    wrong = wrong.replace("sagemaker:CreateEndpointConfig", "sagemaker:CreateEndpointConfigs", 1)
    wrong = wrong.replace("ImageTagMutability", "ImageTagMutable", 1)
    found = "\n".join(faults(wrong))
    assert "'createendpointconfigs' is not one of" in found
    assert "'ImageTagMutable' was unexpected" in found
