"""What an object store says when an object is written: Amazon S3's documents, and those of MinIO and Ceph, which follow them.

Formats: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>, the EventBridge form
<https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>, either of them also wrapped by SNS. Notices come at least once
and in no order; `newest` keeps one for an object. The ingest lists the landing area itself, so that a notice only has to name the data set.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from headgate.errors import BadInput

DATASET = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
CREATED = "ObjectCreated:"
MAX_WRAPPERS = 3


@dataclass(frozen=True, slots=True)
class WrittenObject:
    """An object that was written; `version` and `sequencer` are empty where the store has none."""

    bucket: str
    key: str
    version: str = ""
    sequencer: str = ""

    @property
    def uri(self) -> str:
        """The object's address."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Notification:
    """The objects that a message says were written, and what else it said, which needs no answer."""

    objects: tuple[WrittenObject, ...] = ()
    ignored: tuple[str, ...] = ()


def read_notification(body: str | bytes) -> Notification:
    """What a message says; BadInput if it is no notification of an object store."""
    found = _json(body)
    for _ in range(MAX_WRAPPERS):
        if found.get("Type") != "Notification" or not isinstance(found.get("Message"), str):
            break
        found = _json(found["Message"])
    if found.get("Event") == "s3:TestEvent":
        return Notification(ignored=("s3:TestEvent",))
    if isinstance(found.get("Records"), list):
        return _merged(_record(one) for one in found["Records"])
    if isinstance(found.get("detail"), Mapping) and "detail-type" in found:
        return _from_event_bridge(found)
    raise BadInput(f"expected an S3 notification with Records or an EventBridge event with detail, found the fields {_names(found)}")


def newest(objects: Iterable[WrittenObject]) -> list[WrittenObject]:
    """One entry for an object, the one with the highest sequencer, however often and in whatever order it was told."""
    found: dict[tuple[str, str], WrittenObject] = {}
    for one in objects:
        before = found.get((one.bucket, one.key))
        if before is None or _order(before.sequencer, one.sequencer):
            found[one.bucket, one.key] = one
    return sorted(found.values(), key=lambda one: (one.bucket, one.key))


def by_dataset(objects: Iterable[WrittenObject], lake_uri: str) -> tuple[dict[str, list[str]], list[str]]:
    """The addresses of the objects that lie in the lake's landing area, by data set, and those of all others."""
    landing = f"{lake_uri.rstrip('/')}/landing/"
    found: dict[str, list[str]] = {}
    others: list[str] = []
    for one in newest(objects):
        dataset, _, name = one.uri.removeprefix(landing).partition("/")
        if one.uri.startswith(landing) and DATASET.fullmatch(dataset) and name and not name.endswith("/"):
            found.setdefault(dataset, []).append(one.uri)
        else:
            others.append(one.uri)
    return found, others


def _order(first: str, second: str) -> bool:
    """Whether the first sequencer is not the later one: shorter ones are filled with zeros on the right, as Amazon says."""
    width = max(len(first), len(second))
    return first.ljust(width, "0") <= second.ljust(width, "0")


def _json(body: str | bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise BadInput(f"expected a notification as a JSON object, found {_shown(body)}") from None
    if not isinstance(found, Mapping):
        raise BadInput(f"expected a notification as a JSON object, found {type(found).__name__}")
    return found


def _record(record: Any) -> Notification:
    """One entry of Records; the key is percent-encoded with + for a space, except in Ceph's."""
    event = record.get("eventName") if isinstance(record, Mapping) else None
    if not isinstance(event, str):
        raise BadInput(f"expected a record with an eventName, found {_shown(json.dumps(record))}")
    if not event.removeprefix("s3:").startswith(CREATED):
        return Notification(ignored=(event[:100],))
    stored = record.get("s3")
    bucket, key, about = _parts(stored if isinstance(stored, Mapping) else {}, event)
    literal = str(record.get("eventSource", "")).startswith("ceph")
    return Notification((_object(bucket, key if literal else unquote_plus(key), about, "versionId"),))


def _from_event_bridge(event: Mapping[str, Any]) -> Notification:
    """Amazon EventBridge's form, whose key is not encoded."""
    kind = str(event["detail-type"])
    if kind != "Object Created":
        return Notification(ignored=(kind[:100],))
    bucket, key, about = _parts(event["detail"], kind)
    return Notification((_object(bucket, key, about, "version-id"),))


def _parts(stored: Mapping[str, Any], event: str) -> tuple[str, str, Mapping[str, Any]]:
    bucket, about = stored.get("bucket"), stored.get("object")
    name = bucket.get("name") if isinstance(bucket, Mapping) else None
    key = about.get("key") if isinstance(about, Mapping) else None
    if not (isinstance(name, str) and name and isinstance(key, str) and key and isinstance(about, Mapping)):
        raise BadInput(f"{event[:100]}: expected bucket.name and object.key, found {_shown(json.dumps(stored))}")
    return name, key, about


def _object(bucket: str, key: str, about: Mapping[str, Any], version: str) -> WrittenObject:
    return WrittenObject(bucket, key, str(about.get(version) or ""), str(about.get("sequencer") or ""))


def _merged(parts: Iterable[Notification]) -> Notification:
    found = list(parts)
    return Notification(tuple(one for part in found for one in part.objects), tuple(one for part in found for one in part.ignored))


def _names(found: Mapping[str, Any]) -> str:
    return ", ".join(map(str, list(found)[:10]))[:200] or "none"


def _shown(body: str | bytes) -> str:
    return ascii(body[:80].decode("utf-8", "replace") if isinstance(body, bytes) else body[:80])
