"""Queued texts as annotators' tools read them. What comes back lands like any annotation and meets its row by its id.

Label Studio: tasks with a prediction, <https://labelstud.io/guide/predictions>; the labelling interface needs a Choices control named
`label` for a Text named `text`. JSON Lines: fill in `label`, delete the lines that you leave out, and land the file; its rows are dated as
they were given out, so that a label counts over any correction from before.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from headgate.data.queue import QueuedText

Format = Literal["label-studio", "jsonl"]


def exported(texts: Iterable[QueuedText], form: Format, model: str, at: datetime) -> str:
    """The texts in one of the formats, in their order; `at` is when they are given out."""
    if form == "label-studio":
        return json.dumps([_task(text, model) for text in texts], indent=1, ensure_ascii=False) + "\n"
    return "".join(json.dumps(_line(text, at), ensure_ascii=False) + "\n" for text in texts)


def _task(text: QueuedText, model: str) -> dict[str, Any]:
    task: dict[str, Any] = {
        "data": {"text": text.text, "id": text.id, "group_id": text.group_id, "why": why(text)},
        "meta": {"reasons": list(text.reasons)},
    }
    if text.label is not None:
        choice = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [text.label]}}
        task["predictions"] = [{"model_version": model, "score": text.score, "result": [choice]}]
    return task


def _line(text: QueuedText, at: datetime) -> dict[str, Any]:
    told = {"suggested": text.label, "score": text.score, "why": why(text)}
    return {"id": text.id, "group_id": text.group_id, "text": text.text, "label": None, "annotated_at": at.isoformat()} | told


def why(text: QueuedText) -> str:
    """The reasons in words."""
    return text.told or ", ".join(reason.replace("_", " ") for reason in text.reasons)
