"""MLproject: the four stages by hand through `mlflow run`, from the checkout and from a Git URL at a commit.

MLflow 3.17 takes any `file://` URI whose path exists for a plain folder: of a bare repository it makes a broken one (it runs
`git init` inside). So the bare repository here has an https address that Git itself replaces, and MLflow fetches it as it would
from any server.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
import yaml
from mlflow.exceptions import ExecutionException

from deployments.processes import Processes
from headgate.settings import Train

CHECKOUT = Path(__file__).parents[2]
ADDRESS = "https://git.example/headgate.git"
MARKED = "import sys\n\n\ndef main() -> None:\n    print('the code of the newer commit')\n    sys.exit(3)\n"
ROWS = [("yes please, call me", "positive"), ("stop writing to me", "unsubscribe"), ("too expensive for us", "objection/budget")] * 12


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def copy_of_working_tree(folder: Path) -> Path:
    """What a commit of everything would hold: tracked files and new ones, nothing that is ignored."""
    for name in git(CHECKOUT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
        if name and (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, folder / name)
    return folder


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tracking store of its own, `headgate` on the PATH, and no more threads than a small machine has. Returns the folder."""
    folder = tmp_path_factory.mktemp("mlflow")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment("mlproject")  # else mlflow remembers an experiment of an earlier test's store
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("PYTHONPATH", raising=False)
        yield folder
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def commits(environment: Path) -> Iterator[tuple[str, str]]:
    """A bare repository at ADDRESS: the working tree, and after it a commit whose command only says that it is newer."""
    tree = copy_of_working_tree(environment / "tree")
    git(tree, "init", "--quiet")
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--message", "as it is")
    first = git(tree, "rev-parse", "HEAD")
    (tree / "headgate" / "__main__.py").write_text(MARKED)
    git(tree, "commit", "--quiet", "--all", "--message", "newer")
    git(environment, "clone", "--quiet", "--bare", str(tree), "headgate.git")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_COUNT", "1")
        patch.setenv("GIT_CONFIG_KEY_0", f"url.file://{environment / 'headgate.git'}.insteadOf")
        patch.setenv("GIT_CONFIG_VALUE_0", ADDRESS)
        yield first, git(tree, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def rows(environment: Path) -> Path:
    """Rows in a file whose name has a space."""
    file = environment / "some rows.jsonl"
    file.write_text("".join(json.dumps({"text": f"{text} {number}", "label": label}) + "\n" for number, (text, label) in enumerate(ROWS)))
    return file


def run(entry_point: str, parameters: Mapping[str, object], uri: str = str(CHECKOUT), version: str | None = None) -> Any:
    given = {name: str(value) for name, value in parameters.items()}
    submitted = mlflow.projects.run(uri, entry_point, version, given, env_manager="local")
    return mlflow.get_run(submitted.run_id)


def test_defaults_are_those_of_the_command_line() -> None:
    parameters = yaml.safe_load((CHECKOUT / "MLproject").read_text())["entry_points"]["train"]["parameters"]
    given = {name: spec["default"] for name, spec in parameters.items() if isinstance(spec, dict) and name in Train.model_fields}
    assert given == Train().model_dump(mode="json") | {"frozen_embeddings": "frozen-embeddings"}


def test_train_runs_from_a_git_url_at_the_commit_that_is_asked_for(
    commits: tuple[str, str], tiny_encoder: Path, rows: Path, environment: Path
) -> None:
    out = environment / "classifier"
    given = {"train": rows.name, "test": rows.name, "out": out, "base_model": tiny_encoder, "epochs": 2, "max_length": 32}
    given |= {"method": "fine-tune", "batch_size": 4, "frozen_embeddings": "no-frozen-embeddings"}
    parameters = [part for name, value in given.items() for part in ("-P", f"{name}={value}")]
    command = ["mlflow", "run", ADDRESS, "--version", commits[0], "-e", "train", "--env-manager", "local", *parameters]
    done = subprocess.run(command, cwd=rows.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["train_rows"], metrics["test_rows"], metrics["tested_on"]) == (36, 36, rows.name)
    assert metrics["labels"] == ["objection/budget", "positive", "unsubscribe"]
    assert {"accuracy", "macro_f1", "train_seconds", "examples_per_second"} <= metrics.keys()
    parameters_kept = json.loads((out / "classifier.json").read_text())["parameters"]
    assert (parameters_kept["epochs"], parameters_kept["frozen_embeddings"]) == (2, False)
    [found] = mlflow.search_runs(search_all_experiments=True, output_format="list", filter_string=f"tags.mlflow.source.name = '{ADDRESS}'")
    assert found.data.tags["mlflow.source.git.commit"] == commits[0]
    assert mlflow.MlflowClient().get_metric_history(found.info.run_id, "loss")[-1].step == 2
    assert found.data.metrics["accuracy"] == metrics["accuracy"]
    assert found.info.status == "FINISHED"


def test_the_code_of_the_commit_runs_and_not_the_installed_one(
    commits: tuple[str, str], rows: Path, environment: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExecutionException, match="failed"):
        run("train", {"train": rows, "out": environment / "nothing"}, ADDRESS, commits[1])
    assert "the code of the newer commit" in capfd.readouterr().out


@pytest.fixture
def called_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Puts a `headgate` first on the PATH that only notes its arguments; returns what reads them."""
    stub, noted = tmp_path / "bin" / "headgate", tmp_path / "arguments"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {noted}\n')
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(stub.parent), prepend=os.pathsep)
    return lambda: noted.read_text().splitlines()


def as_option(name: str, value: object) -> list[str]:
    option = name.replace("_", "-")
    return [f"--{option}" if value else f"--no-{option}"] if isinstance(value, bool) else [f"--{option}", str(value)]


def test_train_needs_rows_and_a_folder_only(called_with: Callable[[], list[str]], rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(rows.parent)
    made = run("train", {"train": rows.name, "out": "/out/of spaces"})
    defaults = [part for name, value in Train().model_dump(mode="json").items() for part in as_option(name, value)]
    end = ["--current-reply", "--checkpoint-every-steps", "100"]
    assert called_with() == ["train", "--train", str(rows), "--out", "/out/of spaces", *defaults, *end]
    assert (made.info.status, made.data.params["epochs"]) == ("FINISHED", "auto")


def test_train_takes_test_rows_and_whole_texts(called_with: Callable[[], list[str]], rows: Path) -> None:
    run("train", {"train": rows, "test": rows, "out": "/out", "text": "whole-text"})
    assert called_with()[:7] == ["train", "--train", str(rows), "--out", "/out", "--test", str(rows)]
    assert "--whole-text" in called_with()


def test_deploy_leaves_the_model_to_headgate_toml(called_with: Callable[[], list[str]], tmp_path: Path) -> None:
    run("deploy", {"bundle": tmp_path, "endpoint": "staging"})
    assert called_with() == ["deploy", "--bundle", str(tmp_path), "--endpoint", "staging", "--target", "local"]


def test_wrap_makes_a_bundle(tiny_classifier: Path, tmp_path: Path) -> None:
    run("wrap", {"classifier": tiny_classifier, "out": tmp_path / "bundle"})
    assert (tmp_path / "bundle" / "bundle.json").is_file()


def test_test_measures_a_bundle(bundle: Path, rows: Path, tmp_path: Path) -> None:
    run("test", {"bundle": bundle, "data": rows, "out": tmp_path})
    assert json.loads((tmp_path / "report.json").read_text())["candidate"]["rows"] == len(ROWS)


def test_deploy_makes_an_endpoint_answer(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADGATE_STACK__ENDPOINT_PORT", "18600")
    try:
        run("deploy", {"bundle": bundle, "endpoint": "staging", "model": "replies"})
        address = capfd.readouterr().out.split(" answers at ")[1].split()[0]
        answer = httpx.post(f"{address}/invocations", json={"instances": [{"text": "stop"}]}).raise_for_status().json()
    finally:
        Processes(tmp_path / "home").shutdown()
    assert answer["predictions"][0]["outcome"] == "scored"


def test_a_missing_parameter_is_told_before_anything_runs() -> None:
    with pytest.raises(ExecutionException) as fault:
        run("train", {"out": "nowhere"})
    assert str(fault.value) == "No value given for missing parameters: 'train'"
