"""Which row a text is: the ids of rows that come without any, and the row that a data set holds of a text already."""

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa

from headgate.data import delta
from headgate.data.rows import normalised
from headgate.data.table import DatasetTable
from headgate.lake import Lake
from headgate.model.filters import current_reply
from headgate.record import Record

COLUMNS = pa.schema([(name, pa.string()) for name in ("id", "text", "label", "group_id", "source")])


class Known(Record):
    """A row that a data set holds."""

    id: str
    group_id: str
    label: str
    source: str


def text_id(text: str) -> str:
    """The id of a row that is landed without one."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def text_group(text: str) -> str:
    """One group for all texts whose newest reply reads the same, so that no twin is on the other side of the split."""
    return text_id(reply_form(text))


def reply_form(text: str) -> str:
    """What a reader sees of a text: its newest reply, without differences of case, Unicode form and white space."""
    return normalised(current_reply(text)) or normalised(text)


def forms(text: str) -> set[str]:
    """The whole text and its newest reply, as a reader sees them."""
    return {normalised(text), reply_form(text)}


def known_rows(lake: Lake, dataset: str, texts: Collection[str]) -> dict[str, Known]:
    """The rows of the newest data version with these texts, by `normalised(text)`; of several the one with the smallest id."""
    wanted = {normalised(text) for text in texts}
    found: dict[str, Known] = {}
    for row in _rows(lake, dataset) if wanted else ():
        text = normalised(row.pop("text"))
        if text in wanted and (text not in found or row["id"] < found[text].id):
            found[text] = Known(**row)
    return found


def annotated(lake: Lake, dataset: str, texts: Collection[str]) -> dict[str, set[str]]:
    """Of these texts those that the newest data version holds, as they are or by their group, each with the sources of its rows."""
    by_form = {normalised(text): text for text in texts}
    by_group = {text_group(text): text for text in texts}
    found: dict[str, set[str]] = {}
    for row in _rows(lake, dataset) if texts else ():
        for text in {by_form.get(normalised(row["text"])), by_group.get(row["group_id"])} - {None}:
            found.setdefault(str(text), set()).add(row["source"])
    return found


def _rows(lake: Lake, dataset: str) -> Iterator[dict[str, Any]]:
    """Every row of the newest data version, a batch of them in memory at a time."""
    if (table := delta.open_table(lake, DatasetTable(lake, dataset).key)) is not None:
        with delta.told_of(table.table_uri):
            for batch in table.to_pyarrow_dataset().to_batches(columns=COLUMNS.names):
                yield from batch.to_pylist()


class Frozen:
    """The texts and groups of a regression set, which may never be trained on."""

    def __init__(self, lake: Lake, name: str) -> None:
        table = delta.open_table(lake, DatasetTable(lake, name).key)
        rows = delta.read(table, COLUMNS) if table else COLUMNS.empty_table()
        self._groups = set(rows["group_id"].to_pylist())
        self._forms = {form for text in rows["text"].to_pylist() for form in forms(text)}

    def holds(self, text: str, group_id: str | None = None) -> bool:
        """Whether a text, or its newest reply, or its group stands in the set."""
        return group_id in self._groups or not self._forms.isdisjoint(forms(text))
