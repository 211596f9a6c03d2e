"""`headgate wrap` takes what a person asks for, and says what would not act."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headgate.cli import app
from headgate.errors import BadInput, BadSettings
from headgate.settings import load_settings

MODULE = """
class NoLists:
    def pre_score(self, text, headers):
        return None

    def post_score(self, text, label, score):
        return None
"""
TOML = """
[models.mails]
dataset = "mails"
annotations = ["a.jsonl"]
regression_rows = "r.jsonl"
labels = ["positive", "unsubscribe", "objection/budget"]
[models.mails.filters]
min_confidence = 0.7
[models.mails.bundle]
private_packages = ["{wheel}"]
"""
CUSTOM = """
[[models.mails.filters.custom]]
class = "wrap_filters:NoLists"
"""


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    file = tmp_path / "wrap_filters-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("wrap_filters.py", MODULE)
        archive.writestr("wrap_filters-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: wrap-filters\nVersion: 1.0\n")
    return file


@pytest.fixture
def toml(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    file = tmp_path / "headgate.toml"
    file.write_text(TOML.format(wheel=wheel))
    monkeypatch.setenv("HEADGATE_TOML", str(file))
    load_settings.cache_clear()
    yield file
    load_settings.cache_clear()


def wrapped(classifier: Path, out: Path, *options: object) -> str:
    given = ["wrap", "--classifier", str(classifier), "--out", str(out), *map(str, options)]
    found = CliRunner().invoke(app, given, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def filters_of(bundle: Path) -> dict[str, object]:
    return dict(json.loads((bundle / "filters.json").read_text()))


def test_filters_and_packages_of_a_named_model_go_into_the_bundle(tiny_classifier: Path, toml: Path, wheel: Path, tmp_path: Path) -> None:
    toml.write_text(toml.read_text() + CUSTOM)
    said = wrapped(tiny_classifier, tmp_path / "b", "--model", "mails")
    assert "is used by no filter" not in said
    found = filters_of(tmp_path / "b")
    assert (found["min_confidence"], found["custom"]) == (0.7, [{"class": "wrap_filters:NoLists", "options": {}}])
    assert (tmp_path / "b" / "wheels" / wheel.name).is_file()


def test_a_package_that_no_filter_uses_is_told(tiny_classifier: Path, toml: Path, wheel: Path, tmp_path: Path) -> None:
    said = wrapped(tiny_classifier, tmp_path / "b", "--private-package", wheel)
    assert (
        "private package wrap-filters is used by no filter; "
        "name its class under [[models.NAME.filters.custom]] and wrap with --model NAME\n"
    ) in said
    assert filters_of(tmp_path / "b")["custom"] == []


def test_a_model_that_headgate_toml_has_not_is_told(tiny_classifier: Path, toml: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"no \[models\.other\] in .*; known models: mails"):
        wrapped(tiny_classifier, tmp_path / "b", "--model", "other")


def test_filters_that_the_classifier_was_not_trained_with_are_told(tiny_classifier: Path, toml: Path, tmp_path: Path) -> None:
    toml.write_text(toml.read_text().replace("min_confidence", "current_reply = false\nmin_confidence"))
    said = wrapped(tiny_classifier, tmp_path / "b", "--model", "mails")
    assert "current_reply is false in [models.mails.filters], and was not so in the training: " in said


def test_rows_of_other_labels_are_refused(tiny_classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a card was lost", "label": "card"}\n{"text": "stop", "label": "unsubscribe"}\n')
    with pytest.raises(BadInput) as refused:
        wrapped(tiny_classifier, tmp_path / "b", "--rows", tmp_path / "rows.jsonl")
    assert str(refused.value) == (
        "rows: expected the classifier's labels (objection/budget, positive, unsubscribe), found also card; "
        "give the rows that it was trained on, without those of other labels"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"custom": [{"options": {}}]}', "expected filters as in headgate.toml, found custom.0.class: Field required; "),
        ('{"languages": "en", "x": 1}', "found languages: Input should be a valid tuple; x: Extra inputs are not permitted; "),
        ("{", "expected JSON, found none that can be read (Expecting property name"),
    ],
)
def test_broken_filters_of_a_classifier_are_told_with_their_file(tiny_classifier: Path, tmp_path: Path, content: str, told: str) -> None:
    classifier = Path(shutil.copytree(tiny_classifier, tmp_path / "c"))
    (classifier / "filters.json").write_text(content)
    with pytest.raises(BadInput) as refused:
        wrapped(classifier, tmp_path / "b")
    assert str(refused.value).startswith(f"{classifier / 'filters.json'}: expected ")
    assert told in str(refused.value)
    assert str(refused.value).endswith("; mend the file or train again")
