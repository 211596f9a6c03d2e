"""The bridge against a real SQS client: S3 notifications by moto, redelivery, dead letters, and kills between its steps."""

import json
from collections.abc import Sequence
from typing import Any

import boto3
import pytest

from headgate.errors import BadSettings, NotFound, Unavailable
from headgate.lake import open_lake
from tasks.bridging import QueueReport, Sorted, listen, queue_warnings, report_lines, sort_messages
from tasks.notification_queue import Message, NotificationQueue

DATASETS = {"replies", "tickets"}


@pytest.fixture
def queue(s3_uri: str, request: pytest.FixtureRequest) -> NotificationQueue:
    """A queue with a dead-letter queue, which the lake's bucket notifies; messages come back at once."""
    sqs, name = boto3.client("sqs"), f"q{abs(hash(request.node.nodeid)):x}"
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    redrive = json.dumps({"deadLetterTargetArn": arn(sqs, dead), "maxReceiveCount": 2})
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "0", "RedrivePolicy": redrive})["QueueUrl"]
    wanted = {"QueueArn": arn(sqs, url), "Events": ["s3:ObjectCreated:*"], "Id": "headgate"}
    configuration: Any = {"QueueConfigurations": [wanted]}
    boto3.client("s3").put_bucket_notification_configuration(Bucket=s3_uri.split("/")[2], NotificationConfiguration=configuration)
    return NotificationQueue(url)


def arn(sqs: Any, url: str) -> str:
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


class Announced:
    """The Prefect server, as far as the bridge sees it."""

    def __init__(self, fails: int = 0) -> None:
        self.events: list[tuple[str, list[str]]] = []
        self.fails = fails

    def __call__(self, dataset: str, uris: Sequence[str]) -> None:
        if self.fails:
            self.fails -= 1
            raise Unavailable("headgate.landing.arrived: the Prefect server did not take it")
        self.events.append((dataset, list(uris)))


