"""One annotation: what a row must be, which split it belongs to, and the hash that data versions add up."""

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from headgate.errors import BadInput

Split = Literal["train", "valid"]
VALID_PERCENT = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    source: Literal["annotation", "correction", "import"] = "annotation"
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


def parse_row(raw: Mapping[str, Any]) -> Annotation:
    """The annotation in a raw row, which needs `text` and `label` only; BadInput lists every fault of the row."""
    if "label" not in raw and "labels" in raw:
        raise BadInput("label: missing, found 'labels' instead; a row has one label, multi-label data is not supported")
    if absent := [name for name in ("text", "label") if name not in raw]:
        found = ", ".join(sorted(map(str, raw))[:10]) or "nothing"
        raise BadInput(f"{' and '.join(absent)}: missing; expected at least the fields text and label, found {_short(found, 200)}")
    try:
        return Annotation.model_validate(dict(raw))
    except ValidationError as fault:
        raise BadInput("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())) from None


def normalised(text: str) -> str:
    """The text without the differences that a reader would not see: Unicode form, case and white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def row_hash(row: Annotation) -> int:
    """128 bits of the SHA-256 over the row's canonical JSON; the split is left out, since the group decides it."""
    canonical = json.dumps(row.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return int.from_bytes(hashlib.sha256(canonical.encode()).digest()[:16], "big")


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
