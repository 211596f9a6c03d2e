"""What belongs to the installation and to no model."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from headgate.settings.section import Section


class Signing(Section):
    """A minisign key pair. With a secret key bundles are signed where they are made, with a public key they are verified where deployed."""

    secret_key: Path | None = None
    public_key: Path | None = None
    password: SecretStr | None = Field(None, description="of the secret key; give it as HEADGATE_SIGNING__PASSWORD, never in the file")


class Scoring(Section):
    """How the rows of a regression test are scored through an endpoint."""

    dask_address: str = Field(
        "",
        pattern=r"^$|^(tcp|tls|ws|wss)://.+:\d+$",
        description="tcp://host:port of a Dask scheduler whose workers score the chunks; empty: threads here",
    )
    chunk_rows: int = Field(1_000, ge=1, description="rows of a chunk, which is scored once however often a run is killed")
    chunks_at_once: int = Field(2, ge=1, description="chunks under way; for a Dask cluster at least its number of workers")
    request_rows: int = Field(32, ge=1, le=256, description="rows of one request")
    requests_at_once: int = Field(4, ge=1, description="requests under way of each chunk")


class Notice(Section):
    """A message where people talk when a release waits and when it is decided; off without an address."""

    webhook_url: SecretStr | None = Field(None, description="takes Slack's JSON; a secret: HEADGATE_NOTICE__WEBHOOK_URL, never in the file")
    timeout_s: float = Field(5, gt=0, le=60)


class S3(Section):
    """How a lake on s3:// is reached: docs/s3.md. What is not set here comes from the AWS environment, as boto3 finds it."""

    endpoint_url: str | None = Field(None, pattern=r"^https?://[^/\s]\S*$", description="of any S3: MinIO, Ceph, R2, ...; not set: AWS")
    region: str | None = Field(None, min_length=1)
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto", description="bucket in the path or in the host's name; auto: in the name on AWS, in the path elsewhere"
    )
    connect_timeout_s: float = Field(5, gt=0, le=300)
    request_timeout_s: float = Field(60, gt=0, le=3600, description="without a byte (boto3), or for one whole request (delta-rs)")
    patience_s: float = Field(
        30, ge=0, le=3600, description="for so long a store that does not answer, or asks to slow down, is tried again"
    )


class StackSettings(Section):
    """Preferred ports of the local stack; a taken port is replaced by the next free one."""

    prefect_port: int = 4200
    mlflow_port: int = 5000
    gateway_port: int = 4300
    endpoint_port: int = 8400


class Arrivals(Section):
    """How new annotation files are noticed: docs/arrivals.md."""

    settle_s: float = Field(5, gt=0, le=3600, description="a dropped file counts as whole once its size and time stood still so long")
    look_every_s: float = Field(15, gt=0, le=3600, description="the watcher of a folder lake looks so often, whether it was told or not")
    queue_url: str = Field(
        "", pattern=r"^$|^https?://[^/]+/.+", description="SQS queue that takes the bucket's notifications; empty: there is none"
    )


class Gateway(Section):
    """The server that annotation tools post to (`headgate gateway`); its secrets come from the environment alone: docs/arrivals.md."""

    host: str = Field("127.0.0.1", description="address that it listens on")
    port: int = Field(4310, ge=0, le=65535, description="0: any free one")
    max_body_bytes: int = Field(5 * 2**20, ge=1024, description="a larger delivery is refused")
    replay_window_s: int = Field(300, ge=1, le=86_400, description="a signed delivery that is older or younger is refused")
    max_connections: int = Field(64, ge=1, description="connections at once; more are answered 503")
