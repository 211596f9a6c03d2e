"""Which slice each row belongs to: language, length, source, or any other column of the regression rows."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from headgate.errors import BadInput, Terminal

VALUES_SHOWN = 20  # of one column; what is rarer is one slice together
OTHERS = "(others)"
NONE = "(none)"


def slice_columns(rows: pd.DataFrame, names: Sequence[str]) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """For each name one value a row, as text; and what was left out, each with the reason.

    `length` and `language` are told from the text where the rows have no such column. BadInput names columns that the rows lack.
    """
    unknown = [name for name in names if name not in rows and name not in ("length", "language")]
    if unknown:
        known = ", ".join(sorted({*rows.columns.astype(str), "length", "language"}))
        raise BadInput(f"gates.slices: expected columns of the regression rows ({known}), found {', '.join(map(repr, unknown))}")
    found: dict[str, list[str]] = {}
    left_out: list[str] = []
    for name in names:
        try:
            found[name] = _values(rows, name)
        except Terminal:
            left_out.append(f"{name} left out: its package is not installed; pip install 'headgate[language]'")
    return found, tuple(left_out)


def lengths(texts: Sequence[str]) -> list[str]:
    """The quarter of the texts that each belongs to by its number of words, such as '9 to 17 words'; equal texts stay together."""
    words = np.array([text.count(" ") + text.count("\n") + 1 for text in texts])
    bounds = np.unique(np.quantile(words, [0.25, 0.5, 0.75], method="lower")).astype(int)
    quarter = np.searchsorted(bounds, words)
    names = [_between(words[quarter == i]) for i in range(len(bounds) + 1)]
    return [names[i] for i in quarter]


def languages(texts: Sequence[str]) -> list[str]:
    """The language of each text as ISO 639-1, or 'unsure'; Terminal where the model of languages is not installed."""
    from headgate.model.language import language_of

    return [language_of(text) or "unsure" for text in texts]


def _values(rows: pd.DataFrame, name: str) -> list[str]:
    if name not in rows:
        told = lengths if name == "length" else languages
        return _few(pd.Series(told(rows["text"].tolist())))
    return _few(rows[name].map(str, na_action="ignore").fillna(NONE).replace("", NONE))


def _few(values: "pd.Series[str]") -> list[str]:
    """The commonest values as they are, all rarer ones as one."""
    counts = values.value_counts()
    if len(counts) <= VALUES_SHOWN:
        return [str(value) for value in values]
    common = set(counts.sort_index().sort_values(ascending=False, kind="stable").index[: VALUES_SHOWN - 1])
    return [str(value) if value in common else OTHERS for value in values]


def _between(words: "np.ndarray") -> str:
    if not len(words):
        return ""
    low, high = int(words.min()), int(words.max())
    return f"{low} to {high} words" if low < high else f"{low} word{'s' if low > 1 else ''}"
