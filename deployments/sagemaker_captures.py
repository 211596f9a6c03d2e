"""What an endpoint answered, from the files that SageMaker's data capture writes to S3: JSON Lines, in a folder an hour and variant.

A captured answer is one call, with a line for each text in the form of the prediction log. Its time is known to a second, its latency not
at all (CloudWatch knows that), and SageMaker writes it some minutes late. Our own questions by name carry ASKED_BY_US and are left out.
"""

import base64
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from deployments.sagemaker_clients import answered
from headgate.release.shadow_report import Answer, Pair

ASKED_BY_US = "headgate-asks-"
THROUGH_THE_SPLIT = "headgate-probes-"  # ours too, but answered as users' are: a canary counts them, the prediction log does not
LATE = timedelta(minutes=15)  # a file may be written so long after its hour's calls
MOST_KEPT = 5_000
Line = Mapping[str, Any]


class Captured(NamedTuple):
    """One captured answer: when, its name, its predictions, what it says of its model, and the request where that was captured."""

    at: datetime
    name: str
    predictions: tuple[Mapping[str, Any], ...]
    model: Mapping[str, Any]
    request: Mapping[str, Any] | None


class Call(NamedTuple):
    """One captured answer: when, by what name it is known in both variants, and its texts' lines."""

    at: datetime
    name: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Captures:
    """The captures of one region; a file never changes, so that each is read once."""

    s3: Any
    _read: dict[tuple[str, str], tuple[Call, ...]] = field(default_factory=dict)

    def calls(self, to: str, endpoint: str, variant: str, since: datetime, until: datetime) -> list[Call]:
        """What a variant answered from since to until, the oldest first; `to` is DestinationS3Uri of its configuration."""
        address = urlsplit(to)
        prefix = f"{address.path.strip('/')}/{endpoint}/{variant}".lstrip("/")
        keys = [key for hour in _hours(since, until) for key in self.keys(address.netloc, f"{prefix}/{hour:%Y/%m/%d/%H}/")]
        found = (call for key in keys for call in self._file(address.netloc, key))
        return sorted((call for call in found if since <= call.at < until), key=lambda call: call.at)

    def keys(self, bucket: str, prefix: str, after: str = "") -> Iterator[str]:
        """The captures under a prefix whose keys come after one, in the order of their keys, which is that of their times.

        Listed as far as they are asked for: a page has a thousand.
        """
        with answered(f"captures in s3://{bucket}/{prefix}"):
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, StartAfter=after)
            yield from (one["Key"] for page in pages for one in page.get("Contents") or [] if one["Key"].endswith(".jsonl"))

    def folders(self, bucket: str, prefix: str) -> list[str]:
        """What lies next below a prefix, each ending in a slash."""
        with answered(f"captures in s3://{bucket}/{prefix}"):
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
            return [one["Prefix"] for page in pages for one in page.get("CommonPrefixes") or []]

    def body(self, bucket: str, key: str) -> bytes:
        """The content of one capture; NotFound where it expired."""
        with answered(f"capture s3://{bucket}/{key}"):
            return bytes(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def _file(self, bucket: str, key: str) -> tuple[Call, ...]:
        if (bucket, key) not in self._read:
            calls = tuple(read_calls(self.body(bucket, key)))
            if len(self._read) >= MOST_KEPT:
                self._read.clear()
            self._read[bucket, key] = calls
        return self._read[bucket, key]


def _hours(since: datetime, until: datetime) -> Iterator[datetime]:
    """The hours whose folders may hold these calls."""
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour < until + LATE:
        yield hour
        hour += timedelta(hours=1)


def read_calls(body: bytes) -> Iterator[Call]:
    """The calls of one file, without our own questions and without what is no answer of ours."""
    for one in read_captured(body):
        if not one.name.startswith(ASKED_BY_US):
            yield Call(one.at, one.name, tuple(_line(prediction, one) for prediction in one.predictions))


def read_captured(body: bytes) -> Iterator[Captured]:
    """All answers of one file, our own questions' too; what is no answer of ours is left out."""
    for raw in body.splitlines():
        try:
            record = orjson.loads(raw)
            about, data = record["eventMetadata"], record["captureData"]
            output = data["endpointOutput"]
            predictions, model = _said(data_of(output), "jsonlines" in output.get("observedContentType", ""))
            at = _aware(datetime.fromisoformat(about["inferenceTime"]))
            found = Captured(at, str(about.get("inferenceId") or about["eventId"]), predictions, model, data.get("endpointInput"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if predictions:
            yield found


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def data_of(part: Mapping[str, str]) -> bytes:
    """A captured request or answer."""
    data = part["data"]
    return base64.b64decode(data) if part.get("encoding") == "BASE64" else data.encode()


def _said(data: bytes, by_lines: bool) -> tuple[tuple[Mapping[str, Any], ...], Mapping[str, Any]]:
    """The predictions of an answer and what it says of its model, which JSON Lines do not."""
    whole: dict[str, Any] = {"predictions": [orjson.loads(one) for one in data.splitlines()]} if by_lines else orjson.loads(data)
    predictions = tuple(whole["predictions"])
    if any(not isinstance(one["prediction_id"], str) or not isinstance(one["outcome"], str) for one in predictions):
        raise ValueError("expected predictions of ours")
    return predictions, dict(whole.get("model") or {})


def _line(prediction: Mapping[str, Any], of: Captured) -> Line:
    """A prediction as a line of a prediction log."""
    return {
        "ts": of.at.isoformat(),
        "prediction_id": prediction["prediction_id"],
        "release": of.model.get("release"),
        "label": prediction.get("label"),
        "score": prediction.get("score"),
        "outcome": prediction["outcome"],
        "reason": prediction.get("reason"),
        "latency_ms": 0.0,
        "cached": True,  # so that nobody counts a latency that is not known
    }


def pairs(champion: Iterable[Call], challenger: Iterable[Call]) -> tuple[list[Pair], int]:
    """Both answers to the same texts, in the champion's order, and how many texts have one answer only.

    A call is known in both variants by its inferenceId, which a client gives, else by SageMaker's eventId.
    """
    copies: dict[str, list[Call]] = defaultdict(list)
    for call in challenger:
        copies[call.name].append(call)
    found: list[Pair] = []
    answered_once = sum(len(call.lines) for calls in copies.values() for call in calls)
    for call in champion:
        given = copies.get(call.name) or []
        if given and len(given[0].lines) == len(call.lines):
            found += [Pair(_answer(ours), _answer(theirs)) for ours, theirs in zip(call.lines, given.pop(0).lines, strict=True)]
    return found, answered_once - len(found)


def _answer(line: Line) -> Answer:
    second = int(datetime.fromisoformat(line["ts"]).timestamp())
    return Answer(line["prediction_id"], line["label"], line["outcome"], line["latency_ms"], line["cached"], second)
