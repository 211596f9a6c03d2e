"""Slices: a value for every row, told from the text where no column says it."""

import pandas as pd
import pytest

from headgate.errors import BadInput
from headgate.evaluation.slices import lengths, slice_columns
from headgate.model import language

ROWS = pd.DataFrame(
    {
        "text": ["no", "not now please", "we are in the middle of a migration", "Bitte melden Sie sich im Herbst noch einmal, danke."],
        "source": ["import", None, "correction", ""],
    }
)


def test_a_column_of_the_rows_is_taken_as_it_is_and_nothing_is_a_value_too() -> None:
    found, left_out = slice_columns(ROWS, ["source"])
    assert found == {"source": ["import", "(none)", "correction", "(none)"]}
    assert left_out == ()


def test_length_is_the_quarter_by_number_of_words_and_says_its_bounds() -> None:
    texts = ["word " * count + "end" for count in range(12)]
    assert lengths(texts) == ["1 to 3 words"] * 3 + ["4 to 6 words"] * 3 + ["7 to 9 words"] * 3 + ["10 to 12 words"] * 3
    assert lengths(["yes"] * 5) == ["1 word"] * 5


def test_language_is_told_where_sure() -> None:
    assert slice_columns(ROWS, ["language"])[0] == {"language": ["unsure", "unsure", "unsure", "de"]}


def test_language_is_left_out_and_said_where_its_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    language._model.cache_clear()
    monkeypatch.setattr(language, "find_spec", lambda _name: None)
    found, left_out = slice_columns(ROWS, ["source", "language"])
    language._model.cache_clear()
    assert list(found) == ["source"]
    assert left_out == ("language left out: its package is not installed; pip install 'headgate[language]'",)


def test_a_column_that_the_rows_lack_is_refused() -> None:
    message = r"^gates.slices: expected columns of the regression rows \(language, length, source, text\), found 'region', 'tone'$"
    with pytest.raises(BadInput, match=message):
        slice_columns(ROWS, ["source", "region", "tone"])


def test_of_many_values_the_rare_ones_are_one_slice() -> None:
    rows = pd.DataFrame({"sender": [f"s{i:02}" for i in range(30) for _ in range(30 - i)]})
    found, _ = slice_columns(rows, ["sender"])
    assert len(set(found["sender"])) == 20
    assert found["sender"].count("(others)") == sum(30 - i for i in range(19, 30))
