"""`headgate data` says what a person needs to know, and asks before it changes anything."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from made_up_history import row, table_with_history
from made_up_release import RELEASE
from typer.testing import CliRunner

from headgate import cli
from headgate.data.ingest import ingest
from headgate.data.landing import land
from headgate.data.quarantine import with_ids
from headgate.data.table import DatasetTable
from headgate.lake import Lake, open_lake
from headgate.release.record import save_release
from headgate.settings import load_settings

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC, digest [0-9a-f]{12}")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake with one model, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADGATE_TOML", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("headgate.toml").write_text('lake = "lake"\n[models.replies]\ndataset = "replies"\nlabels = ["x", "y", "z"]\n')
    load_settings.cache_clear()
    yield open_lake("lake")
    load_settings.cache_clear()


def run(*arguments: object, answer: str | None = None, status: int = 0) -> str:
    found = CliRunner().invoke(cli.app, ["data", *map(str, arguments)], input=answer, catch_exceptions=False)
    assert found.exit_code == status, found.output
    return found.output


def fault_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    monkeypatch.setattr(sys, "argv", ["headgate", "data", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    return capsys.readouterr().err


def test_list_tells_every_version_with_rows_by_label_and_when_it_was_made(home: Lake) -> None:
    assert run("list") == "replies (model replies): no version yet: `headgate ingest FILES` makes one\n"
    assert run("list", "replies") == "replies: no version yet: `headgate ingest FILES` makes one\n"
    table_with_history(home)
    assert run("list") == "replies (model replies): version 4, 4 rows\n"
    assert TIME.sub("TIME", run("list", "replies")).splitlines() == [
        "version 0: 2 rows, made TIME",
        "    x 2",
        "version 1: 3 rows, made TIME",
        "    x 3",
        "version 2: 3 rows, made TIME",
        "    x 2, y 1",
        "version 4: 4 rows, made TIME",
        "    x 1, y 2, z 1",
    ]


def test_diff_tells_counts_by_label_with_examples_in_one_printable_line(home: Lake) -> None:
    table = table_with_history(home)
    table.merge([row("e", "z", text="a\x1b[31m long\n" + "text " * 40), row("f", "z"), row("g", "z")])
    assert run("diff", 0, 5, "--examples", 2).splitlines() == [
        "replies, version 0 -> 5: 5 added, 2 corrected, 0 removed",
        "added           1  x",
        "    c: text c",
        "added           1  y",
        "    d: text d",
        "added           3  z",
        "    e: a [31m long text text text text text text text text text text text te...",
        "    f: text f",
        "corrected       1  y",
        "    a (was x): text a",
        "corrected       1  z",
        "    b (was x): text b",
    ]
    assert run("diff", 1, 0, "--examples", 0).splitlines() == [
        "replies, version 1 -> 0: 0 added, 0 corrected, 1 removed",
        "removed         1  x",
    ]


def test_show_tells_a_row_and_its_history(home: Lake) -> None:
    table_with_history(home)
    now = "version 2: y, annotation by ada, 2026-01-02 00:00 UTC\n    text a\n"
    assert run("show", "a") == now
    assert run("show", "a", "--history") == "version 0: x, annotation by ada, 2026-01-01 00:00 UTC\n    text a\n" + now


def test_a_row_without_a_time_is_shown_without_one(home: Lake) -> None:
    DatasetTable(home, "replies").merge([row("a", annotated_at=None)])
    assert run("show", "a", "--history") == "version 0: x, annotation by ada, no time given\n    text a\n"


def test_restore_asks_and_makes_a_new_version(home: Lake) -> None:
    table = table_with_history(home)
    said = "replies, version 4 -> content of version 1: 0 rows added, 2 rows corrected, 1 rows removed\n"
    assert run("restore", 1, answer="n\n", status=1).startswith(said + "make this a new version? [y/N]: n\nAborted")
    assert [one.version for one in table.versions()] == [0, 1, 2, 4]
    assert run("restore", 1, "--yes") == f"{said}version 5 holds what version 1 holds: 3 rows, digest {table.versions()[1].digest}\n"
    assert "restored from version 1" in run("list", "replies").splitlines()[-2]
    assert run("show", "d").splitlines() == ["version 5: removed"]
    assert run("restore", 1).splitlines()[1] == "nothing to do: version 5 holds that content already"


def test_compact_tells_how_many_files_it_rewrote(home: Lake) -> None:
    table = DatasetTable(home, "replies")
    for name in "abc":
        table.merge([row(name)])
    assert run("compact") == "replies: rewrote 3 small files\n"
    assert run("compact") == "replies: nothing to rewrite, or writers were busy: run it again later\n"
    assert [one.version for one in table.versions()] == [0, 1, 2]


def test_vacuum_tells_what_it_would_do_and_does_it_with_apply(home: Lake, tmp_path: Path) -> None:
    table = DatasetTable(home, "replies")
    for day, label in enumerate("xyzx"):
        table.merge([row("a", label, day=day)])
    release = save_release(home, RELEASE.model_copy(update={"data_version": table.versions()[1]}))
    registry = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(registry, registry)
    client.create_registered_model("replies")
    client.create_model_version("replies", "runs:/none/bundle", tags={"headgate.data_version": "replies@0"})
    told = run("vacuum", "--registry", registry, "--keep-days", 0).splitlines()
    assert told[:4] == [
        f"version 0: kept: model replies version 1 in {registry} names it",
        f"version 1: kept: release {release[:12]} of model replies names it",
        "version 2: given up",
        "version 3: kept: it is the newest",
    ]
    assert re.fullmatch(r"would remove 1 files, [\d,]+ bytes; add --apply to do it", told[4])
    assert len(table.load(2)) == 1
    assert run("vacuum", "--registry", registry, "--keep-days", 0, "--apply").splitlines()[4].startswith("removing 1 files, ")
    assert [len(table.load(version)) for version in (0, 1, 3)] == [1, 1, 1]
    assert run("vacuum", "--registry", registry, "--keep-days", 0).splitlines()[4] == "nothing to remove"


def test_vacuum_refuses_versions_that_are_held_and_to_work_without_knowing_the_registry(
    home: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    release = save_release(home, RELEASE.model_copy(update={"data_version": table_with_history(home).versions()[0]}))
    assert fault_of(monkeypatch, capsys, "vacuum", "--version", 0, "--keep-days", 0, "--no-registry", "--apply") == (
        "headgate: data set replies: expected versions that nothing needs, found\n"
        f"  version 0: release {release[:12]} of model replies names it\nnothing was removed\n"
    )
    assert fault_of(monkeypatch, capsys, "vacuum", "--apply") == (
        "headgate: expected MLflow's address, since registered models hold versions too, found none; "
        "give --registry http://HOST:PORT (`headgate status` tells the local one), or --no-registry if there is none\n"
    )


def test_the_quarantine_of_an_unknown_data_set_is_refused_with_the_known_ones(
    home: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("quarantine", "list", "replies") == ""
    told = "headgate: no model of headgate.toml reads the data set 'nobody'; known data sets: replies\n"
    assert fault_of(monkeypatch, capsys, "quarantine", "list", "nobody") == told
    assert fault_of(monkeypatch, capsys, "quarantine", "nobody") == told


def test_refused_rows_are_listed_fixed_and_released(home: Lake, tmp_path: Path) -> None:
    lines = [{"id": "a", "text": "A", "label": "x"}, {"id": "b", "text": "B", "label": "new"}, {"id": "c", "text": "C", "label": "late"}]
    (tmp_path / "day0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    land(home, "replies", tmp_path / "day0.jsonl")
    ingest(home, "replies", ["x", "y", "z"])
    first, second = with_ids(home, "replies")["id"]
    reason = "label: unknown {!r}; expected one of x, y, z"
    listed = [f"{first}  day0.jsonl, line 2: {reason.format('new')}", f"{second}  day0.jsonl, line 3: {reason.format('late')}"]
    assert run("quarantine", "list", "replies").splitlines() == listed
    assert run("quarantine", "replies").splitlines() == listed
    assert run("quarantine", "fix", first, "--label", "y", "--as", "ada", "--merge").splitlines() == [
        f"{first} left the quarantine: row b landed with the label y",
        "replies: version 1, 2 rows (1 added, 0 corrected, 0 quarantined)",
    ]
    assert run("quarantine", "replies").splitlines() == listed[1:]
    Path("headgate.toml").write_text(Path("headgate.toml").read_text().replace('"z"', '"z", "late"'))
    load_settings.cache_clear()
    assert run("quarantine", "release", second).splitlines() == [
        f"{second} left the quarantine: row c landed with the label late",
        "the next ingest merges it",
    ]
    assert run("quarantine", "replies") == ""
    assert ingest(home, "replies", ["x", "y", "z", "late"]).added == 1
    assert run("show", "b").splitlines()[0].startswith("version 1: y, correction by ada, ")


def test_faults_say_what_was_expected(home: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fault_of(monkeypatch, capsys, "restore", 3) == "headgate: data set replies: no rows yet; ingest a file first\n"
    assert fault_of(monkeypatch, capsys, "quarantine", "fix", "q-1", "--label", "x") == (
        "headgate: expected a refused row 'q-1', found none in replies; `headgate data quarantine list DATASET` shows ids\n"
    )
    with Path("headgate.toml").open("a") as file:
        file.write('[models.tickets]\ndataset = "tickets"\n')
    load_settings.cache_clear()
    assert fault_of(monkeypatch, capsys, "diff", 0, 1) == (
        "headgate: expected --model, since headgate.toml has 2: replies, tickets; give one of them\n"
    )
    table_with_history(home)
    assert fault_of(monkeypatch, capsys, "diff", 0, 3, "--model", "replies") == (
        "headgate: data set replies: no version 3; versions: 0, 1, 2, 4\n"
    )


COMMANDS = ["list", "diff", "show", "restore", "vacuum", "quarantine list", "quarantine fix", "quarantine release"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_an_example(command: str) -> None:
    assert f"headgate data {command}" in run(*command.split(), "--help").split("Options:")[0].split("\n", 2)[2]
