"""From the bytes of a request to messages, or a Problem that names every fault."""

import csv
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from headgate.errors import BadInput
from headgate.model.runtime import Message
from headgate.serving.config import ServingConfig
from headgate.serving.problems import Faults, Problem, found, pointer, raise_faults

EXPECTED = 'expected {"instances": [{"text": "..."}]}'
INPUTS = ("instances", "inputs", "dataframe_split", "dataframe_records")
TOP_FIELDS = {*INPUTS, "group_id", "params"}
FIELDS = {"text", "raw", "headers", "id", "group_id"}
LINES = ("application/jsonlines", "application/jsonl", "application/x-jsonlines", "application/x-ndjson")
READ = ("application/json", "application/jsonlines", "text/csv", "text/plain")


def content_type(told: str, encoding: str = "") -> str:
    """The media type to read, application/json if none is told; Problem 415 for any other than `READ`."""
    kind, _, parameters = told.partition(";")
    kind = kind.strip().lower() or "application/json"
    kind = "application/jsonlines" if kind in LINES else kind
    if kind not in READ:
        known = ", ".join(READ)
        raise Problem(415, f"expected Content-Type: one of {known}, found {kind[:80]!r}", headers={"Accept-Post": known})
    charset = dict(part.strip().lower().partition("=")[::2] for part in parameters.split(";")).get("charset", "utf-8").strip('"')
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, f"expected charset utf-8, found {charset[:80]!r}")
    if encoding.lower() not in ("", "identity"):
        raise Problem(415, f"expected a body without Content-Encoding, found {encoding[:80]!r}")
    return kind


def read_messages(body: bytes, config: ServingConfig, kind: str = "application/json") -> list[Message]:
    """The messages of one request; Problem 400 for what cannot be read, 413 for too many, 422 for wrong fields."""
    faults: Faults = []
    if kind == "text/plain":
        instances: list[tuple[str, Any]] = [("", _decoded(body))]
    elif not body:
        raise Problem(400, f"the body is empty; {EXPECTED}")
    else:
        instances = _READERS[kind](body, faults)
    if len(instances) > config.max_instances:
        raise Problem(413, f"expected at most {config.max_instances} instances in one request, found {len(instances)}; send several")
    messages = [_message(instance, at, faults) for at, instance in instances]
    raise_faults(faults)
    return [message for message in messages if message]


def json_object(body: bytes, expected: str) -> Any:
    """The JSON content of a body; Problem 400 if it is none."""
    if not body:
        raise Problem(400, f"the body is empty; {expected}")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise Problem(400, f"the body is not JSON ({fault}); {expected}") from None


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise Problem(400, f"the body is not UTF-8 ({fault.reason} at byte {fault.start})") from None


def _of_json(body: bytes, faults: Faults) -> list[tuple[str, Any]]:
    content = json_object(body, EXPECTED)
    if not isinstance(content, dict):
        raise Problem(422, f"{EXPECTED}, found {found(content)}", [("", f"expected an object, found {found(content)}")])
    given = [name for name in INPUTS if name in content]
    if not given and content.keys() & {"text", "raw"}:
        return [("", content)]
    if not given:
        raise Problem(422, f"{EXPECTED}, found no field `instances`", [("/instances", "missing")])
    if unknown := sorted(content.keys() - TOP_FIELDS):
        told = [(pointer("", name), f"unknown field; known are {', '.join(sorted(TOP_FIELDS))}") for name in unknown]
        raise Problem(422, f"{EXPECTED}, found unknown field {unknown[0][:80]!r}", told)
    if len(given) > 1:
        faults.append((f"/{given[1]}", f"expected one of {', '.join(INPUTS)}, found {len(given)}"))
    if content.get("params"):
        faults.append(("/params", f"expected no parameters, found {found(content['params'])}"))
    name = given[0]
    rows = _frame(content[name], faults) if name == "dataframe_split" else content[name]
    if name == "inputs":
        rows = _inputs(rows, faults)
    if not isinstance(rows, list) or not rows:
        raise Problem(422, f"{EXPECTED}, found {found(rows)}", [(f"/{name}", f"expected a filled list, found {found(rows)}")])
    at = "/dataframe_split/data" if name == "dataframe_split" else f"/{name}"
    return [(f"{at}/{number}", row) for number, row in enumerate(rows)]


def _inputs(content: Any, faults: Faults) -> Any:
    """MLflow's `inputs`: a text, a list, or columns."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, dict):
        return content
    columns = {name: [value] if isinstance(value, str) else value for name, value in content.items()}
    lengths = {len(column) if isinstance(column, list) else -1 for column in columns.values()}
    if len(lengths) != 1 or -1 in lengths:
        faults.append(("/inputs", "expected columns, each a list of the same length"))
        return [{"text": ""}]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _frame(content: Any, faults: Faults) -> list[Any]:
    """MLflow's `dataframe_split`: {"columns": [...], "data": [[...]]}."""
    columns, data = (content.get("columns"), content.get("data")) if isinstance(content, dict) else (None, None)
    if not isinstance(columns, list) or not isinstance(data, list) or not all(isinstance(name, str) for name in columns):
        detail = 'expected {"columns": ["text"], "data": [["..."]]}, found ' + found(content)
        raise Problem(422, f"{EXPECTED} or dataframe_split, found wrong fields", [("/dataframe_split", detail)])
    rows: list[Any] = []
    for number, row in enumerate(data):
        if isinstance(row, list) and len(row) == len(columns):
            rows.append(dict(zip(columns, row, strict=True)))
        else:
            faults.append((f"/dataframe_split/data/{number}", f"expected a list of {len(columns)}, found {found(row)}"))
            rows.append("")
    return rows


