"""Which version new rows are counted from: the one that production was trained on, so that nothing between slips through."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up_release import RELEASE

from headgate.lake import Lake, open_lake
from headgate.release.candidate import Candidate
from headgate.release.record import Release, save_release
from headgate.settings import load_settings
from tasks.checking import version_before


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADGATE_TOML", raising=False)
    Path("headgate.toml").write_text('lake = "lake"\n[models.replies]\ndataset = "replies"\n')
    load_settings.cache_clear()
    yield open_lake("lake")
    load_settings.cache_clear()


def at(version: int, champion: Release | None = None) -> Candidate:
    return Candidate(
        model="replies",
        key="k" * 16,
        data_version=RELEASE.data_version.model_copy(update={"version": version}),
        regression_set=RELEASE.data_version,
        commit="0" * 40,
        started_by="person:ada@example.com",
        champion=champion.id if champion else None,
    )


def live(lake: Lake, version: int) -> Release:
    release = RELEASE.model_copy(update={"data_version": RELEASE.data_version.model_copy(update={"version": version})})
    save_release(lake, release)
    return release


def test_new_rows_are_counted_from_the_champions_version(lake: Lake) -> None:
    assert version_before(at(9, live(lake, 4)), [0, 2, 4, 6, 9]) == 4


def test_without_a_champion_they_are_counted_from_the_version_just_before(lake: Lake) -> None:
    assert version_before(at(9), [0, 2, 4, 6, 9, 12]) == 6
    assert version_before(at(0), [0]) is None


@pytest.mark.parametrize("champions", [9, 12, 5])
def test_a_champion_of_this_a_later_or_an_unknown_version_is_no_version_before(lake: Lake, champions: int) -> None:
    assert version_before(at(9, live(lake, champions)), [0, 6, 9, 12]) == 6
