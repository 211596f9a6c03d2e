"""Label Studio's JSON exports, task by task, as raw rows: one for each annotation that somebody submitted.

Formats: <https://labelstud.io/guide/export>, JSON and JSON-MIN; `completions` is what `annotations` was called before version 1.0.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from headgate.data.raw import Converted

CHOICES = ("choices", "taxonomy")
KEPT = ("id", "group_id", "headers")
SKIPPED = "skipped or cancelled by its annotator"
UNANNOTATED = "without an annotation"


def is_task(record: Mapping[str, Any]) -> bool:
    """Whether this is a task of the full JSON export."""
    return isinstance(record.get("data"), Mapping) and ("annotations" in record or "completions" in record)


def is_minimal(record: Mapping[str, Any]) -> bool:
    """Whether this is an annotation of the JSON-MIN export."""
    return "annotation_id" in record and "annotator" in record and "lead_time" in record


def convert_task(task: Mapping[str, Any]) -> Converted:
    """A row for each annotation of a task; predictions and drafts are no annotations and are ignored."""
    found = task.get("annotations", task.get("completions"))
    if not is_task(task) or not isinstance(found, list | None):
        return Converted((f"expected a Label Studio task with data and a list of annotations, found {_names(task)}",))
    kept = [one for one in found or [] if not (isinstance(one, Mapping) and (one.get("was_cancelled") or one.get("skipped")))]
    skipped = (SKIPPED,) * (len(found or []) - len(kept)) or (() if kept else (UNANNOTATED,))
    return Converted(tuple(_row(task, one) for one in kept), skipped)


def convert_minimal(record: Mapping[str, Any]) -> Converted:
    """The row of a JSON-MIN annotation, whose answers stand between its id and its annotator."""
    if not is_minimal(record):
        return Converted((f"expected a Label Studio annotation with annotation_id, annotator and lead_time, found {_names(record)}",))
    names = list(record)
    answers = names[names.index("id") + 1 if "id" in names else 0 : names.index("annotator")]
    data = {name: value for name, value in record.items() if name in names[: names.index("id") if "id" in names else len(names)]}
    try:
        name = _only(["label"] if "label" in record else answers, "answer")
        label = _label([_minimal_answer(record[name])])
        text = _text({key: value for key, value in data.items() if key != name}, "text")
    except ValueError as fault:
        return Converted((str(fault),))
    who = {"annotator": _annotator(record["annotator"]), "annotated_at": _time(record)}
    return Converted(({"text": text, "label": label} | who | {key: data[key] for key in KEPT if key in data and key != name},))


def _row(task: Mapping[str, Any], annotation: Any) -> dict[str, Any] | str:
    data = task["data"]
    try:
        results = annotation.get("result") if isinstance(annotation, Mapping) else None
        if not isinstance(results, list):
            raise ValueError("expected an annotation with a list `result`, found none")
        chosen = [one for one in results if isinstance(one, Mapping) and isinstance(one.get("value"), Mapping) and _chosen(one)]
        control = _only([str(one.get("from_name")) for one in chosen], "choice")
        of_control = [one for one in chosen if str(one.get("from_name")) == control]
        label = _label([_chosen(one) for one in of_control])
        text = _text(data, str(of_control[0].get("to_name")))
    except ValueError as fault:
        return f"Label Studio task {str(task.get('id'))[:80]}: {fault}"
    who = {"annotator": _annotator(annotation.get("completed_by")), "annotated_at": _time(annotation)}
    return {"text": text, "label": label} | who | {name: data[name] for name in KEPT if name in data}


def _chosen(result: Mapping[str, Any]) -> list[Any]:
    found: Any = next((result["value"][kind] for kind in CHOICES if kind in result["value"]), [])
    return found if isinstance(found, list) else [found]


def _minimal_answer(answer: Any) -> list[Any]:
    if isinstance(answer, Mapping):
        return _chosen({"value": answer})
    if isinstance(answer, list):
        return [part for one in answer for part in (_chosen({"value": one}) if isinstance(one, Mapping) else [one])]
    return [answer]


def _only(names: Iterable[str], kind: str) -> str:
    """The one name, or `label` among several."""
    found = list(dict.fromkeys(names))
    if len(found) == 1 or "label" in found:
        return "label" if "label" in found else found[0]
    if not found:
        raise ValueError(f"expected one {kind}, found none")
    raise ValueError(f"expected one {kind} or one that is named label, found {', '.join(found)[:200]}")


def _label(answers: Iterable[list[Any]]) -> Any:
    """The one label; a nested choice becomes a path. Several stay a list, which the row's judge refuses with its own words."""
    paths = list(dict.fromkeys(tuple(map(str, part)) if isinstance(part, list) else (part,) for answer in answers for part in answer))
    leaves = [path for path in paths if not any(other != path and other[: len(path)] == path for other in paths)]
    labels = ["/".join(path) if len(path) > 1 else path[0] for path in leaves if path]
    if not labels:
        raise ValueError("expected one choice, found none")
    return labels[0] if len(labels) == 1 else labels


def _text(data: Mapping[str, Any], shown: str) -> Any:
    """The text that the annotator saw: the field of the control's name, else `text`, else the only string of the task."""
    for name in (shown, "text"):
        if name in data:
            return data[name]
    strings = [name for name, value in data.items() if isinstance(value, str) and name not in KEPT]
    if len(strings) == 1:
        return data[strings[0]]
    raise ValueError(f"expected a field text in the task's data, found {_names(data)}")


def _annotator(who: Any) -> str:
    found = (who.get("email") or who.get("username") or who.get("id")) if isinstance(who, Mapping) else who
    return "" if found is None else str(found)


def _time(annotation: Mapping[str, Any]) -> Any:
    """When it was given, as ISO 8601; older versions wrote seconds since 1970."""
    found = annotation.get("updated_at") or annotation.get("created_at")
    if isinstance(found, int | float) and not isinstance(found, bool):
        try:
            return datetime.fromtimestamp(found, UTC).isoformat()
        except (ValueError, OverflowError, OSError):
            return str(found)
    return found


def _names(record: Mapping[str, Any]) -> str:
    return ", ".join(map(str, list(record)[:10]))[:200] or "nothing"
