"""Notifications of object stores: real documents of each store, and whatever else a queue may hold."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.data.notifications import Notification, WrittenObject, by_dataset, newest, read_notification
from headgate.errors import BadInput

# As Amazon documents it: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
AWS = {
    "Records": [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "us-west-2",
            "eventTime": "1970-01-01T00:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
            "requestParameters": {"sourceIPAddress": "127.0.0.1"},
            "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "testConfigRule",
                "bucket": {
                    "name": "amzn-s3-demo-bucket",
                    "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                    "arn": "arn:aws:s3:::amzn-s3-demo-bucket",
                },
                "object": {
                    "key": "lake/landing/replies/week+1/r%C3%A9ponses%2B2.csv",
                    "size": 1024,
                    "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                    "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
                    "sequencer": "0055AED6DCD90281E5",
                },
            },
        }
    ]
}
AWS_TEST = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2014-10-13T15:57:02.089Z",
    "Bucket": "amzn-s3-demo-bucket",
    "RequestId": "5582815E1AEA5ADF",
    "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE",
}
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
EVENT_BRIDGE = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "111122223333",
    "time": "2021-11-12T00:00:00Z",
    "region": "ca-central-1",
    "resources": ["arn:aws:s3:::amzn-s3-demo-bucket1"],
    "detail": {
        "version": "0",
        "bucket": {"name": "amzn-s3-demo-bucket1"},
        "object": {
            "key": "landing/replies/a+b.jsonl",
            "size": 5,
            "etag": "b1946ac92492d2347c6235b4d2611184",
            "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
            "sequencer": "617f08299329d189",
        },
        "request-id": "N4N7GDK58NMKJ12R",
        "requester": "123456789012",
        "source-ip-address": "1.2.3.4",
        "reason": "PutObject",
    },
}
MINIO = {
    "EventName": "s3:ObjectCreated:CompleteMultipartUpload",
    "Key": "lake/landing/replies/big.parquet",
    "Records": [
        {
            "eventVersion": "2.0",
            "eventSource": "minio:s3",
            "eventName": "s3:ObjectCreated:CompleteMultipartUpload",
            "s3": {
                "bucket": {"name": "lake", "arn": "arn:aws:s3:::lake"},
                "object": {"key": "landing%2Freplies%2Fbig.parquet", "size": 5, "sequencer": "16B5E1A5C2F1D7A0"},
            },
        }
    ],
}
CEPH = {
    "Records": [
        {
            "eventVersion": "2.2",
            "eventSource": "ceph:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "detect",
                "bucket": {"name": "lake", "arn": "arn:aws:s3:::lake", "id": "x"},
                "object": {"key": "landing/replies/a+b 100%.csv", "size": 275, "eTag": "e", "versionId": "", "sequencer": "1F1D6B66"},
            },
        }
    ]
}


def sns(body: Any) -> dict[str, Any]:
    return {"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:us-west-2:1:t", "Message": json.dumps(body)}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            AWS,
            WrittenObject(
                "amzn-s3-demo-bucket",
                "lake/landing/replies/week 1/réponses+2.csv",
                "096fKKXTRTtl3on89fVO.nfljtsv6qko",
                "0055AED6DCD90281E5",
            ),
        ),
        (
            EVENT_BRIDGE,
            WrittenObject("amzn-s3-demo-bucket1", "landing/replies/a+b.jsonl", "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", "617f08299329d189"),
        ),
        (MINIO, WrittenObject("lake", "landing/replies/big.parquet", "", "16B5E1A5C2F1D7A0")),
        (CEPH, WrittenObject("lake", "landing/replies/a+b 100%.csv", "", "1F1D6B66")),
    ],
    ids=["aws", "event-bridge", "minio", "ceph"],
)
def test_each_stores_document_is_read_plain_and_wrapped_by_sns(document: Any, expected: WrittenObject) -> None:
    assert read_notification(json.dumps(document)) == Notification((expected,))
    assert read_notification(json.dumps(document).encode()) == Notification((expected,))
    assert read_notification(json.dumps(sns(document))) == Notification((expected,))
    assert read_notification(json.dumps(sns(sns(document)))) == Notification((expected,))


@pytest.mark.parametrize("kind", ["Put", "Post", "Copy", "CompleteMultipartUpload"])
def test_every_way_to_write_an_object_counts(kind: str) -> None:
    record = AWS["Records"][0] | {"eventName": f"ObjectCreated:{kind}"}
    assert len(read_notification(json.dumps({"Records": [record]})).objects) == 1


def test_a_test_event_and_other_events_need_no_answer() -> None:
    assert read_notification(json.dumps(AWS_TEST)) == Notification(ignored=("s3:TestEvent",))
    removed = {"Records": [AWS["Records"][0] | {"eventName": "ObjectRemoved:Delete"}, *AWS["Records"]]}
    assert read_notification(json.dumps(removed)).ignored == ("ObjectRemoved:Delete",)
    assert len(read_notification(json.dumps(removed)).objects) == 1
    assert read_notification(json.dumps(EVENT_BRIDGE | {"detail-type": "Object Deleted"})) == Notification(ignored=("Object Deleted",))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", "expected a notification as a JSON object, found ''"),
        ("{not json", "expected a notification as a JSON object, found '{not json'"),
        (b"\xff\xfe", "expected a notification as a JSON object, found '\\ufffd\\ufffd'"),
        ("[1]", "expected a notification as a JSON object, found list"),
        ('{"a": 1}', "expected an S3 notification with Records or an EventBridge event with detail, found the fields a"),
        ("{}", "expected an S3 notification with Records or an EventBridge event with detail, found the fields none"),
        ('{"Records": [7]}', "expected a record with an eventName, found '7'"),
        (
            '{"Records": [{"eventName": "ObjectCreated:Put"}]}',
            "ObjectCreated:Put: expected bucket.name and object.key, found '{}'",
        ),
        (
            '{"detail-type": "Object Created", "detail": {"bucket": "b"}}',
            """Object Created: expected bucket.name and object.key, found '{"bucket": "b"}'""",
        ),
    ],
)
def test_what_is_no_notification_is_refused_with_what_it_is(body: Any, expected: str) -> None:
    with pytest.raises(BadInput) as told:
        read_notification(body)
    assert str(told.value) == expected


def test_duplicates_and_disorder_leave_one_entry_with_the_highest_sequencer() -> None:
    early, late = WrittenObject("b", "k", "v1", "0055AED6DCD90281E5"), WrittenObject("b", "k", "v2", "0055AED6DCD90281E6")
    other = WrittenObject("b", "a")
    assert newest([late, early, other, late]) == [other, late]
    assert newest([early, late]) == [late]
    # Amazon: the shorter one is filled with zeros on the right
    assert newest([WrittenObject("b", "k", "", "00A"), WrittenObject("b", "k", "", "00A1")])[0].sequencer == "00A1"
    assert newest([WrittenObject("b", "k", "", "00B"), WrittenObject("b", "k", "", "00A1")])[0].sequencer == "00B"


def test_only_files_of_the_lakes_landing_area_are_told_and_by_data_set() -> None:
    keys = [
        "lake/landing/replies/a.csv",
        "lake/landing/replies/sub/b.csv",
        "lake/landing/tickets/c.csv",
        "lake/landing/replies/",  # a folder's place holder
        "lake/landing/loose.csv",
        "lake/landing/Upper/a.csv",
        "lake/landing/../x/a.csv",
        "lake/datasets/replies/part.parquet",
        "landing/replies/a.csv",
        "lake2/landing/replies/a.csv",
    ]
    found, others = by_dataset([WrittenObject("bucket", key) for key in keys], "s3://bucket/lake")
    assert found == {
        "replies": ["s3://bucket/lake/landing/replies/a.csv", "s3://bucket/lake/landing/replies/sub/b.csv"],
        "tickets": ["s3://bucket/lake/landing/tickets/c.csv"],
    }
    assert len(others) == len(keys) - 3
    assert by_dataset([WrittenObject("other", keys[0])], "s3://bucket/lake") == ({}, ["s3://other/lake/landing/replies/a.csv"])
    assert by_dataset([WrittenObject("bucket", "landing/replies/a")], "s3://bucket")[0] == {"replies": ["s3://bucket/landing/replies/a"]}


NAMES = ["Records", "eventName", "eventSource", "s3", "bucket", "name", "object", "key", "sequencer", "versionId", "Event"]
NAMES += ["detail", "detail-type", "Type", "Message"]
WORDS = ["ObjectCreated:Put", "Notification", "Object Created"]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5),
    max_leaves=25,
)


def read_if_it_is_one(body: str | bytes) -> Notification:
    with suppress(BadInput):
        return read_notification(body)
    return Notification()


@given(JSON)
def test_any_json_is_read_or_refused_and_never_breaks_the_bridge(document: Any) -> None:
    for body in (json.dumps(document), json.dumps(sns(document))):
        found = read_if_it_is_one(body)
        assert all(one.bucket and one.key for one in found.objects)
        by_dataset(found.objects, "s3://bucket/lake")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    assert read_if_it_is_one(body).objects == ()
