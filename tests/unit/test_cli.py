"""The commands do the whole way from a file to a report, and tell a fault in one message."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from headgate import cli
from headgate.settings import Train

ROWS = [
    ("yes please, call me thursday", "positive"),
    ("stop, remove me from the list", "unsubscribe"),
    ("the price is too high", "objection/budget"),
]


def write_rows(file: Path, count: int, quoted: str = "") -> Path:
    rows = [{"text": f"{text} {'!' * (i // 3)}{quoted}", "label": label} for i, (text, label) in enumerate(ROWS * count)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def run(*arguments: object) -> str:
    found = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def fault_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    monkeypatch.setattr(sys, "argv", ["headgate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write_rows(folder / "train.jsonl", 8)
    write_rows(folder / "test.jsonl", 4)
    options = ["--base-model", tiny_encoder, "--epochs", 4, "--batch-size", 4, "--learning-rate", 0.002, "--max-length", 64]
    said = run("train", "--train", folder / "train.jsonl", "--test", folder / "test.jsonl", "--out", folder / "classifier", *options)
    assert "24 rows in " in said
    assert "linear floor  accuracy 1.0000" in said
    return folder


def test_train_writes_the_metrics_that_the_issue_names(trained: Path) -> None:
    metrics = json.loads((trained / "classifier" / "metrics.json").read_text())
    assert metrics["train_rows"] == 24
    assert metrics["test_rows"] == 12
    assert metrics["labels"] == ["objection/budget", "positive", "unsubscribe"]
    assert 0 <= metrics["macro_f1"] <= 1
    assert 0 <= metrics["accuracy"] <= 1
    assert metrics["train_seconds"] > 0
    assert metrics["examples_per_second"] > 0
    assert metrics["linear_floor"] == {"accuracy": 1.0, "macro_f1": 1.0}
    assert [one["label"] for one in metrics["per_label"]] == metrics["labels"]


def test_every_parameter_of_the_training_is_an_option_with_the_settings_default_and_description() -> None:
    options = inspect.signature(cli.train).parameters
    for name, default in Train().model_dump(mode="json").items():
        assert options[name].default == default, name
        assert get_args(options[name].annotation)[1].help == Train.model_fields[name].description, name


def test_options_become_the_parameters_of_the_classifier(tiny_encoder: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "train.jsonl", 4)
    numbers = {"epochs": 2, "batch_size": 3, "learning_rate": 0.001, "warm_up_share": 0.2, "weight_decay": 0.0, "label_smoothing": 0.0}
    numbers |= {"dropout": 0.1, "validation_share": 0.0, "max_length": 32, "seed": 5}
    words = {"base_model": str(tiny_encoder), "method": "fine-tune", "class_weight": "none", "label_names": "off", "lexical": "off"}
    options = [part for name, value in (numbers | words).items() for part in (f"--{name.replace('_', '-')}", value)]
    run("train", "--train", tmp_path / "train.jsonl", "--out", tmp_path / "c", "--no-frozen-embeddings", *options)
    kept = json.loads((tmp_path / "c" / "classifier.json").read_text())["parameters"]
    assert kept == numbers | words | {"frozen_embeddings": False}
    assert kept.keys() == Train.model_fields.keys(), "an option is missing in this test"


def test_every_wrong_option_is_told_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = write_rows(tmp_path / "train.jsonl", 4)
    options = ("--epochs", "many", "--batch-size", 0, "--dropout", 1.5)
    said = fault_of(monkeypatch, capsys, "train", "--train", file, "--out", tmp_path / "c", *options)
    assert said == (
        "headgate: epochs: expected to be a valid integer, found 'many'; "
        "batch_size: expected to be greater than or equal to 1, found 0; dropout: expected to be less than 1, found 1.5\n"
    )


def test_train_tells_what_was_chosen_and_how_it_is_calibrated() -> None:
    choice = {"method": "linear-head", "class_weight": None, "why": "40 rows are few"}
    validation = {"rows": 40, "ece_before": 0.1234, "ece_after": 0.0101}
    assert list(cli._told(choice, validation)) == [
        "chosen: linear-head, class weights none. 40 rows are few",
        "calibrated on 40 rows that were not trained on: ECE 0.123 before, 0.010 after",
    ]
    assert list(cli._told(None, None)) == []


@pytest.mark.parametrize(("macro_f1", "floor", "warned"), [(0.8, 0.8, True), (0.81, 0.8, False), (1.0, 1.0, False)])
def test_train_warns_where_the_linear_floor_is_as_good(macro_f1: float, floor: float, warned: bool) -> None:
    measured = {"accuracy": macro_f1, "macro_f1": macro_f1, "linear_floor": {"accuracy": floor, "macro_f1": floor}}
    metrics = {"train_rows": 9, "train_seconds": 1.0, "examples_per_second": 9.0, "test_rows": 9, "tested_on": "f", **measured}
    told = "the linear model is as good: the gate beats_linear_floor would stop this classifier"
    assert any(told in line for line in cli._summary(metrics, Path("out"))) == warned


def test_wrap_and_test_follow_train(trained: Path) -> None:
    said = run("wrap", "--classifier", trained / "classifier", "--out", trained / "bundle")
    assert f"next: headgate serve {trained / 'bundle'}" in said
    assert "# Model card" in (trained / "bundle" / "model_card.md").read_text()
    said = run("test", "--bundle", trained / "bundle", "--data", trained / "test.jsonl", "--out", trained / "report")
    assert "on 12 rows" in said
    assert json.loads((trained / "report" / "report.json").read_text())["candidate"]["rows"] == 12


def test_two_wraps_by_hand_give_the_same_digest(trained: Path, tmp_path: Path) -> None:
    first = run("wrap", "--classifier", trained / "classifier", "--out", tmp_path / "a").split()[1]
    assert run("wrap", "--classifier", trained / "classifier", "--out", tmp_path / "b").split()[1] == first


def test_a_classifier_trained_on_whole_texts_is_served_whole_texts(tiny_encoder: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "train.jsonl", 4)
    options = ("--base-model", tiny_encoder, "--epochs", 1, "--max-length", 32, "--whole-text")
    run("train", "--train", tmp_path / "train.jsonl", "--out", tmp_path / "c", *options)
    run("wrap", "--classifier", tmp_path / "c", "--out", tmp_path / "b")
    assert json.loads((tmp_path / "b" / "filters.json").read_text())["current_reply"] is False


def test_without_test_rows_a_part_of_the_groups_is_held_out(tiny_encoder: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "train.jsonl", 40)
    run(
        "train",
        "--train",
        tmp_path / "train.jsonl",
        "--out",
        tmp_path / "c",
        "--base-model",
        tiny_encoder,
        "--epochs",
        1,
        "--max-length",
        32,
    )
    metrics = json.loads((tmp_path / "c" / "metrics.json").read_text())
    assert metrics["train_rows"] + metrics["test_rows"] == 120
    assert metrics["test_rows"] > 0


def test_a_file_too_small_to_hold_rows_out_is_trained_on_and_not_measured(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "label": label, "group_id": "same"} for text, label in ROWS]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = run("train", "--train", tmp_path / "train.jsonl", "--out", tmp_path / "c", "--base-model", tiny_encoder, "--epochs", 1)
    assert "not measured: the file is too small to hold rows out; give rows with --test" in said
    assert json.loads((tmp_path / "c" / "metrics.json").read_text())["accuracy"] is None


def test_bad_rows_are_told_and_left_out(tiny_encoder: Path, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "train.jsonl", 4)
    file.write_text('{"text": "no label"}\n' + file.read_text())
    options = ["--base-model", str(tiny_encoder), "--epochs", "1", "--test", str(file)]
    found = CliRunner().invoke(cli.app, ["train", "--train", str(file), "--out", str(tmp_path / "c"), *options[:4]], catch_exceptions=False)
    assert found.exit_code == 0
    assert "left out: train.jsonl, line 1: label" in found.output


def test_a_fault_is_one_message_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = fault_of(monkeypatch, capsys, "wrap", "--classifier", tmp_path, "--out", tmp_path / "b")
    assert (
        said == f"headgate: {tmp_path} is not a saved classifier: expected a readable classifier.json in it (No such file or directory)\n"
    )


def test_serving_what_is_no_bundle_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = fault_of(monkeypatch, capsys, "serve", tmp_path, "--port", 0)
    assert said == f"headgate: {tmp_path} is not a bundle: it has no bundle.json\n"


@pytest.mark.parametrize("command", ["train", "wrap", "test", "serve"])
def test_help_shows_an_example(command: str) -> None:
    assert f"headgate {command} " in run(command, "--help").split("Options:")[0].split("\n", 2)[2]


def test_a_command_whose_packages_are_not_installed_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(cli, "_add_commands_of_the_checkout", lambda _: None)
    said = fault_of(monkeypatch, capsys, "wrap")
    assert said == "headgate: this command needs the package torch; install headgate with its extra `train`\n"


def test_serving_imports_nothing_that_only_training_needs() -> None:
    heavy = {"torch", "mlflow", "pandas", "sklearn", "transformers"}
    program = f"import sys, headgate.cli, headgate.serving.server; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_commands_of_rooms_that_are_not_here_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint, EntryPoints

    elsewhere = EntryPoints([EntryPoint("checkout", "no_such_room.cli:app", cli.COMMANDS)])
    monkeypatch.setattr(cli, "entry_points", lambda group: elsewhere)
    cli._add_commands_of_the_checkout(["up"])


def test_a_command_that_touched_tables_keeps_its_status_its_output_and_its_last_rites(tmp_path: Path) -> None:
    program = "import atexit, sys, deltalake; atexit.register(print, 'tidied up'); from headgate.__main__ import main; main()"
    for given, status, told in ((["data", "list"], 0, "no version yet"), (["data", "list", "nosuch"], 1, "no [models.nosuch]")):
        done = subprocess.run(
            [sys.executable, "-c", program, *given],
            env=os.environ | {"HEADGATE_LAKE": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        assert told in done.stdout + done.stderr
        assert done.stdout.endswith("tidied up\n")
