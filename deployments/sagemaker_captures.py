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
LATE = timedelta(minutes=15)  # a file may be written so long after its hour's calls
MOST_KEPT = 5_000
Line = Mapping[str, Any]


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
        keys = [key for hour in _hours(since, until) for key in self._keys(address.netloc, f"{prefix}/{hour:%Y/%m/%d/%H}/")]
        found = (call for key in keys for call in self._file(address.netloc, key))
        return sorted((call for call in found if since <= call.at < until), key=lambda call: call.at)

    def _keys(self, bucket: str, prefix: str) -> list[str]:
        with answered(f"captures in s3://{bucket}/{prefix}"):
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return [one["Key"] for page in pages for one in page.get("Contents") or [] if one["Key"].endswith(".jsonl")]

    def _file(self, bucket: str, key: str) -> tuple[Call, ...]:
        if (bucket, key) not in self._read:
            with answered(f"capture s3://{bucket}/{key}"):
                body = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            if len(self._read) >= MOST_KEPT:
                self._read.clear()
            self._read[bucket, key] = tuple(read_calls(body))
        return self._read[bucket, key]


def _hours(since: datetime, until: datetime) -> Iterator[datetime]:
    """The hours whose folders may hold these calls."""
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour < until + LATE:
        yield hour
        hour += timedelta(hours=1)


def read_calls(body: bytes) -> Iterator[Call]:
    """The calls of one file, without our own questions and without what is no answer of ours."""
    for raw in body.splitlines():
        try:
            record = orjson.loads(raw)
            about = record["eventMetadata"]
            at = datetime.fromisoformat(about["inferenceTime"])
            name = str(about.get("inferenceId") or about["eventId"])
            output = record["captureData"]["endpointOutput"]
            lines = tuple(_lines(_data(output), at, "jsonlines" in output.get("observedContentType", "")))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if lines and not name.startswith(ASKED_BY_US):
            yield Call(at, name, lines)


def _data(output: Mapping[str, str]) -> bytes:
    data = output["data"]
    return base64.b64decode(data) if output.get("encoding") == "BASE64" else data.encode()


def _lines(data: bytes, at: datetime, by_lines: bool) -> Iterator[Line]:
    """The predictions of an answer as lines of a prediction log; JSON Lines name no release."""
    whole: dict[str, Any] = {"predictions": [orjson.loads(one) for one in data.splitlines()]} if by_lines else orjson.loads(data)
    release = (whole.get("model") or {}).get("release")
    for one in whole["predictions"]:
        yield {
            "ts": at.isoformat(),
            "prediction_id": one["prediction_id"],
            "release": release,
            "label": one.get("label"),
            "score": one.get("score"),
            "outcome": one["outcome"],
            "reason": one.get("reason"),
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
