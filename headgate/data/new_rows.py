"""What was annotated since a version: the evidence for a new training, counted from the change feed alone."""

import pandas as pd

from headgate.data.table import DatasetTable
from headgate.errors import NotFound
from headgate.lake import Lake
from headgate.record import Record

TAUGHT = ["text", "label"]  # who confirmed a row, and when, teaches a classifier nothing
BEFORE, AFTER = ("update_preimage", "delete"), ("update_postimage", "insert")


class NewRows(Record):
    """Rows that differ from data version `since` (None: from nothing) to `version`, each counted once however often it changed.

    `by_label` counts the added and corrected rows by the label that they have now.
    """

    dataset: str
    since: int | None
    version: int
    added: int
    corrected: int
    removed: int
    by_label: dict[str, int]

    @property
    def count(self) -> int:
        """Rows that a training on `since` has not seen as they are now."""
        return self.added + self.corrected


def new_rows(lake: Lake, dataset: str, since: int | None) -> NewRows:
    """Count the rows that were added, corrected or removed after `since`, up to the newest data version.

    A correction is a changed text or label. Costs what changed since then, however large the table is; NotFound without any rows.
    """
    table = DatasetTable(lake, dataset)
    newest = table.latest()
    if newest is None:
        raise NotFound(f"data set {dataset}: no rows in {lake.uri} yet; ingest a file first")
    if since is not None and since >= newest.version:
        return NewRows(dataset=dataset, since=since, version=newest.version, added=0, corrected=0, removed=0, by_label={})
    ends = _ends(table.changes(-1 if since is None else since, newest.version))
    there_before, there_now = ends["_change_type_before"].isin(BEFORE), ends["_change_type"].isin(AFTER)
    differs = (ends[TAUGHT].to_numpy() != ends[[f"{name}_before" for name in TAUGHT]].to_numpy()).any(axis=1)
    added, corrected = there_now & ~there_before, there_now & there_before & differs
    labels = ends.loc[added | corrected, "label"].value_counts()
    return NewRows(
        dataset=dataset,
        since=since,
        version=newest.version,
        added=int(added.sum()),
        corrected=int(corrected.sum()),
        removed=int((there_before & ~there_now).sum()),
        by_label={str(label): int(labels[label]) for label in sorted(labels.index)},
    )


def _ends(feed: pd.DataFrame) -> pd.DataFrame:
    """One line for each id of the feed: its last entry, and its first with `_before`."""
    told = feed[["id", "_change_type", *TAUGHT]]
    first, last = told.drop_duplicates("id", keep="first"), told.drop_duplicates("id", keep="last")
    return last.merge(first, on="id", suffixes=("", "_before"), validate="one_to_one")