class Clock:
    """Each look takes a second, so that the end comes without waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def bridge(queue: NotificationQueue, lake_uri: str, announced: Announced, listen_s: float = 3) -> QueueReport:
    return listen(queue, lambda messages: sort_messages(messages, lake_uri, DATASETS), announced, listen_s, Clock())


def waiting(queue: NotificationQueue) -> int:
    return len(queue.receive(0))


def test_a_file_put_on_s3_is_announced_and_its_notification_deleted(queue: NotificationQueue, s3_uri: str) -> None:
    lake, announced = open_lake(s3_uri), Announced()
    lake.put_if_absent("landing/replies/week 1/réponses+2%.csv", b"text,label\n")
    lake.put_if_absent("landing/tickets/a.csv", b"text,label\n")
    lake.put_if_absent("releases/x/release.json", b"{}")
    report = bridge(queue, s3_uri, announced)
    assert sorted(announced.events) == [
        ("replies", [f"{s3_uri}/landing/replies/week 1/réponses+2%.csv"]),
        ("tickets", [f"{s3_uri}/landing/tickets/a.csv"]),
    ]
    assert (report.messages, report.announced, report.left, report.dead) == (4, {"replies": 1, "tickets": 1}, (), 0)
    assert report.ignored == 2  # the test event of the configuration, and the release record
    assert report_lines(report) == ["4 notification(s): announced 1 file(s) of replies, 1 file(s) of tickets; 2 concerned no landing file"]
    assert queue_warnings(report) == []
    assert waiting(queue) == 0


def test_a_multipart_upload_and_a_copy_are_announced_too(queue: NotificationQueue, s3_uri: str) -> None:
    s3, bucket, announced = boto3.client("s3"), s3_uri.split("/")[2], Announced()
    upload = s3.create_multipart_upload(Bucket=bucket, Key="lake/landing/replies/big.csv")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="lake/landing/replies/big.csv", UploadId=upload, PartNumber=1, Body=b"text,label\n")
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="lake/landing/replies/big.csv", UploadId=upload, MultipartUpload=parts)
    s3.copy_object(Bucket=bucket, Key="lake/landing/replies/copy.csv", CopySource={"Bucket": bucket, "Key": "lake/landing/replies/big.csv"})
    bridge(queue, s3_uri, announced)
    told = {uri for _, uris in announced.events for uri in uris}
    assert told == {f"{s3_uri}/landing/replies/big.csv", f"{s3_uri}/landing/replies/copy.csv"}


def test_nothing_is_deleted_that_was_not_announced(queue: NotificationQueue, s3_uri: str) -> None:
    open_lake(s3_uri).put_if_absent("landing/replies/a.csv", b"x")
    announced = Announced(fails=1)
    with pytest.raises(Unavailable):
        bridge(queue, s3_uri, announced)
    assert announced.events == []
    bridge(queue, s3_uri, announced)  # as the task's next try does, and the run after a kill -9 in that place
    assert announced.events == [("replies", [f"{s3_uri}/landing/replies/a.csv"])]


def test_what_was_announced_but_not_deleted_is_announced_again(queue: NotificationQueue, s3_uri: str) -> None:
    class Killed(NotificationQueue):
        def delete(self, messages: Sequence[Message]) -> int:
            raise KeyboardInterrupt

    open_lake(s3_uri).put_if_absent("landing/replies/a.csv", b"x")
    announced = Announced()
    with pytest.raises(KeyboardInterrupt):
        bridge(Killed(queue.url), s3_uri, announced)
    bridge(queue, s3_uri, announced)
    assert [uris for _, uris in announced.events] == [[f"{s3_uri}/landing/replies/a.csv"]] * 2
    assert waiting(queue) == 0


def test_duplicates_of_a_batch_are_announced_once(queue: NotificationQueue, s3_uri: str) -> None:
    open_lake(s3_uri).put_if_absent("landing/replies/a.csv", b"x")
    (first, *_) = [one for one in queue.receive(0) if "landing" in one.body]
    for _ in range(3):
        queue.client.send_message(QueueUrl=queue.url, MessageBody=first.body)
    announced = Announced()
    bridge(queue, s3_uri, announced)
    assert announced.events == [("replies", [f"{s3_uri}/landing/replies/a.csv"])]
    assert waiting(queue) == 0


def test_what_cannot_be_read_is_left_to_the_redrive_policy_and_reported(queue: NotificationQueue, s3_uri: str) -> None:
    queue.client.send_message(QueueUrl=queue.url, MessageBody="not json")
    open_lake(s3_uri).put_if_absent("landing/replies/a.csv", b"x")
    open_lake(s3_uri).put_if_absent("landing/reples/b.csv", b"x")
    announced = Announced()
    report = bridge(queue, s3_uri, announced, listen_s=6)
    assert announced.events == [("replies", [f"{s3_uri}/landing/replies/a.csv"])]
    assert sorted((one.receives, one.reason) for one in report.left) == [
        (2, "expected a notification as a JSON object, found 'not json'"),
        (2, "landing/reples/: expected a data set that a model of headgate.toml reads (replies, tickets), found none that does"),
    ]
    assert report.dead == 2
    assert queue_warnings(report)[-1] == (
        "about 2 message(s) lie in the dead-letter queue: read them, repair the cause, and redrive or purge them"
    )


def test_a_queue_without_dead_letters_says_so_when_it_matters() -> None:
    report = QueueReport(queue="q", messages=1, undeleted=1)
    assert queue_warnings(report) == ["1 message(s) were announced but could not be deleted; they will be announced again"]
    left = sort_messages([Message(id="m", receipt="r", body="?", receives=7)], "s3://b", DATASETS).left
    assert queue_warnings(QueueReport(queue="q", left=left)) == [
        "left in the queue: message m, delivery 7: expected a notification as a JSON object, found '?'",
        "the queue has no dead-letter queue that can be seen: what cannot be read comes again until it expires",
    ]


def test_an_empty_queue_is_one_line(queue: NotificationQueue, s3_uri: str) -> None:
    queue.client.purge_queue(QueueUrl=queue.url)
    report = bridge(queue, s3_uri, Announced(), listen_s=2)
    assert report == QueueReport(queue=queue.url, dead=0)
    assert report_lines(report) == [f"no notification in {queue.url}"]


def test_a_message_that_names_two_data_sets_is_announced_to_both() -> None:
    records = [
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": f"landing/{name}/a"}}} for name in DATASETS
    ]
    message = Message(id="m", receipt="r", body=json.dumps({"Records": records}))
    assert sort_messages([message], "s3://b", DATASETS) == Sorted(
        arrived={"replies": ("s3://b/landing/replies/a",), "tickets": ("s3://b/landing/tickets/a",)}, done=(message,)
    )


def test_a_queue_that_is_not_there_is_told(s3_uri: str, s3_server: str) -> None:
    with pytest.raises(NotFound, match=f"^arrivals.queue_url: expected a queue at {s3_server}/1/none, found none$"):
        NotificationQueue(f"{s3_server}/1/none").receive(0)


def test_a_queue_that_does_not_answer_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client = boto3.client("sqs", endpoint_url="http://127.0.0.1:9", region_name="us-east-1")
    client.meta.config.retries = {"total_max_attempts": 1}
    with pytest.raises(Unavailable, match=r"^http://127.0.0.1:9/1/q: the queue could not be asked: Could not connect"):
        NotificationQueue("http://127.0.0.1:9/1/q", client).receive(0)


def test_missing_rights_are_a_fault_of_the_settings() -> None:
    from botocore.stub import Stubber

    client = boto3.client("sqs", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_client_error("receive_message", "AccessDenied", "not authorized")
        expected = r"^https://sqs.x/1/q: expected the right to receive_message \(docs/arrivals.md lists the policy\), found"
        with pytest.raises(BadSettings, match=expected):
            NotificationQueue("https://sqs.x/1/q", client).receive(0)
