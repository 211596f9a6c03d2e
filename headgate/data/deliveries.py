"""What annotation tools post, as what lands: JSON Lines in the forms that the ingest reads from their exports.

Label Studio: <https://labelstud.io/guide/webhook_reference>; Argilla 2: <https://docs.argilla.io/latest/how_to_guides/webhooks/>.
Nothing that a payload names is ever fetched.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headgate.data import argilla, label_studio
from headgate.data.json_rows import json_object
from headgate.data.parsing import judge_file
from headgate.data.version import checked_name
from headgate.errors import BadInput
from headgate.record import canonical

ANNOTATED = {"ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED"}
ANSWERED = {"response.created", "response.updated"}
OF_ANNOTATION = ("id", "result", "completed_by", "created_at", "updated_at", "was_cancelled", "skipped")
SHOWN_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one post brings: the bytes to land and how many rows they hold, or nothing, and why."""

    source: str
    data: bytes = b""
    rows: int = 0
    ignored: str = ""

    def landing_key(self, dataset: str) -> str:
        """Where it lands, named by its content: the same delivery lands once, however often it is repeated."""
        return f"landing/{checked_name(dataset)}/{self.source}-{hashlib.sha256(self.data).hexdigest()[:32]}.jsonl"


def read_json(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; BadInput says what else stands there."""
    try:
        return json_object(body.decode("utf-8"))
    except ValueError as fault:
        raise BadInput(str(fault)) from None


def from_label_studio(payload: Mapping[str, Any]) -> Delivery:
    """The annotations of a Label Studio webhook as tasks of its export; one that cannot be a row still lands, for the quarantine."""
    action = payload.get("action")
    if not isinstance(action, str):
        raise BadInput(f"expected a Label Studio webhook with an action, found the fields {_names(payload)}")
    if action not in ANNOTATED:
        return Delivery("label-studio", ignored=f"{action[:60]}: expected one of {', '.join(sorted(ANNOTATED))}")
    if "annotation" not in payload:
        raise BadInput(f"{action}: expected a payload with annotation and task, found neither; switch on 'Send payload' of the webhook")
    tasks = {str(task.get("id")): task for task in _listed(payload.get("task"))}
    exported = [_task(one, tasks, action) for one in _listed(payload["annotation"])]
    return _landed("label-studio", exported, label_studio.convert_task)


def from_argilla(payload: Mapping[str, Any]) -> Delivery:
    """The response of an Argilla webhook as a record of its export; drafts and discarded responses bring nothing."""
    kind = payload.get("type")
    if not isinstance(kind, str):
        raise BadInput(f"expected an Argilla webhook with a type, found the fields {_names(payload)}")
    if kind not in ANSWERED:
        return Delivery("argilla", ignored=f"{kind[:60]}: expected one of {', '.join(sorted(ANSWERED))}")
    response = payload.get("data")
    record = response.get("record") if isinstance(response, Mapping) else None
    if not isinstance(response, Mapping) or not isinstance(record, Mapping) or not isinstance(record.get("fields"), Mapping):
        raise BadInput(f"{kind}: expected data with a record that has fields, found {_names(response)}")
    return _landed("argilla", [_record(response, record)], argilla.convert_record)


def from_rows(body: bytes, labels: Collection[str] = (), now: datetime | None = None) -> Delivery:
    """Rows of a tool of one's own, in any text format that the ingest reads; BadInput lists every row that would be refused."""
    judged = judge_file("body", body, labels, now or datetime.now(UTC))
    if judged.bad:
        faults = [str(row).removeprefix("body, ").removeprefix("body: ") for row in judged.bad]
        more = [f"and {len(faults) - SHOWN_FAULTS} more"] if len(faults) > SHOWN_FAULTS else []
        raise BadInput("\n".join([f"expected rows with text and label, found {len(faults)} bad one(s):", *faults[:SHOWN_FAULTS], *more]))
    if not judged.good:
        raise BadInput("expected at least one row with text and label, found none")
    lines = [good.row.model_dump(mode="json", exclude_none=True) for good in judged.good]
    return Delivery("rows", _lines(lines), len(lines))


def _task(annotation: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]], action: str) -> dict[str, Any]:
    """The annotation inside its task, as the export has it."""
    task = tasks.get(str(annotation.get("task"))) or (next(iter(tasks.values())) if len(tasks) == 1 else None)
    if task is None or not isinstance(task.get("data"), Mapping):
        raise BadInput(f"{action}: annotation {str(annotation.get('id'))[:60]}: expected its task with data, found none")
    kept = {name: annotation[name] for name in OF_ANNOTATION if name in annotation}
    return {"id": task.get("id"), "data": task["data"], "annotations": [kept]}


def _record(response: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """The response inside its record, as the export has it, whose id is the record's external one."""
    user = response.get("user")
    answer = {name: response.get(name) for name in ("values", "status", "inserted_at", "updated_at")}
    who = str(user.get("id")) if isinstance(user, Mapping) else None
    named = {"id": record.get("external_id") or record.get("id"), "fields": record["fields"], "metadata": record.get("metadata")}
    return named | {"responses": [answer | {"user_id": who}]}


def _landed(source: str, records: list[dict[str, Any]], convert: Any) -> Delivery:
    """The records that hold a row, good or bad; the converter of the export says which."""
    found = [(record, convert(record)) for record in records]
    kept = [record for record, converted in found if converted.rows]
    if not kept:
        reasons = sorted({reason for _, converted in found for reason in converted.skipped})
        return Delivery(source, ignored=f"no annotation to land: {', '.join(reasons) or 'the list is empty'}")
    return Delivery(source, _lines(kept), sum(len(converted.rows) for _, converted in found))


def _lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(canonical(record) + b"\n" for record in records)


def _listed(found: Any) -> list[Mapping[str, Any]]:
    """One object or several; BadInput if it is neither."""
    several = found if isinstance(found, list) else [] if found is None else [found]
    if not all(isinstance(one, Mapping) for one in several):
        raise BadInput("expected objects as annotation and task, found something else")
    return several


def _names(found: Any) -> str:
    return (", ".join(map(str, list(found)[:10]))[:200] or "none") if isinstance(found, Mapping) else "none"
