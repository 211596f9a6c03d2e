"""Argilla's exports, record by record, as raw rows: one for each response that was submitted.

Formats: `dataset.records(...).to_json` and `to_list(flatten=True)` of version 2 (<https://docs.argilla.io/latest/reference/argilla/records/records/>),
the feedback records of version 1 (`responses` is a list of users' answers), and its text classification records (`annotation`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from headgate.data.raw import Converted

RESPONSES = ".responses"
KEPT = ("group_id", "headers")
UNANSWERED = "without a response"
Answer = tuple[str, Any, Mapping[str, Any]]


def is_record(record: Mapping[str, Any]) -> bool:
    """Whether this is an Argilla record, in any of the four forms."""
    nested = isinstance(record.get("fields"), Mapping) and "responses" in record
    legacy = (
        "annotation" in record and ("inputs" in record or "text" in record) and ("prediction" in record or "annotation_agent" in record)
    )
    return nested or legacy or any(name.endswith(RESPONSES) for name in record)


def convert_record(record: Mapping[str, Any]) -> Converted:
    """A row for each submitted response to the record's question; suggestions and predictions are ignored."""
    if not is_record(record):
        found = ", ".join(list(record)[:10])[:200] or "nothing"
        return Converted((f"expected an Argilla record with fields and responses, found {found}",))
    fields, answers = _fields(record), _answers(record)
    given = [answer for answer in answers if answer[2].get("status") in (None, "submitted", "Validated", "Default")]
    skipped = tuple(f"with the status {str(answer[2]['status'])[:40]}" for answer in answers if answer not in given)
    if not given:
        return Converted((), skipped or (UNANSWERED,))
    try:
        question, text = _question(answer[0] for answer in given), _text(fields)
    except ValueError as fault:
        return Converted((f"Argilla record {str(record.get('id'))[:80]}: {fault}",), skipped)
    return Converted(tuple(_row(record, text, answer) for answer in given if answer[0] == question), skipped)


def _row(record: Mapping[str, Any], text: Any, answer: Answer) -> dict[str, Any]:
    _, value, about = answer
    label = value[0] if isinstance(value, list) and len(value) == 1 else value
    who = {"annotator": "" if about.get("user_id") is None else str(about["user_id"]), "annotated_at": about.get("at")}
    metadata = record.get("metadata")
    kept = {name: metadata[name] for name in KEPT if name in metadata} if isinstance(metadata, Mapping) else {}
    return {"id": record.get("id"), "text": text, "label": label} | who | kept


def _fields(record: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in ("fields", "inputs"):
        if isinstance(record.get(name), Mapping):
            return dict(record[name])
        if isinstance(record.get(name), str):
            return {"text": record[name]}
    return {
        name: value for name, value in record.items() if isinstance(value, str) and "." not in name and name not in ("id", "_server_id")
    }


def _answers(record: Mapping[str, Any]) -> list[Answer]:
    """Each answer as its question, its value, and its user, status and time."""
    responses = record.get("responses")
    if isinstance(responses, Mapping):
        return [(question, *_answer(one)) for question, answers in responses.items() for one in _listed(answers)]
    if isinstance(responses, list):
        return [(question, *_answer(value, one)) for one in responses if isinstance(one, Mapping) for question, value in _values(one)]
    if "annotation" in record:
        about = {"user_id": record.get("annotation_agent"), "status": record.get("status"), "at": record.get("event_timestamp")}
        return [] if record["annotation"] is None else [("annotation", record["annotation"], about)]
    return [answer for name in record if name.endswith(RESPONSES) for answer in _flat(record, name)]


def _answer(value: Any, response: Mapping[str, Any] | None = None) -> tuple[Any, Mapping[str, Any]]:
    about = response if response is not None else value if isinstance(value, Mapping) else {}
    at = about.get("updated_at") or about.get("inserted_at")
    found = value.get("value") if isinstance(value, Mapping) else value
    return found, {"user_id": about.get("user_id"), "status": about.get("status"), "at": at}


def _values(response: Mapping[str, Any]) -> list[tuple[str, Any]]:
    values = response.get("values")
    return list(values.items()) if isinstance(values, Mapping) else []


def _flat(record: Mapping[str, Any], name: str) -> list[Answer]:
    answers, users, states = (_listed(record.get(f"{name}{part}")) for part in ("", ".users", ".status"))
    padded = [[*more, *[None] * (len(answers) - len(more))] for more in (users, states)]
    about = zip(answers, padded[0], padded[1], strict=False)
    return [(name.removesuffix(RESPONSES), value, {"user_id": user, "status": status}) for value, user, status in about]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _question(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    if len(found) == 1 or "label" in found:
        return "label" if "label" in found else found[0]
    raise ValueError(f"expected answers to one question or to one that is named label, found {', '.join(found)[:200]}")


def _text(fields: Mapping[str, Any]) -> Any:
    if "text" in fields:
        return fields["text"]
    strings = [name for name, value in fields.items() if isinstance(value, str)]
    if len(strings) == 1:
        return fields[strings[0]]
    raise ValueError(f"expected a field text or one field, found {', '.join(fields)[:200] or 'nothing'}")
