"""From the bytes of a request to messages, or a Problem that names every fault."""

from typing import Any

import orjson

from headgate.model.runtime import Message
from headgate.serving.config import ServingConfig
from headgate.serving.problems import Problem, found

EXPECTED = 'expected {"instances": [{"text": "..."}]}'
TOP_FIELDS = {"instances", "group_id"}
FIELDS = {"text", "headers", "id", "group_id"}

Faults = list[tuple[str, str]]


def check_content_type(content_type: str | None, content_encoding: str | None) -> None:
    """Only plain JSON is read; no type at all counts as JSON."""
    kind = (content_type or "application/json").split(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, f"expected Content-Type: application/json, found {kind[:80]!r}", headers={"Accept-Post": "application/json"})
    if (content_encoding or "identity").strip().lower() != "identity":
        raise Problem(415, f"expected a body without Content-Encoding, found {(content_encoding or '')[:80]!r}")


def read_messages(body: bytes, config: ServingConfig) -> list[Message]:
    """The messages of one request; Problem 400 for what is no JSON, 413 for too many, 422 for wrong fields."""
    if not body:
        raise Problem(400, f"the body is empty; {EXPECTED}")
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise Problem(400, f"the body is not JSON ({fault}); {EXPECTED}") from None
    instances = _instances(content)
    if len(instances) > config.max_instances:
        raise Problem(413, f"expected at most {config.max_instances} instances in one request, found {len(instances)}; send several")
    faults: Faults = []
    messages = [_message(instance, f"/instances/{number}", faults) for number, instance in enumerate(instances)]
    if faults:
        raise Problem(422, f"{len(faults)} fault(s) in the request, the first at {faults[0][0]}: {faults[0][1]}", faults)
    return [message for message in messages if message]


def _instances(content: Any) -> list[Any]:
    if not isinstance(content, dict):
        raise Problem(422, f"{EXPECTED}, found {found(content)}", [("", f"expected an object, found {found(content)}")])
    if "instances" not in content:
        raise Problem(422, f"{EXPECTED}, found no field `instances`", [("/instances", "missing")])
    if unknown := sorted(content.keys() - TOP_FIELDS):
        faults = [(_pointer("", name), f"unknown field; known are {', '.join(sorted(TOP_FIELDS))}") for name in unknown]
        raise Problem(422, f"{EXPECTED}, found unknown field {unknown[0][:80]!r}", faults)
    instances = content["instances"]
    if not isinstance(instances, list) or not instances:
        raise Problem(422, f"{EXPECTED}, found {found(instances)}", [("/instances", f"expected a filled list, found {found(instances)}")])
    return instances


def _message(instance: Any, at: str, faults: Faults) -> Message | None:
    if not isinstance(instance, dict):
        faults.append((at, f'expected an object such as {{"text": "..."}}, found {found(instance)}'))
        return None
    before = len(faults)
    faults += [(_pointer(at, name), f"unknown field; known are {', '.join(sorted(FIELDS))}") for name in sorted(instance.keys() - FIELDS)]
    text = instance.get("text")
    if not isinstance(text, str):
        faults.append((f"{at}/text", f"expected a string, found {found(text)}" if "text" in instance else "missing"))
    for name in ("id", "group_id"):
        if not isinstance(instance.get(name, ""), str):
            faults.append((f"{at}/{name}", f"expected a string, found {found(instance[name])}"))
    headers = _headers(instance.get("headers"), f"{at}/headers", faults)
    return Message(text, headers) if isinstance(text, str) and len(faults) == before else None


def _headers(headers: Any, at: str, faults: Faults) -> dict[str, str] | None:
    if headers is None:
        return None
    if not isinstance(headers, dict):
        faults.append((at, f'expected an object such as {{"Subject": "..."}}, found {found(headers)}'))
        return None
    faults += [
        (_pointer(at, name), f"expected a string, found {found(value)}") for name, value in headers.items() if not isinstance(value, str)
    ]
    return headers


def _pointer(at: str, name: str) -> str:
    return f"{at}/{name[:80].replace('~', '~0').replace('/', '~1')}"
