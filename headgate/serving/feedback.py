"""Corrected labels from users: checked, then written down before they are acknowledged.

Lines are {ts, prediction_id, label, model, release} with `annotator` where one is told, in `feedback/` beside the prediction log.
"""

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import orjson

from headgate.serving.identifiers import is_prediction_id
from headgate.serving.log_files import LogFiles
from headgate.serving.problems import Faults, Problem, found, pointer, raise_faults
from headgate.serving.reading import json_object

EXPECTED = 'expected {"prediction_id": "...", "label": "..."}'
FIELDS = ("annotator", "label", "prediction_id")
MAX_ANNOTATOR = 200
SHOWN_LABELS = 20


class FeedbackLog:
    """The feedback of one worker; `append` belongs to one thread. keep_bytes: of the whole log, of which this keeps a quarter."""

    def __init__(self, log_dir: Path, model: str | None, release: str | None, keep_bytes: int | None = None) -> None:
        self._files = LogFiles(log_dir / "feedback", "feedback", keep_bytes=None if keep_bytes is None else keep_bytes // 4)
        self._same = {"model": model, "release": release}

    def append(self, correction: dict[str, Any], traceparent: str) -> None:
        """Write one correction; OSError if it cannot be."""
        now = time.time_ns() // 1_000_000
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000)) + f".{now % 1_000:03d}Z"
        line = {"ts": at, **correction, **self._same, **({"traceparent": traceparent} if traceparent else {})}
        self._files.append(orjson.dumps(line) + b"\n")

    def close(self) -> None:
        """Let go of the file."""
        self._files.close()


def read_correction(body: bytes, labels: Collection[str]) -> dict[str, Any]:
    """The correction in a body; Problem 400 for what is no JSON, 422 that names every wrong field."""
    content = json_object(body, EXPECTED)
    if not isinstance(content, dict):
        raise Problem(422, f"{EXPECTED}, found {found(content)}", [("", f"expected an object, found {found(content)}")])
    faults: Faults = [(pointer("", name), f"unknown field; known are {', '.join(FIELDS)}") for name in sorted(content.keys() - {*FIELDS})]
    for name in ("prediction_id", "label"):
        if not isinstance(content.get(name), str):
            faults.append((f"/{name}", f"expected a string, found {found(content[name])}" if name in content else "missing"))
    if isinstance(told := content.get("prediction_id"), str) and not is_prediction_id(told):
        faults.append(("/prediction_id", f"expected the prediction_id of an answer, found {found(told)}"))
    if isinstance(label := content.get("label"), str) and label not in labels:
        known = ", ".join(sorted(labels)[:SHOWN_LABELS]) + (f" and {len(labels) - SHOWN_LABELS} more" if len(labels) > SHOWN_LABELS else "")
        faults.append(("/label", f"expected a known label ({known}), found {found(label)}"))
    annotator = content.get("annotator", "")
    if not isinstance(annotator, str) or len(annotator) > MAX_ANNOTATOR:
        faults.append(("/annotator", f"expected a string of at most {MAX_ANNOTATOR} characters, found {found(annotator)}"))
    raise_faults(faults)
    return dict(content)
