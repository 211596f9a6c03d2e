"""What boto3 finds on this machine and cannot use is one of Headgate's errors, with the next step, before any service is asked."""

from pathlib import Path

import pytest

from deployments.sagemaker_clients import clients_of
from headgate.errors import Refused
from headgate.settings import SageMakerRegion

PLACE = SageMakerRegion(
    region="us-east-1",
    role_arn="arn:aws:iam::123456789012:role/headgate-endpoint",
    repository="123456789012.dkr.ecr.us-east-1.amazonaws.com/replies",
    captures="s3://captures/answers",
)
CHAIN = "give credentials that the AWS chain finds (a role, AWS_PROFILE, or keys)"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"AWS_PROFILE": "nobody"}, f"ProfileNotFound: The config profile (nobody) could not be found; {CHAIN}"),
        ({"AWS_ACCESS_KEY_ID": "x"}, f"PartialCredentialsError: Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY; {CHAIN}"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "Invalid endpoint: nonsense; mend AWS_ENDPOINT_URL or the profile's endpoint_url"),
        (
            {"AWS_CONFIG_FILE": "broken"},
            "ConfigParseError: Unable to parse config file: broken; mend that file, or name another with AWS_CONFIG_FILE",
        ),
    ],
)
def test_a_faulty_setting_of_aws_is_told_of_with_the_next_step(
    variables: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken").write_text("[profile x\nfoo")
    clean = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_CONFIG_FILE")
    for name in clean:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": "none", **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Refused) as caught:
        clients_of(PLACE)
    assert str(caught.value) == f"AWS's clients for us-east-1: {told}"
