"""Webhook payloads with the fields that Label Studio 1.x and Argilla 2.x send."""

from typing import Any

ARGILLA_USER = {"id": "5f6a", "first_name": "Ada", "last_name": None, "username": "ada", "role": "annotator"}


def label_studio(label: str = "positive", text: str = "yes please", at: str = "2026-01-31T12:00:00Z", **changed: Any) -> dict[str, Any]:
    """ANNOTATION_CREATED, as sent by Label Studio with its payload."""
    annotation = {
        "id": 11,
        "result": [{"id": "r", "from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": at,
        "updated_at": at,
        "lead_time": 3.2,
        "task": 7,
        "completed_by": 3,
        "unique_id": "0a1b",
    }
    task = {"id": 7, "data": {"text": text}, "meta": {}, "is_labeled": True, "project": 1, "file_upload": None}
    return {"action": "ANNOTATION_CREATED", "annotation": annotation | changed, "task": task, "project": {"id": 1, "title": "Replies"}}


def argilla(label: str = "positive", text: str = "yes please", status: str = "submitted", **changed: Any) -> dict[str, Any]:
    """response.created, as sent by Argilla."""
    at = "2026-01-31T12:00:00.000000"
    dataset = {"id": "d", "name": "replies", "status": "ready", "questions": [], "fields": []}
    record = {"id": "0c1d", "status": "completed", "fields": {"text": text}, "metadata": {"group_id": "thread-1"}, "external_id": "m-1"}
    response = {
        "id": "r",
        "values": {"label": {"value": label}},
        "status": status,
        "record": record | {"dataset": dataset, "inserted_at": at, "updated_at": at},
        "user": ARGILLA_USER,
        "inserted_at": at,
        "updated_at": at,
    }
    return {"type": "response.created", "version": 1, "timestamp": "2026-01-31T12:00:00.100000Z", "data": response | changed}