def _of_lines(body: bytes, faults: Faults) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for number, line in enumerate(body.splitlines()):
        if line.strip():
            try:
                rows.append((f"/{number}", orjson.loads(line)))
            except orjson.JSONDecodeError as fault:
                raise Problem(400, f'line {number + 1} is not JSON ({fault}); expected {{"text": "..."}} on each line') from None
    if not rows:
        faults.append(("", "expected at least one line, found none"))
    return rows


def _of_csv(body: bytes, faults: Faults) -> list[tuple[str, Any]]:
    """Rows under a header that names `text` or `raw`; without such a header, one column of texts."""
    try:
        rows = [row for row in csv.reader(_decoded(body).splitlines(keepends=True), strict=True) if row]
    except csv.Error as fault:
        raise Problem(400, f"the body is not CSV ({fault})") from None
    if not rows:
        faults.append(("", "expected at least one row, found none"))
        return []
    header = rows[0] if {"text", "raw"} & set(rows[0]) else None
    if header is None and any(len(row) > 1 for row in rows):
        raise Problem(422, "expected one column, or a header row that names `text` or `raw`", [("/0", f"found {len(rows[0])} columns")])
    found_rows: list[tuple[str, Any]] = []
    for number, row in enumerate(rows[1:] if header else rows, start=1 if header else 0):
        if header and len(row) != len(header):
            faults.append((f"/{number}", f"expected {len(header)} columns as in the header, found {len(row)}"))
        else:
            found_rows.append((f"/{number}", dict(zip(header, row, strict=True)) if header else row[0]))
    if header and len(rows) == 1:
        faults.append(("", "expected at least one row below the header, found none"))
    return found_rows


_READERS: dict[str, Callable[[bytes, Faults], list[tuple[str, Any]]]] = {
    "application/json": _of_json,
    "application/jsonlines": _of_lines,
    "text/csv": _of_csv,
}


def _message(instance: Any, at: str, faults: Faults) -> Message | None:
    if isinstance(instance, str):
        return Message(instance)
    if not isinstance(instance, dict):
        faults.append((at, f'expected an object such as {{"text": "..."}}, found {found(instance)}'))
        return None
    before = len(faults)
    unknown = sorted(instance.keys() - (FIELDS if at else FIELDS | {"params"}))
    faults += [(pointer(at, name), f"unknown field; known are {', '.join(sorted(FIELDS))}") for name in unknown]
    _check_strings(instance, at, ("id", "group_id"), faults)
    if "raw" in instance:
        return _mail(instance, at, faults, before)
    text = instance.get("text")
    if not isinstance(text, str):
        faults.append((f"{at}/text", f"expected a string, found {found(text)}" if "text" in instance else "missing"))
    headers = _headers(instance.get("headers"), f"{at}/headers", faults)
    return Message(text, headers) if isinstance(text, str) and len(faults) == before else None


def _mail(instance: dict[str, Any], at: str, faults: Faults, before: int) -> Message | None:
    """A whole e-mail, which brings its own text and headers."""
    raw = instance["raw"]
    faults += [(f"{at}/{name}", "expected it to be left out beside `raw`") for name in ("text", "headers") if name in instance]
    if not isinstance(raw, str):
        faults.append((f"{at}/raw", f"expected a string, found {found(raw)}"))
    if len(faults) > before or not isinstance(raw, str):
        return None
    from headgate.model.raw_mail import read_mail

    try:
        text, headers = read_mail(raw)
        return Message(text.encode("utf-8", "replace").decode(), headers)
    except BadInput as fault:
        faults.append((f"{at}/raw", str(fault)))
        return None


def _check_strings(instance: dict[str, Any], at: str, names: Iterable[str], faults: Faults) -> None:
    for name in names:
        if not isinstance(instance.get(name, ""), str):
            faults.append((f"{at}/{name}", f"expected a string, found {found(instance[name])}"))


def _headers(headers: Any, at: str, faults: Faults) -> dict[str, str] | None:
    if headers is None:
        return None
    if not isinstance(headers, dict):
        faults.append((at, f'expected an object such as {{"Subject": "..."}}, found {found(headers)}'))
        return None
    wrong = [(pointer(at, name), value) for name, value in headers.items() if not isinstance(value, str)]
    faults += [(where, f"expected a string, found {found(value)}") for where, value in wrong]
    return headers
