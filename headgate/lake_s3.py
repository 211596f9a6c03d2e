"""The lake under s3://bucket/prefix, on any S3 that honours If-None-Match and If-Match: docs/s3.md.

An answer may get lost after the store wrote, so that the write, tried again, is refused because of itself. Therefore each write carries
an id of its own as metadata of the object, and a refused one looks whether the object that is there is its own.
"""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from typing_extensions import override

from headgate.errors import Conflict, NotFound, Unavailable
from headgate.lake import Entry, Lake, Listed, checked
from headgate.patience import patiently
from headgate.s3_faults import code_of, fault_of, translated
from headgate.settings import S3

T = TypeVar("T")
WRITE = "headgate-write"
QUICK_ATTEMPTS = 3
ABSENT = ("NoSuchKey", "404")
REFUSED = ("PreconditionFailed", "412")


class S3Lake(Lake):
    """The lake in a bucket; endpoint, region and credentials come from [s3], else as boto3 finds them."""

    def __init__(self, bucket: str, prefix: str, settings: S3 | None = None) -> None:
        import boto3

        self.bucket, self.prefix = bucket, prefix.strip("/")
        self.uri = f"s3://{bucket}/{self.prefix}".rstrip("/")
        self.settings = settings or S3()
        with translated(self.uri):
            self.session = boto3.Session()
            self.client = _client(self.session, self.settings)

    @override
    def get(self, key: str) -> Entry | None:
        return self._asked(key, lambda: self._get(key))

    def _get(self, key: str) -> Entry | None:
        from botocore.exceptions import ClientError

        try:
            found = self.client.get_object(Bucket=self.bucket, Key=self._full(key))
        except ClientError as fault:
            if code_of(fault) in ABSENT:
                return None
            raise
        return Entry(found["Body"].read(), found["ETag"])

    @override
    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self._put(key, data, IfNoneMatch="*")

    @override
    def compare_and_swap(self, key: str, data: bytes, tag: str | None) -> None:
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        if not self._put(key, data, **condition):
            raise Conflict(f"{self.join(key)} was changed by somebody else; read it again")

    def _put(self, key: str, data: bytes, **condition: str) -> bool:
        """Conditional write; False if the condition did not hold. True also where the store wrote and its answer was lost."""
        write = uuid4().hex
        return self._asked(key, lambda: self._put_once(key, data, write, condition))

    def _put_once(self, key: str, data: bytes, write: str, condition: dict[str, str]) -> bool:
        from botocore.exceptions import ClientError

        try:
            self.client.put_object(Bucket=self.bucket, Key=self._full(key), Body=data, Metadata={WRITE: write}, **condition)
        except ClientError as fault:
            if code_of(fault) in REFUSED:
                return self._after_refusal(key, data, write, condition)
            if "IfMatch" in condition and code_of(fault) in ABSENT:
                return False
            raise
        return True

    def _after_refusal(self, key: str, data: bytes, write: str, condition: dict[str, str]) -> bool:
        """Whether the object that is there came by this very write, or comes by it now."""
        if (head := self._head(key)) is None:
            raise Unavailable(f"{self.join(key)}: the store refused to write it since it is there, and then had none; try again")
        if head["Metadata"].get(WRITE) == write:
            return True
        tag = condition.get("IfMatch", "")
        if head["ETag"] == tag != tag.strip('"'):  # it held: radosgw 16 wants the tag without its quotes
            return self._put_once(key, data, write, {"IfMatch": tag.strip('"')})
        return False

    def _head(self, key: str) -> Any:
        from botocore.exceptions import ClientError

        try:
            return self.client.head_object(Bucket=self.bucket, Key=self._full(key))
        except ClientError as fault:
            if code_of(fault) in ABSENT:
                return None
            raise

    @override
    def keys(self, prefix: str) -> list[str]:
        return [one.key for one in self.listing(prefix)]

    @override
    def listing(self, prefix: str) -> list[Listed]:
        return self._asked(prefix, lambda: sorted(self._listed(prefix), key=lambda one: one.key))

    def _listed(self, prefix: str) -> Iterator[Listed]:
        skip = len(self.prefix) + 1 if self.prefix else 0
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._full(prefix).rstrip("/") + "/"):
            for item in page.get("Contents", ()):
                yield Listed(item["Key"][skip:], item["ETag"], item["LastModified"].astimezone(UTC))

    @override
    def written_at(self, key: str) -> datetime:
        if (head := self._asked(key, lambda: self._head(key))) is None:
            raise NotFound(f"expected a record at {self.join(key)}, found none")
        written: datetime = head["LastModified"]
        return written.astimezone(UTC)

    @override
    def storage_options(self) -> dict[str, str]:
        """What delta-rs needs, with credentials that boto3 keeps fresh: good for minutes at least, so asked for at each opening."""
        with translated(self.uri):
            found = self.session.get_credentials()
            keys = found.get_frozen_credentials() if found else None
        if keys is None or not keys.access_key:
            raise fault_of(self.uri, "NoCredentials", "none")
        options = {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key or ""}
        return options | ({"AWS_SESSION_TOKEN": keys.token} if keys.token else {}) | self._connection()

    def _connection(self) -> dict[str, str]:
        """Endpoint, addressing style, time limits and retries for delta-rs, as the client here has them."""
        endpoint, limits = urlsplit(self.client.meta.endpoint_url), self.settings
        virtual = self.client.meta.config.s3["addressing_style"] != "path" and "." not in self.bucket
        host = f"{self.bucket}.{endpoint.netloc}" if virtual else endpoint.netloc
        return {
            "AWS_REGION": self.client.meta.region_name,
            "AWS_ENDPOINT_URL": f"{endpoint.scheme}://{host}{endpoint.path.rstrip('/')}",
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": str(virtual).lower(),
            "AWS_ALLOW_HTTP": str(endpoint.scheme == "http").lower(),
            "AWS_CONDITIONAL_PUT": "etag",
            "connect_timeout": f"{limits.connect_timeout_s * 1000:.0f}ms",
            "timeout": f"{limits.request_timeout_s * 1000:.0f}ms",
            "max_retries": "1000",
            "retry_timeout": f"{limits.patience_s * 1000:.0f}ms",
            "backoff_config.init_backoff": "100ms",
            "backoff_config.max_backoff": "3s",
        }

    def _asked(self, key: str, request: Callable[[], T]) -> T:
        """The answer, in Headgate's errors, for which a store that does not answer is asked again for a while."""
        where = self.join(key)

        def once() -> T:
            with translated(where):
                return request()

        return patiently(once, self.settings.patience_s)

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{checked(key)}" if self.prefix else checked(key)


def _client(session: Any, settings: S3) -> Any:
    """A client in the style asked for; `auto`: the bucket in the host's name on AWS, in the path everywhere else."""
    style = settings.addressing_style
    client = _styled(session, settings, "path" if style == "auto" else style)
    at_aws = (urlsplit(client.meta.endpoint_url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return _styled(session, settings, "virtual") if style == "auto" and at_aws else client


def _styled(session: Any, settings: S3, style: Literal["path", "virtual"]) -> Any:
    from botocore.config import Config

    config = Config(
        # The content's SHA-256 is signed, which every S3 checks; AWS's newer checksums are not known to all of them.
        s3={"addressing_style": style, "payload_signing_enabled": True},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": QUICK_ATTEMPTS},
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.request_timeout_s,
        max_pool_connections=32,
    )
    region = settings.region or session.region_name or os.environ.get("AWS_REGION") or "us-east-1"
    return session.client("s3", endpoint_url=settings.endpoint_url, region_name=region, config=config)
