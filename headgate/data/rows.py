"""One annotation: what a row must be, which split it belongs to, and the hash that data versions add up."""

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, get_args

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from headgate.errors import BadInput

Split = Literal["train", "valid"]
Source = Literal["annotation", "correction", "import"]
VALID_PERCENT = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(hours=1)  # how much another machine's clock may be ahead
SOURCES = frozenset(get_args(Source))
MAX_NAME = 200
MODULUS = 2**128
HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def split_of(group_id: str) -> Split:
    """The split of every row of a group: the same on every machine, for ever."""
    bucket = int.from_bytes(hashlib.sha256(group_id.encode()).digest()[:8], "big") % 100
    return "valid" if bucket < VALID_PERCENT else "train"


class Annotation(BaseModel):
    """A text with the label that somebody gave it; times are UTC."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    id: str = Field(min_length=1, max_length=MAX_NAME)
    text: str
    label: str = Field(min_length=1, max_length=MAX_NAME)
    group_id: str = Field(min_length=1, max_length=MAX_NAME)
    source: Source = "annotation"
    annotator: str = Field("", max_length=MAX_NAME)
    annotated_at: datetime = EPOCH
    headers: dict[str, str] | None = None

    @property
    def split(self) -> Split:
        """Where the row's whole group is used: training or validation."""
        return split_of(self.group_id)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, raw: dict[str, Any]) -> dict[str, Any]:
        row = {name: value for name, value in raw.items() if not _missing(value) or name in ("text", "label")}
        text, unknown = row.get("text"), "?"  # a row without text is refused anyway; it need not hear about its id as well
        row.setdefault("id", hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16] if isinstance(text, str) else unknown)
        row.setdefault("group_id", row["id"] if isinstance(row["id"], str | int) else unknown)
        return row

    @field_validator("text", "label", "annotator", mode="before")
    @classmethod
    def _string(cls, value: Any) -> str:
        if _missing(value):
            raise _fault("expected a string, found nothing")
        if isinstance(value, list | tuple | set):
            raise _fault(f"expected one string, found a list of {len(value)}; a row has one label, multi-label data is not supported")
        if not isinstance(value, str):
            raise _fault(f"expected a string, found {type(value).__name__} {_short(value)}")
        return _clean(value)

    @field_validator("label", "annotator")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.strip().isprintable():
            raise _fault(f"expected one printable line, found {_short(value)}")
        return value.strip()

    @field_validator("id", "group_id", mode="before")
    @classmethod
    def _name(cls, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise _fault(f"expected a string, found {type(value).__name__} {_short(value)}")
        return _clean(str(value)).strip()

    @field_validator("annotated_at", mode="before")
    @classmethod
    def _time(cls, value: Any) -> datetime:
        try:
            found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            raise _fault(f"expected an ISO 8601 time such as 2026-01-31T12:00:00Z, found {_short(value)}") from None

    @field_validator("headers", mode="before")
    @classmethod
    def _headers(cls, value: Any) -> Any:
        try:
            found = json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            found = value
        if not isinstance(found, Mapping) or not all(isinstance(part, str) for part in found.values() if part is not None):
            raise _fault(f"expected an object of strings, found {_short(value)}")
        return {_clean(str(name)): _clean(part) for name, part in found.items() if part is not None}


FIELDS = ("text", "label", "id", "group_id", "source", "annotator", "annotated_at", "headers")
ALL_FIELDS = set(FIELDS)


def parse_row(raw: Mapping[str, Any]) -> Annotation:
    """The annotation in a raw row, which needs `text` and `label` only; BadInput lists every fault of the row."""
    return _plain_row(raw) or _validated_row(raw)


def _validated_row(raw: Mapping[str, Any]) -> Annotation:
    if "label" not in raw and "labels" in raw:
        raise BadInput("label: missing, found 'labels' instead; a row has one label, multi-label data is not supported")
    if absent := [name for name in ("text", "label") if name not in raw]:
        found = ", ".join(sorted(map(str, raw))[:10]) or "nothing"
        raise BadInput(f"{' and '.join(absent)}: missing; expected at least the fields text and label, found {_short(found, 200)}")
    try:
        return Annotation.model_validate(dict(raw))
    except ValidationError as fault:
        raise BadInput("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())) from None


def _plain_row(raw: Mapping[str, Any]) -> Annotation | None:
    """What `_validated_row` makes of a row of plain strings, several times as fast; None where a field needs a closer look."""
    text, label, row_id, group_id, source, annotator, at, headers = map(raw.get, FIELDS)
    if type(text) is not str or type(label) is not str or not text or text.isspace() or not _is_clean(text):
        return None
    if not (headers is None or headers == "") or not all(map(_is_plain, (row_id, group_id, source, annotator, at))):
        return None
    found = plain_id(row_id) if row_id else hashlib.sha256(text.encode()).hexdigest()[:16]
    fields = {
        "id": found,
        "text": text,
        "label": plain_name(label),
        "group_id": plain_id(group_id) if group_id else found,
        "source": (source or "annotation") if not source or source in SOURCES else None,
        "annotator": plain_name(annotator) if annotator else "",
        "annotated_at": plain_time(at) if at else EPOCH,
    }
    return None if None in fields.values() else _built(fields | {"headers": None})


def _is_plain(value: Any) -> bool:
    return value is None or type(value) is str


def _built(fields: dict[str, Any]) -> Annotation:
    """The model with fields that are known to be valid; all count as given."""
    row = Annotation.__new__(Annotation)
    fill = object.__setattr__
    fill(row, "__dict__", fields)
    fill(row, "__pydantic_fields_set__", ALL_FIELDS)
    fill(row, "__pydantic_extra__", None)
    fill(row, "__pydantic_private__", None)
    return row


@lru_cache(10_000)
def plain_name(value: str) -> str | None:
    """A label's or an annotator's one line; None if it is anything else, or nothing."""
    name = value.strip()
    return name if 0 < len(value) <= MAX_NAME and name and name.isprintable() and _is_clean(value) else None


def plain_id(value: str) -> str | None:
    """An id without white space around it; None if it is anything else, or nothing."""
    return (value.strip() or None) if len(value) <= MAX_NAME and _is_clean(value) else None


@lru_cache(10_000)
def plain_time(value: str) -> datetime | None:
    """An ISO 8601 time, in UTC; None if it is anything else."""
    try:
        found = datetime.fromisoformat(value.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_clean(value: str) -> bool:
    return "\x00" not in value and (value.isascii() or not HALF_CHARACTER.search(value))


def normalised(text: str) -> str:
    """The text without the differences that a reader would not see: Unicode form, case and white space."""
    return " ".join(text.lower().split() if text.isascii() else unicodedata.normalize("NFKC", text).casefold().split())


def row_hash(row: Annotation) -> int:
    """128 bits of the SHA-256 over the row's canonical JSON; the split is left out, since the group decides it."""
    return int.from_bytes(hashlib.sha256(_canonical(row)).digest()[:16], "big")


def _canonical(row: Annotation) -> bytes:
    """The fields as JSON: keys sorted, no spaces, UTF-8, times in UTC with a Z."""
    fields = {
        "annotated_at": row.annotated_at,
        "annotator": row.annotator,
        "group_id": row.group_id,
        "headers": row.headers,
        "id": row.id,
        "label": row.label,
        "source": row.source,
        "text": row.text,
    }
    return orjson.dumps(fields, default=_moment, option=orjson.OPT_UTC_Z | orjson.OPT_SORT_KEYS)


def _moment(value: Any) -> datetime:
    """A time of a kind of its own, such as pandas', as a plain one."""
    if not isinstance(value, datetime):
        raise TypeError(f"expected a time, found {type(value).__name__}")
    return datetime(value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond, value.tzinfo)


def digest_of(total: int) -> str:
    """A data version's digest from the sum of its row hashes, in any order."""
    return f"{total % MODULUS:032x}"


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and math.isnan(value))


def _clean(value: str) -> str:
    """The text itself; a fault if no file, table or tokenizer could hold it."""
    if "\x00" in value:
        raise _fault(f"expected text, found NUL characters in {_short(value)}")
    if not value.isascii() and HALF_CHARACTER.search(value):
        raise _fault("expected text, found a lone surrogate (half a character)")
    return value


def _fault(message: str) -> PydanticCustomError:
    return PydanticCustomError("row", "{message}", {"message": message})


def _short(value: Any, limit: int = 60) -> str:
    shown = value if isinstance(value, str) and limit > 60 else ascii(value)
    return shown if len(shown) <= limit else f"{shown[:limit]}..."
