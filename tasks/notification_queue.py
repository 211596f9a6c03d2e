"""An SQS queue that a bucket's notifications arrive in: messages in, deletions out, and how deep its dead-letter queue is."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from headgate.errors import BadSettings, NotFound, Unavailable
from headgate.record import Record

BATCH = 10
LONG_POLL_S = 20


class Message(Record):
    """A message as SQS gave it; `receives` counts the deliveries so far, this one included."""

    id: str
    receipt: str
    body: str
    receives: int = 1


class NotificationQueue:
    """An SQS queue by its URL; its host is the endpoint, so that it need not be Amazon's. Credentials are those of the environment."""

    def __init__(self, url: str, client: Any = None) -> None:
        self.url = url
        self.client = client or _sqs_client(url)

    def receive(self, wait_s: int) -> list[Message]:
        """At most ten messages, after at most so many seconds; each is hidden from others for the queue's visibility timeout."""
        found = self._call(
            "receive_message",
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=wait_s,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return [
            Message(
                id=one["MessageId"],
                receipt=one["ReceiptHandle"],
                body=one["Body"],
                receives=int(one.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
            )
            for one in found.get("Messages", ())
        ]

    def delete(self, messages: Sequence[Message]) -> int:
        """Delete messages and say how many could not be; those come again, which is harmless."""
        if not messages:
            return 0
        entries = [{"Id": str(number), "ReceiptHandle": one.receipt} for number, one in enumerate(messages)]
        return len(self._call("delete_message_batch", Entries=entries).get("Failed", ()))

    def dead_letters(self) -> int | None:
        """About how many messages lie in the dead-letter queue; None if the queue has none, or if this may not be asked."""
        try:
            policy = self._call("get_queue_attributes", AttributeNames=["RedrivePolicy"]).get("Attributes", {}).get("RedrivePolicy")
            if not policy:
                return None
            *_, account, name = json.loads(policy)["deadLetterTargetArn"].split(":")
            url = self._call("get_queue_url", url=False, QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
            asked = self._call("get_queue_attributes", url=False, QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        except (NotFound, Unavailable, BadSettings, KeyError, ValueError):
            return None
        return int(asked["Attributes"]["ApproximateNumberOfMessages"])

    def _call(self, operation: str, url: bool = True, **given: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        try:
            return getattr(self.client, operation)(**({"QueueUrl": self.url} if url else {}), **given)
        except ClientError as fault:
            if "NonExistentQueue" in str(fault) or "QueueDoesNotExist" in str(fault):
                raise NotFound(f"arrivals.queue_url: expected a queue at {self.url}, found none") from fault
            if str(fault.response.get("Error", {}).get("Code", "")).startswith("AccessDenied"):
                raise BadSettings(
                    f"{self.url}: expected the right to {operation} (docs/arrivals.md lists the policy), found {fault}"
                ) from fault
            raise Unavailable(f"{self.url}: the queue answered {fault}") from fault
        except NoCredentialsError as fault:
            raise BadSettings(f"{self.url}: expected AWS credentials in the environment, found none") from fault
        except BotoCoreError as fault:
            raise Unavailable(f"{self.url}: the queue could not be asked: {fault}") from fault


def _sqs_client(url: str) -> Any:
    import boto3
    from botocore.config import Config

    parts = urlsplit(url)
    host = parts.hostname or ""
    region = host.split(".")[1] if host.startswith("sqs.") and host.count(".") >= 3 else boto3.Session().region_name or "us-east-1"
    retries = Config(retries={"mode": "standard", "max_attempts": 5}, read_timeout=LONG_POLL_S + 20)
    return boto3.client("sqs", endpoint_url=f"{parts.scheme}://{parts.netloc}", region_name=region, config=retries)
