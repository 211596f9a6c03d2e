"""`headgate why`: a prediction that a real server made is traced to its bundle, release and approver, and made again offline."""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pytest
from made_up_release import made_up
from served import served
from typer.testing import CliRunner

from headgate import cli
from headgate.data.version import DataVersion
from headgate.lake import FolderLake, Lake
from headgate.model import flavor
from headgate.model.bundle import open_bundle
from headgate.model.runtime import Runtime
from headgate.monitoring.prediction_log import predicted_at
from headgate.monitoring.shipping import ship_once
from headgate.release.approval import Answer, archive, decide
from headgate.release.champion import crown
from headgate.release.record import Release, save_release
from headgate.serving.identifiers import PredictionIds
from headgate.settings import Approval, load_settings

TEXT = "no budget left this year"
SECRET = "Please remove me\r\nfrom the list "
AWAY = {"text": "I am away until Monday.", "headers": {"Auto-Submitted": "auto-replied"}}
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with one model, whose lake and home are empty."""
    monkeypatch.chdir(tmp_path)
    for name in ("HEADGATE_TOML", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    Path("headgate.toml").write_text('lake = "lake"\nhome = "home"\n[models.replies]\ndataset = "replies"\n')
    load_settings.cache_clear()
    yield tmp_path
    load_settings.cache_clear()


@pytest.fixture
def lake(home: Path) -> Lake:
    return FolderLake(home / "lake")


@pytest.fixture
def release(lake: Lake, bundle: Path, provenance: dict[str, Any]) -> Release:
    """An approved release of the tiny bundle, champion in production."""
    about = {"data_version": DataVersion(**provenance["data_version"]), "commit": provenance["commit"]}
    record = made_up(bundle_digest=open_bundle(bundle).digest, registered_version="3", **about)
    save_release(lake, record)
    archive(lake, decide(Answer(decision="approve", approver="grace@example.com", reason="recall is up"), record, NOW, Approval()))
    crown(lake, "replies", "production", record.id, None, NOW)
    return record


def answered(bundle: Path, log_dir: Path, release: str | None, *instances: dict[str, Any], **settings: Any) -> list[dict[str, Any]]:
    """What a server with this log answers."""
    with served(Runtime.load(bundle), log_dir=log_dir, release=release, **settings) as client:
        found: list[dict[str, Any]] = client.post("/invocations", json={"instances": list(instances)}).json()["predictions"]
        return found


def logs(home: Path, release: Release) -> Path:
    """Where the local target's server of a release logs."""
    return home / "home" / "predictions" / "replies-production" / release.id


def keep(home: Path, bundle: Path) -> Path:
    """The bundle where the local target keeps it."""
    folder = home / "home" / "bundles" / open_bundle(bundle).digest
    shutil.copytree(bundle, folder)
    return folder


def why(*arguments: str, text: str | None = None, status: int = 0) -> str:
    found = CliRunner().invoke(cli.app, ["why", *arguments], input=text, catch_exceptions=False)
    assert found.exit_code == status, found.output
    return found.stdout


