"""What each row of a data version looks like to the checks: a column for each sign, computed once; texts go in, none comes out."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headgate.data.encoding_damage import is_damaged
from headgate.data.near_duplicates import NearTexts, joined, near_copies
from headgate.data.personal_data import personal_data
from headgate.data.rows import normalised
from headgate.model.label_errors import Judged, suspected_labels
from headgate.model.language import language_of

SENSITIVE, CONTACT = ("card", "iban", "national_id"), ("email", "ip", "phone")
KINDS = (*CONTACT, *SENSITIVE)


@dataclass(frozen=True, slots=True)
class Signs:
    """Of a data version: its rows with one column a sign, the judgement on its labels, and how many regression rows have near copies.

    Columns beside id and label: new, characters, language (None: cannot be told), near_group, copies_regression, judged, suspected,
    conflicting, damaged, split, and one for each of KINDS.
    """

    rows: pd.DataFrame
    judged: Judged
    regression_rows: int
    regression_copied: int
    previous_labels: tuple[str, ...]

    @property
    def new(self) -> pd.DataFrame:
        """Rows that the previous version did not have as they are now; all, where there is none."""
        return self.rows[self.rows["new"]]

    @property
    def others(self) -> pd.DataFrame:
        """The rows that were there before."""
        return self.rows[~self.rows["new"]]


def signs_of(frame: pd.DataFrame, previous: pd.DataFrame | None, regression: pd.DataFrame | None, regions: Collection[str]) -> Signs:
    """Look at every row once. Takes seconds for 10,000 rows."""
    rows = frame.reset_index(drop=True)
    texts, near = rows["text"].tolist(), NearTexts(rows["text"])
    group = near.groups()
    is_new = _new(rows, previous)
    threads = np.unique(rows["group_id"].astype(str), return_inverse=True)[1]
    judged = suspected_labels(rows["id"].tolist(), texts, rows["label"].tolist(), joined(group, threads), first=is_new)
    copied = [] if regression is None else near.like(regression["text"].tolist())
    plain = rows["text"].map(normalised)
    found = rows[["id", "label"]].assign(
        new=is_new,
        characters=rows["text"].str.len(),
        language=pd.Series([language_of(text) for text in texts], dtype=object),
        near_group=group,
        copies_regression=False if regression is None else near_copies(texts, regression["text"].tolist()),
        judged=rows["id"].isin(judged.ids),
        suspected=rows["id"].isin([suspect.id for suspect in judged.suspects]),
        conflicting=rows["label"].groupby(plain).transform("nunique") > 1,
        damaged=[is_damaged(text) for text in texts],
        split=rows.get("split", "train"),
    )
    personal = pd.DataFrame([personal_data(text, regions) for text in texts], columns=list(KINDS)).notna()
    before = () if previous is None else tuple(previous["label"])
    return Signs(pd.concat([found, personal], axis=1), judged, len(copied), sum(row is not None for row in copied), before)


def _new(rows: pd.DataFrame, previous: pd.DataFrame | None) -> NDArray[np.bool_]:
    """Rows whose id, text and label were not in the previous version together."""
    if previous is None:
        return np.ones(len(rows), dtype=bool)
    known = set(zip(previous["id"], previous["text"], previous["label"], strict=True))
    return np.array([row not in known for row in zip(rows["id"], rows["text"], rows["label"], strict=True)], dtype=bool)
