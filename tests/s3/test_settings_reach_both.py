"""[s3] reaches boto3 and delta-rs alike; what a person has to mend is told by both in the same words."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from made_up_history import row

from headgate.data.table import DatasetTable
from headgate.errors import BadSettings
from headgate.lake import Lake, open_lake
from headgate.settings import S3

CREDENTIALS = (
    r"; give credentials that the AWS chain finds \(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role\), "
    r"and see that \[s3\] endpoint_url is the server they belong to$"
)


def both_say(lake: Lake, expected: str) -> None:
    with pytest.raises(BadSettings, match=rf"^s3://[^ ]+: {expected}"):
        lake.get("a.json")
    with pytest.raises(BadSettings, match=rf"^s3://[^ ]+: {expected}"):
        DatasetTable(lake, "replies").latest()


def test_a_wrong_secret_key_is_told(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    both_say(open_lake(s3_uri), f"expected a signature by the right secret key, found .*SignatureDoesNotMatch.*{CREDENTIALS}")


def test_an_unknown_key_is_told(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    both_say(open_lake(s3_uri), f"expected a key that the server knows, found .*InvalidAccessKeyId.*{CREDENTIALS}")


def test_missing_credentials_are_told_at_once(s3_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    both_say(open_lake(s3_uri), f"expected credentials, found .*{CREDENTIALS}")


def test_a_missing_bucket_is_told(s3_server: str) -> None:
    lake = open_lake("s3://headgate-no-such-bucket/lake")
    both_say(lake, "expected the bucket to exist, found .*NoSuchBucket.*; create the bucket, or mend `lake` in headgate.toml$")


def test_a_missing_permission_is_told(s3_server: str) -> None:
    fault = r"^s3://[^ ]+: expected permission, found .*AccessDenied.*; grant s3:GetObject, s3:PutObject and s3:ListBucket"
    lake = open_lake(f"s3://{s3_server}/forbidden")
    boto3.client("s3").put_bucket_policy(Bucket=s3_server, Policy=json.dumps(_denied(s3_server, "forbidden/*")))
    try:
        with pytest.raises(BadSettings, match=fault):
            lake.put_if_absent("a.json", b"x")
        with pytest.raises(BadSettings, match=fault):
            DatasetTable(lake, "replies").merge([row("a")])
    finally:
        boto3.client("s3").delete_bucket_policy(Bucket=s3_server)


def _denied(bucket: str, keys: str) -> dict[str, object]:
    denied = {"Effect": "Deny", "Principal": "*", "Action": ["s3:PutObject"], "Resource": f"arn:aws:s3:::{bucket}/{keys}"}
    return {"Version": "2012-10-17", "Statement": [denied]}


def test_credentials_that_expire_are_fresh_at_each_opening(s3_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = boto3.Session().get_credentials().get_frozen_credentials()  # type: ignore[union-attr]
    asked = tmp_path / "asked"
    soon = datetime.now(UTC) + timedelta(minutes=2)
    told = {"Version": 1, "AccessKeyId": keys.access_key, "SecretAccessKey": keys.secret_key, "Expiration": soon.isoformat()}
    (tmp_path / "process.py").write_text(f"open({str(asked)!r}, 'a').write('x')\nprint({json.dumps(told)!r})\n")
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {tmp_path / 'process.py'}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    lake = open_lake(s3_uri)
    for number in range(3):
        before = len(asked.read_text()) if asked.exists() else 0
        assert DatasetTable(lake, "replies").latest() is None
        assert len(asked.read_text()) > before, number


def test_limits_of_parts_of_a_second_are_taken_by_both(s3_uri: str) -> None:
    lake = open_lake(s3_uri, S3(request_timeout_s=2.5, connect_timeout_s=0.5, patience_s=0))
    assert DatasetTable(lake, "replies").merge([row("a")]).added == 1
    assert lake.keys("datasets")


def test_endpoint_style_and_limits_are_the_same_for_delta(s3_server: str) -> None:
    given = S3(endpoint_url="https://minio.example:9000", region="eu-west-3", request_timeout_s=7.5, connect_timeout_s=2, patience_s=11)
    lake = open_lake("s3://models/lake", given)
    options = lake.storage_options()
    assert {name: options[name] for name in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ALLOW_HTTP", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST")} == {
        "AWS_ENDPOINT_URL": "https://minio.example:9000",
        "AWS_REGION": "eu-west-3",
        "AWS_ALLOW_HTTP": "false",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
    }
    assert (options["timeout"], options["connect_timeout"], options["retry_timeout"]) == ("7500ms", "2000ms", "11000ms")


@pytest.mark.parametrize(
    ("bucket", "style", "endpoint", "expected"),
    [
        ("models", "virtual", "https://minio.example:9000", "https://models.minio.example:9000"),
        ("models", "path", "https://minio.example:9000", "https://minio.example:9000"),
        ("models", "auto", "https://store.example/storage/v1/s3/", "https://store.example/storage/v1/s3"),
        ("models", "auto", None, "https://models.s3.eu-west-3.amazonaws.com"),
        ("models", "path", None, "https://s3.eu-west-3.amazonaws.com"),
        ("dotted.models", "auto", None, "https://s3.eu-west-3.amazonaws.com"),
    ],
)
def test_the_bucket_stands_where_the_style_says(
    monkeypatch: pytest.MonkeyPatch, bucket: str, style: str, endpoint: str | None, expected: str
) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    lake = open_lake(f"s3://{bucket}/lake", S3(endpoint_url=endpoint, region="eu-west-3", addressing_style=style))  # type: ignore[arg-type]
    options = lake.storage_options()
    assert options["AWS_ENDPOINT_URL"] == expected
    assert options["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"] == str(expected.startswith(f"https://{bucket}.")).lower()
