"""A model with a champion and a policy, in the working directory, for tests of what sets off its next training."""

from datetime import UTC, datetime
from pathlib import Path

from made_up_history import row
from made_up_release import RELEASE

from headgate.data.frozen import freeze
from headgate.data.table import DatasetTable
from headgate.data.version import DataVersion
from headgate.lake import Lake, open_lake
from headgate.release.champion import crown
from headgate.release.record import save_release
from headgate.settings import load_settings


def policy(retrain: str = "", models: str = "") -> None:
    """headgate.toml of the model: 4 new rows of 2 labels set off a training, unless `retrain` says otherwise."""
    given = f"min_new_rows = 4\nmin_new_rows_per_label = 1\n{retrain}"
    Path("headgate.toml").write_text(
        f'home = "home"\nlake = "lake"\n[models.replies]\ndataset = "replies"\n[models.replies.retrain]\n{given}\n{models}\n'
    )
    load_settings.cache_clear()


def lake_with_champion() -> Lake:
    """Data version 0 has two rows, and the live release is made from it."""
    policy()
    lake = open_lake("lake")
    freeze(lake, "replies-regression", [row("r0")])
    version = DatasetTable(lake, "replies").merge([row("a"), row("b", "y")]).version
    release = RELEASE.model_copy(update={"data_version": version})
    save_release(lake, release)
    crown(lake, "replies", "production", release.id, None, datetime.now(UTC))
    return lake


def annotate(lake: Lake, *ids: str) -> DataVersion:
    """One more version with these new rows, labelled x and y in turn."""
    return DatasetTable(lake, "replies").merge([row(name, "xy"[place % 2]) for place, name in enumerate(ids)]).version
