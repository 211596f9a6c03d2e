"""Fixtures of the S3 lane: a real S3, its bucket, a lake in it, and a link to it that fails on command.

Ceph's radosgw is started by the shared tools, unless HEADGATE_S3_TEST_BUCKET names a bucket of an S3 of one's own, which the AWS
environment reaches (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...); objects are written there under `headgate-tests/` and removed afterwards.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import pytest

UNIT = Path(__file__).parents[1] / "unit"
sys.path.insert(0, str(UNIT))
for module in UNIT.glob("test_*.py"):
    pytest.register_assert_rewrite(module.stem)

from faulty_link import LinkProcess  # noqa: E402 - the path comes first

from headgate.lake import Lake, open_lake  # noqa: E402 - the path comes first
from headgate.settings import S3  # noqa: E402 - the path comes first


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("s3")


@pytest.fixture(scope="session")
def s3_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The bucket for this run, on a server that the AWS environment reaches."""
    given = os.environ.get("HEADGATE_S3_TEST_BUCKET")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EC2_METADATA_DISABLED", os.environ.get("AWS_EC2_METADATA_DISABLED", "true"))
        if given:
            yield given
            return
        started = _radosgw(request.getfixturevalue("shared"), patch)
        bucket = f"headgate-{uuid4().hex[:12]}"
        boto3.client("s3").create_bucket(Bucket=bucket)
        yield bucket
        if started:
            subprocess.run([request.getfixturevalue("shared") / "tools" / "s3" / "down.sh"], check=True)
        else:
            _remove(bucket, "")


def _radosgw(shared: Path, patch: pytest.MonkeyPatch) -> bool:
    """Start it and take its environment; whether it was not running before."""
    up = shared / "tools" / "s3" / "up.sh"
    port = os.environ.get("HEADGATE_S3_TEST_PORT", "16085")
    with socket.socket() as door:
        before = door.connect_ex(("127.0.0.1", int(port))) == 0
    done = subprocess.run([up, port], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    for name, value in re.findall(r"(\w+)=(\S+)", done.stdout.removeprefix("export ")):
        patch.setenv(name, value)
    return not before


def _remove(bucket: str, prefix: str) -> None:
    client = boto3.client("s3")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            client.delete_object(Bucket=bucket, Key=item["Key"])


@pytest.fixture
def s3_uri(s3_server: str) -> Iterator[str]:
    prefix = f"headgate-tests/{uuid4().hex}"
    yield f"s3://{s3_server}/{prefix}/lake"
    _remove(s3_server, prefix)


@pytest.fixture
def lake(s3_uri: str) -> Lake:
    """A lake on the real S3, in the place of the unit lane's."""
    return open_lake(s3_uri)


@pytest.fixture(scope="session")
def link_process(s3_server: str) -> Iterator[LinkProcess]:
    found = urlsplit(boto3.client("s3").meta.endpoint_url)
    if found.scheme != "http":
        pytest.skip(f"expected an S3 on http:// for faults on the way to it, found {found.geturl()}; radosgw of the shared tools is one")
    link = LinkProcess(found.hostname or "", found.port or 80)
    yield link
    link.end()


@pytest.fixture
def link(link_process: LinkProcess) -> Iterator[LinkProcess]:
    """The link, without any fault yet."""
    link_process.heal()
    yield link_process
    link_process.heal()


@pytest.fixture
def far_lake(s3_uri: str, link: LinkProcess) -> Lake:
    """The same lake over the link, with little patience."""
    return open_lake(s3_uri, S3(endpoint_url=link.url, connect_timeout_s=1, request_timeout_s=1, patience_s=4))
