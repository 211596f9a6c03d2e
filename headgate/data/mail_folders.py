"""A folder of e-mails with a file of labels, as raw rows: `.eml` and mbox files, and a CSV with the columns `id` (or `path`), `label`.

A mail's id is its path in the folder, or its Message-ID; in an mbox its Message-ID, or the mbox's path and its number (`inbox.mbox#3`).
Every mail and every line of labels becomes one row, so that an ingest tells which mail has no label and which label has no mail.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from headgate.data.encodings import decoded
from headgate.errors import BadInput
from headgate.model.raw_mail import read_mail

MBOX_START = re.compile(rb"(?:\A|(?<=\n))From [^\r\n]{0,1000}\r?\n(?=[!-9;-~]{1,100}:)")
QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
LABEL_FILES = (".csv", ".tsv")
MAIL_FILES = (".eml", ".mbox", "")
ABOUT = ("label", "annotator", "annotated_at", "group_id")


@dataclass(frozen=True, slots=True)
class _Mail:
    names: tuple[str, ...]
    row: dict[str, Any]


def folder_rows(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The raw rows of a folder's files, by their paths in it; BadInput where it has no mail, or not just one file of labels."""
    tables = sorted(path for path in files if PurePosixPath(path).suffix.lower() in LABEL_FILES)
    mails = [mail for path in sorted(files) if path not in tables for mail in _mails(path, files[path])]
    if len(tables) != 1 or not mails:
        found = f"{len(mails)} mail(s) and {', '.join(tables) or 'no CSV file'}"
        raise BadInput(f"expected a folder with .eml or mbox files and one CSV file with the columns id and label, found {found}")
    return list(_joined(mails, _labels(tables[0], files[tables[0]])))


def as_json_lines(rows: list[dict[str, Any]]) -> bytes:
    """Rows as a JSON Lines file; equal rows give equal bytes, half characters become question marks."""
    return "".join(f"{json.dumps(row, ensure_ascii=False, sort_keys=True)}\n" for row in rows).encode("utf-8", "replace")


def _mails(path: str, data: bytes) -> Iterator[_Mail]:
    starts = [match.start() for match in MBOX_START.finditer(data)]
    if PurePosixPath(path).suffix.lower() == ".eml" or not starts:
        if PurePosixPath(path).suffix.lower() in MAIL_FILES:
            yield _mail(path, data, ())
        return
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(data)], strict=True), 1):
        yield _mail(f"{path}#{number}", QUOTED_FROM.sub(rb"\1", data[start:end]), (f"{path}#{number}",))


def _mail(path: str, data: bytes, fallback: tuple[str, ...]) -> _Mail:
    """A mail as a row; one that cannot be read has no text, for which the ingest refuses it."""
    try:
        text, headers = read_mail(data)
    except BadInput:
        return _Mail((path,), {"id": path})
    message_id = next((value.strip() for name, value in headers.items() if name.lower() == "message-id" and value.strip()), "")
    own = message_id if fallback and message_id else path
    names = dict.fromkeys([own, path, message_id, message_id.strip("<>"), *([] if fallback else [PurePosixPath(path).name])])
    return _Mail(tuple(name for name in names if name), {"id": own, "text": text, "headers": headers})


def _labels(path: str, data: bytes) -> list[dict[str, str]]:
    try:
        lines = decoded(data).text.splitlines()
    except ValueError as fault:
        raise BadInput(f"{path}: {fault}") from None
    header = lines[0].lower() if lines else ""
    mark = max(",;\t|", key=header.count)
    reader = csv.DictReader([header, *lines[1:]], delimiter=mark)
    names = {name.strip() for name in reader.fieldnames or ()}
    if "label" not in names or not names & {"id", "path"}:
        raise BadInput(f"{path}: expected a first line that names the columns id (or path) and label, found {header[:200]!r}")
    return [
        {name.strip(): (value or "").strip() for name, value in row.items() if isinstance(name, str) and isinstance(value, str | None)}
        for row in reader
    ]


def _joined(mails: list[_Mail], labels: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """A row for each label with its mail, and for each mail without a label."""
    by_name = {name: mail for mail in reversed(mails) for name in mail.names}
    labelled: set[int] = set()
    for line in labels:
        named = line.get("id") or line.get("path") or ""
        mail = by_name.get(named.removeprefix("./"))
        labelled |= {id(mail)}
        yield (mail.row if mail else {"id": named}) | {name: line[name] for name in ABOUT if line.get(name)}
    yield from (mail.row for mail in mails if id(mail) not in labelled)
