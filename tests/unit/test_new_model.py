import tomllib

import pytest

from headgate.data.parsing import read_rows
from headgate.errors import BadInput
from headgate.settings import load_settings
from stack.new_model import add_model


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty checkout: a headgate.toml without models."""
    (tmp_path / "headgate.toml").write_text('lake = "lake"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADGATE_TOML", raising=False)
    load_settings.cache_clear()
    yield tmp_path
    load_settings.cache_clear()


def _csv(folder, lines):
    file = folder / "tickets.csv"
    file.write_text("body;queue\n" + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def test_a_table_of_texts_and_labels_becomes_a_model_with_two_disjoint_parts(checkout):
    said = add_model("tickets", _csv(checkout, [f"text number {n};{'ab'[n % 2]}" for n in range(200)]), "body", "queue", 0.2)
    annotations = read_rows(checkout / "datasets/tickets/annotations.jsonl").rows
    regression = read_rows(checkout / "datasets/tickets/regression.jsonl").rows
    assert len(annotations) + len(regression) == 200
    assert 20 <= len(regression) <= 60
    assert {row.text for row in annotations}.isdisjoint({row.text for row in regression})
    assert said[-1] == "next: headgate run --model tickets"
    table = tomllib.loads((checkout / "headgate.toml").read_text())["models"]["tickets"]
    assert table["annotations"] == ["datasets/tickets/annotations.jsonl"]


def test_a_text_with_two_labels_is_kept_once_and_reported(checkout):
    rows = [f"text number {n};a" for n in range(50)] + ["Text  Number 7;b", "text number 8;a"]
    said = add_model("tickets", _csv(checkout, rows), "body", "queue", 0.2)
    assert [line for line in said if line.startswith("left out")] == [
        f"left out: {_id('Text  Number 7')}: the text of {_id('text number 7')} again, labelled 'b' instead of 'a'",
        "left out: 1 row(s) repeat the text and label of another row",
    ]


def _id(text):
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_missing_column_is_named_with_what_there_is(checkout):
    with pytest.raises(
        BadInput, match=r"tickets.csv: expected the columns text, label, found body, queue; name yours with --text and --label$"
    ):
        add_model("tickets", _csv(checkout, ["a;b"]), "text", "label", 0.2)


def test_a_name_that_is_taken_changes_nothing(checkout):
    file = _csv(checkout, [f"text number {n};{'ab'[n % 2]}" for n in range(50)])
    add_model("tickets", file, "body", "queue", 0.2)
    before = (checkout / "headgate.toml").read_text()
    load_settings.cache_clear()
    with pytest.raises(BadInput, match=r"^\[models.tickets\] is already in headgate.toml; choose another name$"):
        add_model("tickets", file, "body", "queue", 0.2)
    assert (checkout / "headgate.toml").read_text() == before


@pytest.mark.parametrize("name", ["Tick_ets", "models.replies", "../x", ""])
def test_a_name_that_would_break_the_settings_changes_nothing(checkout, name):
    before = (checkout / "headgate.toml").read_text()
    with pytest.raises(BadInput, match=r"^expected a name of lower-case letters, digits and dashes such as tickets-2, found '"):
        add_model(name, _csv(checkout, [f"text number {n};{'ab'[n % 2]}" for n in range(50)]), "body", "queue", 0.2)
    assert (checkout / "headgate.toml").read_text() == before