def fault_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["headgate", "why", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    return capsys.readouterr().err


def test_everything_about_a_prediction_is_told_before_its_log_is_shipped(home: Path, release: Release, bundle: Path) -> None:
    kept = keep(home, bundle)
    (answer,) = answered(bundle, logs(home, release), release.id, {"text": TEXT})
    name, at = answer["prediction_id"], predicted_at(answer["prediction_id"])
    (file,) = logs(home, release).glob("*.jsonl")
    latency = json.loads(file.read_text())["latency_ms"]
    wheels = {file: digest for file, digest in open_bundle(bundle).manifest["files"].items() if file.startswith("wheels/")}
    assert why(name).splitlines() == [
        f"prediction  {name}, {at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC",
        f"answer      {answer['label']}, score {answer['score']:.4f}, scored",
        "filters     none fired",
        f"served      cohort champion, scored in {latency:.1f} ms",
        "model       replies",
        f"release     {release.id}, tests passed, started by person:ada@example.com",
        "approval    approve by grace@example.com on 2026-05-01 12:00 UTC: recall is up",
        "champion    in production since 2026-05-01 12:00 UTC",
        f"bundle      {release.bundle_digest}, verified in {kept}",
        *(f"wheel       {wheel.removeprefix('wheels/')} sha256 {digest}" for wheel, digest in sorted(wheels.items())),
        "image       none: the target runs the bundle itself",
        "commit      c0ffee",
        "data        replies@3, digest d1",
        f"found in    {file}; text kept: hash",
    ]
    assert wheels


def test_a_shipped_prediction_is_found_by_reading_parts_of_its_day_alone(
    home: Path, lake: Lake, release: Release, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = home / "elsewhere"
    (answer,) = answered(bundle, elsewhere, release.id, {"text": TEXT})
    ship_once(lake, elsewhere, keep_days=7)
    day = predicted_at(answer["prediction_id"]).date()
    old = day - timedelta(days=1)
    for number in range(3):
        lake.put_if_absent(f"predictions/replies/date={old}/predictions-x-{'0' * 26}/{number:015d}.jsonl", b"not json\n")
    read: list[str] = []
    get = FolderLake.get

    def watched(self: FolderLake, key: str) -> Any:
        read.append(key)
        return get(self, key)

    monkeypatch.setattr(FolderLake, "get", watched)
    found = json.loads(why(answer["prediction_id"], "--json"))
    (part,) = lake.keys(f"predictions/replies/date={day}")
    assert found["found_in"] == part
    assert [key for key in read if key.startswith("predictions/")] == [part]
    assert (found["release"], found["approval"]["approver"]) == (release.id, "grace@example.com")


def test_a_filter_that_fired_is_named_with_its_stage(home: Path, release: Release, bundle: Path) -> None:
    (answer,) = answered(bundle, logs(home, release), release.id, AWAY)
    assert (answer["outcome"], answer["label"]) == ("skipped", None)
    told = why(answer["prediction_id"]).splitlines()
    assert told[1:3] == ["answer      no label, no score, skipped", f"filters     pre-score filter {answer['reason']}"]


def test_a_replay_of_a_logged_text_gives_the_same_answer(home: Path, release: Release, bundle: Path) -> None:
    keep(home, bundle)
    (answer,) = answered(bundle, logs(home, release), release.id, {"text": TEXT}, log_text="full")
    told = why(answer["prediction_id"], "--replay").splitlines()[-1]
    assert told == f"replay      the same: {answer['label']}, score {answer['score']:.4f}, scored, from the logged text"


def test_a_text_that_was_only_hashed_is_asked_for_and_checked(
    home: Path, release: Release, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (answer,) = answered(bundle, logs(home, release), release.id, {"text": SECRET})
    name, given = answer["prediction_id"], ("--bundle", str(bundle), "--replay")
    assert fault_of(monkeypatch, capsys, name, *given) == (
        f"headgate: prediction {name}: expected its text in the log, found its sha256 only; give the text with --text TEXT, "
        "or --text - for stdin (servers with --log-text full log it)\n"
    )
    wanted, other = (hashlib.sha256(text.encode()).hexdigest()[:12] for text in ("Please remove me\nfrom the list", "another"))
    assert fault_of(monkeypatch, capsys, name, *given, "--text", "another") == (
        f"headgate: prediction {name} was made for a text with sha256 {wanted}, found {other}: "
        "give the text as it was sent, before any filter\n"
    )
    found = json.loads(why(name, *given, "--text", "-", "--json", text=SECRET))["replay"]
    assert (found["same"], found["label"], found["text_from"], found["checked"]) == (True, answer["label"], "given", True)
    assert found["score"] == pytest.approx(answer["score"], abs=1e-6)


def test_a_replay_that_answers_something_else_says_what_and_fails(home: Path, release: Release, bundle: Path) -> None:
    (answer,) = answered(bundle, logs(home, release), release.id, {"text": TEXT}, log_text="full")
    (file,) = logs(home, release).glob("*.jsonl")
    line = json.loads(file.read_text())
    file.write_text(json.dumps(line | {"label": "positive", "score": line["score"] - 0.01}, separators=(",", ":")) + "\n")
    told = why(answer["prediction_id"], "--replay", "--bundle", str(bundle), status=1).splitlines()
    assert told[-3].startswith(f"replay      NOT the same: {answer['label']}, ")
    assert told[-2:] == [
        f"differs     label: logged 'positive', now {answer['label']!r}",
        f"differs     score: logged {line['score'] - 0.01!r}, now {line['score']!r}",
    ]


def test_machine_mail_is_replayed_with_its_headers(home: Path, release: Release, bundle: Path) -> None:
    (answer,) = answered(bundle, logs(home, release), release.id, AWAY, log_text="full")
    given = (answer["prediction_id"], "--replay", "--bundle", str(bundle))
    assert why(*given, status=1).splitlines()[-1] == (
        "differs     headers are not logged and decide what is machine mail: give the message's with --header 'Name: value'"
    )
    told = why(*given, "--header", "Auto-Submitted: auto-replied").splitlines()[-1]
    assert told == "replay      the same: no label, no score, skipped, from the logged text"


def test_a_server_that_was_started_by_hand_is_traced_as_far_as_is_known(home: Path, release: Release, bundle: Path) -> None:
    (answer,) = answered(bundle, home / "log", None, {"text": TEXT})
    found = json.loads(why(answer["prediction_id"], "--log-dir", "log", "--bundle", str(bundle), "--json"))
    assert (found["release"], found["approval"], found["commit"]) == (None, None, "c0ffee")
    assert found["data_version"] == {"dataset": "replies", "version": 3, "digest": "d1", "rows": 12}
    assert found["unknown"] == [
        f"release: expected the record of a release in {home / 'lake' / 'releases'}, found none: the server was told no release; "
        f"the same bundle is that of {release.id[:12]}"
    ]


def test_records_that_contradict_one_another_are_a_fault(home: Path, lake: Lake, release: Release, bundle: Path) -> None:
    other = release.model_copy(update={"commit": "badc0de"})
    save_release(lake, other)
    (answer,) = answered(bundle, logs(home, other), other.id, {"text": TEXT})
    told = why(answer["prediction_id"], "--bundle", str(bundle), status=1).splitlines()
    assert told[-1] == "FAULT       commit: the release names badc0de, the bundle c0ffee"


def test_an_unknown_prediction_is_told_with_what_was_looked_through(
    home: Path, lake: Lake, release: Release, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(bundle, logs(home, release), release.id, {"text": TEXT})
    ship_once(lake, logs(home, release), keep_days=7)
    name = PredictionIds(release.bundle_digest).fresh().decode()
    at = predicted_at(name)
    assert fault_of(monkeypatch, capsys, name) == (
        f"headgate: prediction {name} is in no log. By its id it was made on {at:%Y-%m-%d %H:%M:%S} UTC by bundle {name[:8]}, "
        f"that of release {release.id[:12]} of replies. "
        f"Looked through 1 file(s) of that day in 1 log folder(s) here ({home / 'home' / 'predictions'}), "
        f"and in {home / 'lake' / 'predictions'} for {at:%Y-%m-%d}: 1 part(s) of replies. "
        "If it was answered on another machine, run `headgate ship-log --log-dir DIR --to LAKE --once` there; for a server started by hand "
        "name its folder with --log-dir DIR, for a model that headgate.toml does not have --model NAME. "
        "A server without --log-dir keeps no log.\n"
    )


def test_what_is_no_id_and_options_without_a_replay_are_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fault_of(monkeypatch, capsys, "42") == (
        "headgate: expected a prediction id, such as 3f9a1c22-01J0ZQ4Y8V3M7R5T2K9WBDXEHF, found '42'; "
        "it is the field prediction_id of an answer\n"
    )
    assert fault_of(monkeypatch, capsys, "42", "--header", "no colon", "--text", "a") == (
        "headgate: --header: expected 'Name: value', found 'no colon'; --text and --header are for a replay: add --replay\n"
    )


def test_the_wrong_bundle_is_refused(
    home: Path, release: Release, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (answer,) = answered(bundle, logs(home, release), release.id, {"text": TEXT})
    name = answer["prediction_id"]
    foreign = name.replace(name[:8], "0123abcd", 1)
    (file,) = logs(home, release).glob("*.jsonl")
    file.write_text(file.read_text().replace(name, foreign))
    assert fault_of(monkeypatch, capsys, foreign, "--bundle", str(bundle)) == (
        f"headgate: prediction {foreign} was made by bundle 0123abcd, found bundle {name[:8]} in {bundle}\n"
    )
    assert "nothing can be replayed without the bundle." in fault_of(monkeypatch, capsys, foreign, "--replay")


def test_a_bundle_that_is_not_here_is_fetched_from_mlflow(home: Path, lake: Lake, release: Release, bundle: Path) -> None:
    before = mlflow.get_tracking_uri()
    registry = f"sqlite:///{home / 'mlflow.db'}"
    mlflow.set_tracking_uri(registry)
    try:
        mlflow.set_experiment(experiment_id=mlflow.create_experiment("replies", artifact_location=(home / "artifacts").as_uri()))
        with mlflow.start_run():
            flavor.log_model(bundle, name="bundle", registered_model_name="replies")
        first = release.model_copy(update={"registered_version": "1"})
        save_release(lake, first)
        (answer,) = answered(bundle, logs(home, first), first.id, {"text": TEXT}, log_text="full")
        asked = (answer["prediction_id"], "--replay", "--registry", registry)
        assert why(*asked).splitlines()[-1].startswith("replay      the same: ")
        assert open_bundle(home / "home" / "bundles" / release.bundle_digest).digest == release.bundle_digest
    finally:
        mlflow.set_tracking_uri(before)
