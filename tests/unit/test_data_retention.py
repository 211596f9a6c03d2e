"""A vacuum frees what only unnamed old versions need, and nothing that anybody could ask for."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from made_up_history import contents, row, table_with_history
from made_up_release import RELEASE

from headgate.data.history import difference, row_history, versions_made
from headgate.data.retention import Commit, plan_vacuum, read_log, removable, remove
from headgate.data.table import DatasetTable
from headgate.errors import BadInput, NotFound, Refused, Unavailable
from headgate.lake import Lake
from headgate.release.holders import held_by_models, held_by_releases, together
from headgate.release.record import save_release

LATER = datetime.now(UTC) + timedelta(days=100)


def raw(lake: Lake) -> DeltaTable:
    return DeltaTable(lake.join("datasets/replies"), storage_options=lake.storage_options())


def test_files_that_only_given_up_versions_need_are_removed_and_everything_else_stays(lake: Lake) -> None:
    table = table_with_history(lake)
    kept = {version: contents(table, version) for version in (2, 4)}
    told = (versions_made(table), difference(table, 0, 4), [str(one) for one in row_history(table, "a")])
    plan = plan_vacuum(table, {2: ["release r names it"]}, LATER, keep_days=30)
    needed = ("every file of it is needed otherwise",)
    assert [fate.kept_because for fate in plan.fates] == [needed, needed, ("release r names it",), ("it is the newest",)]
    assert len(plan.files) == 1
    before = set(lake.keys("datasets/replies"))
    assert remove(lake, plan) == len(plan.files)
    assert before - set(lake.keys("datasets/replies")) == {f"datasets/replies/{name}" for name in plan.files}
    assert {version: contents(table, version) for version in (2, 4)} == kept
    assert (versions_made(table), difference(table, 0, 4), [str(one) for one in row_history(table, "a")]) == told
    assert table.merge([row("e")]).added == 1


def give_up_all(lake: Lake) -> DatasetTable:
    """A table of which versions 1 and 2 lost the file that holds a after its first correction."""
    table = DatasetTable(lake, "replies")
    for day, label in enumerate("xyz"):
        table.merge([row("a", label, day=day)])
    table.merge([row("a", "w", day=9)])
    plan = plan_vacuum(table, {}, LATER, keep_days=30)
    assert plan.given_up == [1, 2]
    assert len(plan.files) == 2
    assert remove(lake, plan) == 2
    return table


def test_a_version_that_was_given_up_says_so_and_its_history_stays(lake: Lake) -> None:
    table = give_up_all(lake)
    newest = table.latest()
    assert newest is not None
    message = (
        r"^data set replies: version 1 cannot be loaded any more, `headgate data vacuum` removed its files; "
        r"what changed in it is still told by `headgate data diff` and `headgate data show ID --history`$"
    )
    with pytest.raises(NotFound, match=message):
        table.load(1)
    with pytest.raises(NotFound, match=message):
        table.restore(1, newest)
    assert [one["label"] for one in row_history(table, "a")] == ["x", "y", "z", "w"]
    assert [one.kind for one in difference(table, 1, 2)] == ["corrected"]
    again = plan_vacuum(table, {}, LATER, keep_days=30)
    assert (again.files, again.given_up) == ({}, [1, 2])
    assert remove(lake, again) == 0


def test_a_vacuum_that_is_killed_half_way_is_finished_by_the_next(folder_lake: Lake) -> None:
    table = DatasetTable(folder_lake, "replies")
    for day, label in enumerate("xyzw"):
        table.merge([row("a", label, day=day)])
    plan = plan_vacuum(table, {}, LATER, keep_days=30)
    first, second = plan.files
    (Path(folder_lake.join("datasets/replies")) / first).unlink()
    assert list(plan_vacuum(table, {}, LATER, keep_days=30).files) == [second]
    assert remove(folder_lake, plan) == 2
    assert plan_vacuum(table, {}, LATER, keep_days=30).files == {}


def test_a_version_that_a_release_names_is_refused_with_the_name_of_the_release(folder_lake: Lake) -> None:
    table = table_with_history(folder_lake)
    release = save_release(folder_lake, RELEASE.model_copy(update={"data_version": table.versions()[1]}))
    other = RELEASE.data_version.model_copy(update={"dataset": "tickets"})
    save_release(folder_lake, RELEASE.model_copy(update={"data_version": other}))
    held = held_by_releases(folder_lake, "replies")
    assert held == {1: [f"release {release[:12]} of model replies names it"]}
    before = folder_lake.keys("datasets/replies")
    with pytest.raises(Refused) as refused:
        plan_vacuum(table, held, LATER, keep_days=30, only=[0, 1, 4])
    assert str(refused.value) == (
        "data set replies: expected versions that nothing needs, found\n"
        f"  version 1: release {release[:12]} of model replies names it\n"
        "  version 4: it is the newest\n"
        "nothing was removed"
    )
    assert folder_lake.keys("datasets/replies") == before
    plan = plan_vacuum(table, held, LATER, keep_days=30, only=[2])
    assert plan.given_up == [2]
    remove(folder_lake, plan)
    assert [len(table.load(version)) for version in (0, 1, 4)] == [2, 3, 4]
    with pytest.raises(NotFound, match="version 2 cannot be loaded any more"):
        table.load(2)


def test_a_version_that_was_the_newest_lately_is_kept_since_a_training_may_read_it(folder_lake: Lake) -> None:
    table = table_with_history(folder_lake)
    plan = plan_vacuum(table, {}, datetime.now(UTC), keep_days=30)
    assert (plan.given_up, plan.files) == ([], {})
    assert plan.fates[0].kept_because == ("it was the newest until 0.0 days ago; 30 days are kept",)


def test_a_missing_version_is_told_with_those_that_exist(folder_lake: Lake) -> None:
    with pytest.raises(NotFound, match=r"^data set replies: expected a version, found the versions: none$"):
        plan_vacuum(DatasetTable(folder_lake, "replies"), {}, LATER, 30)
    with pytest.raises(NotFound, match=r"^data set replies: expected version 3, found the versions: 0, 1, 2, 4$"):
        plan_vacuum(table_with_history(folder_lake), {}, LATER, 30, only=[3])


def test_a_log_with_a_gap_is_left_alone(folder_lake: Lake) -> None:
    table = table_with_history(folder_lake)
    (Path(folder_lake.join("datasets/replies/_delta_log")) / f"{1:020}.json").unlink()
    with pytest.raises(Refused, match=r"expected every commit of the log from 0 on, found some missing; nothing is removed from it$"):
        read_log(folder_lake, table.key)


def test_the_vacuum_of_delta_itself_leaves_every_version_and_the_log(lake: Lake) -> None:
    table = table_with_history(lake)
    before = {version.version: contents(table, version.version) for version in table.versions()}
    delta = raw(lake)
    with pytest.raises(DeltaError, match="retention period"):
        delta.vacuum(retention_hours=0, dry_run=False)
    assert delta.vacuum(dry_run=False) == []
    delta.create_checkpoint()
    delta.cleanup_metadata()
    assert {version.version: contents(table, version.version) for version in table.versions()} == before


def test_files_that_the_change_feed_reads_or_a_kept_version_has_are_never_removable() -> None:
    day = [datetime(2026, 1, number, tzinfo=UTC) for number in range(1, 6)]
    commits = [
        Commit(0, day[0], {"insert": 1}, frozenset(), frozenset({"insert"})),
        Commit(1, day[1], {"one": 10}, frozenset({"insert"}), frozenset()),
        Commit(2, day[2], {"two": 20}, frozenset({"one"}), frozenset()),
        Commit(3, day[3], {"three": 30}, frozenset({"two"}), frozenset()),
    ]
    assert removable(commits, {3}, day[4]) == {"one": 10, "two": 20}
    assert removable(commits, {1, 3}, day[4]) == {"two": 20}
    assert removable(commits, (), day[4]) == {"one": 10, "two": 20}
    assert removable(commits, (), day[2]) == {"one": 10}


@pytest.fixture
def registry(tmp_path: Path) -> str:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("replies")
    for tags in ({"headgate.data_version": "replies@2"}, {"headgate.data_version": "tickets@1"}, {}):
        client.create_model_version("replies", "runs:/none/bundle", tags=tags)
    return uri


def test_registered_models_hold_their_versions_too(registry: str) -> None:
    held = held_by_models(registry, "replies")
    assert held == {2: [f"model replies version 1 in {registry} names it"]}
    assert together(held, {2: ["release r"], 3: ["release s"]}) == {2: [*held[2], "release r"], 3: ["release s"]}


def test_a_registry_that_does_not_answer_stops_the_vacuum(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any, **__: Any) -> None:
        raise mlflow.exceptions.MlflowException("connection refused")

    monkeypatch.setattr(mlflow, "MlflowClient", lambda *_: SimpleNamespace(search_model_versions=silent))
    message = r"^expected MLflow's registry at http://x, which answered: connection refused; nothing was removed$"
    with pytest.raises(Unavailable, match=message):
        held_by_models("http://x", "replies")


def test_a_release_that_was_changed_stops_the_vacuum(folder_lake: Lake) -> None:
    release = save_release(folder_lake, RELEASE)
    file = Path(folder_lake.join(f"releases/{release}/release.json"))
    file.write_bytes(file.read_bytes().replace(b'"rows":700', b'"rows":701'))
    with pytest.raises(BadInput, match="it was changed"):
        held_by_releases(folder_lake, "replies")
