"""A capture of SageMaker as lines of the prediction log, the same each time that it is read. Pure.

What the log keeps of a text is what the release's servers were told (`log_text`), by the servers' own code. Requests are captured with
`full` alone, so that with `hash` there is neither hash nor length. A latency is not known, nor whether an answer came from a cache.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from deployments.sagemaker_captures import ASKED_BY_US, THROUGH_THE_SPLIT, Captured, data_of, read_captured
from headgate.model.runtime import Message
from headgate.serving.answers import text_field
from headgate.serving.config import LogText, ServingConfig
from headgate.serving.identifiers import CROCKFORD, RANDOM_CHARACTERS
from headgate.serving.problems import Problem
from headgate.serving.reading import content_type, read_messages

FIELDS = ("label", "score", "outcome", "reason")


class Source(NamedTuple):
    """Whose captures these are: the cohort, and of its revision what captures may not tell; None where it was removed."""

    cohort: str
    model: str | None = None
    release: str | None = None
    log_text: LogText = "none"


class LogFile(NamedTuple):
    """A file of the prediction log."""

    name: str
    lines: bytes


def log_file(address: str, body: bytes, source: Source) -> LogFile | None:
    """The file that one capture becomes, named by its address and its first call; None where it has no answer to others' questions."""
    calls = [one for one in read_captured(body) if not one.name.startswith((ASKED_BY_US, THROUGH_THE_SPLIT))]
    if not calls:
        return None
    return LogFile(file_name(address, min(call.at for call in calls)), b"".join(line for call in calls for line in _lines(call, source)))


def file_name(address: str, at: datetime) -> str:
    """As a server names its log files: by day and ULID, whose time is this and whose random part is a digest of the address."""
    milliseconds = int(at.timestamp() * 1000)
    time = "".join(CROCKFORD[milliseconds >> shift & 31] for shift in range(45, -5, -5))
    return f"predictions-{at.astimezone(UTC):%Y%m%d}-{time}{digest_of(address)}.jsonl"


def digest_of(address: str) -> str:
    """80 bits of a capture's address, as a ULID writes them."""
    return "".join(CROCKFORD[byte & 31] for byte in hashlib.sha256(address.encode()).digest()[:RANDOM_CHARACTERS])


def _lines(call: Captured, source: Source) -> Iterator[bytes]:
    texts = _texts(call, source.log_text)
    about = {"model": call.model.get("name") or source.model, "release": call.model.get("release") or source.release}
    for prediction, text in zip(call.predictions, texts, strict=True):
        line: dict[str, Any] = {
            "ts": f"{call.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{call.at.microsecond // 1000:03d}Z",
            "prediction_id": prediction["prediction_id"],
            **about,
            "cohort": source.cohort,
            "latency_ms": None,
            "cached": None,
            **{name: prediction.get(name) for name in FIELDS},
        }
        yield orjson.dumps(line)[:-1] + text + b"}\n"


def _texts(call: Captured, policy: LogText) -> Sequence[bytes]:
    """What the log keeps of each text: the end of its line."""
    messages = _messages(call.request) if call.request and policy != "none" else []
    if len(messages) != len(call.predictions):
        return [b""] * len(call.predictions)
    return [text_field(policy, message) for message in messages]


def _messages(request: Mapping[str, Any]) -> list[Message]:
    """The messages of a captured request as the server read them; none where it cannot be read."""
    try:
        return read_messages(data_of(request), ServingConfig(), content_type(str(request.get("observedContentType") or "")))
    except (Problem, ValueError, KeyError, TypeError, AttributeError):
        return []
