"""Ceph's own notifications, pushed by a real radosgw to the gateway behind a proxy that adds the token."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import boto3
import pytest
import uvicorn

from headgate.data.delivery_secrets import read_secrets
from headgate.lake import Lake
from headgate.settings import ModelSettings, Settings
from stack.annotation_gateway import Gateway, create_app

TOKEN = "t" * 32


def with_token(app: Any) -> Any:
    """What a reverse proxy between the store and the gateway does."""

    async def proxied(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = scope | {"headers": [*scope["headers"], (b"authorization", f"Bearer {TOKEN}".encode())]}
        await app(scope, receive, send)

    return proxied


@contextmanager
def listening(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def until(condition: Callable[[], Any], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.02)


@pytest.fixture
def topic(lake: Lake) -> Iterator[Callable[[str], None]]:
    """Makes the lake's bucket notify an address."""
    if os.environ.get("HEADGATE_S3_TEST_BUCKET"):
        pytest.skip("topics that push to an address are Ceph's own")
    bucket, name = lake.uri.split("/")[2], f"t{uuid4().hex[:8]}"
    sns, arns = boto3.client("sns"), []

    def notify(endpoint: str) -> None:
        arns.append(sns.create_topic(Name=name, Attributes={"push-endpoint": endpoint})["TopicArn"])
        wanted: Any = {"TopicConfigurations": [{"Id": name, "TopicArn": arns[0], "Events": ["s3:ObjectCreated:*"]}]}
        boto3.client("s3").put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=wanted)

    yield notify
    for arn in arns:
        sns.delete_topic(TopicArn=arn)


def test_what_a_radosgw_pushes_is_announced_under_the_very_name_of_the_object(lake: Lake, topic: Callable[[str], None]) -> None:
    told: list[tuple[str, str]] = []

    def announce(dataset: str, uris: Sequence[str]) -> None:
        told.extend((dataset, uri) for uri in uris)

    settings = Settings(models={"replies": ModelSettings(dataset="replies")})
    gateway = Gateway(lake, settings, read_secrets({"HEADGATE_WEBHOOK_SECRETS": TOKEN}, []), announce)
    with listening(with_token(create_app(gateway))) as url:
        topic(f"{url}/landing/s3")
        for name in ("week 1+2 é%41.csv", "plain.csv"):
            lake.put_if_absent(f"landing/replies/{name}", b"text,label\n")
        lake.put_if_absent("releases/x/release.json", b"{}")
        until(lambda: len(told) == 2)
    assert sorted(told) == [("replies", lake.join(f"landing/replies/{name}")) for name in ("plain.csv", "week 1+2 é%41.csv")]
