"""Two real processes under torchrun train as one does, write one folder, and end together."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROWS = [("yes please", "yes"), ("yes, call me", "yes"), ("call me thursday", "yes"), ("stop", "no"), ("no, stop it", "no")]
ONE = ("-m", "headgate.model.train")
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *ONE)
ENDED_IN_S = 240
ALONE = ("--method", "fine-tune", "--validation-share", "0")  # no decision hangs on a few rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text(
        "".join(json.dumps({"id": str(i), "text": f"{text} {i}", "label": label}) + "\n" for i, (text, label) in enumerate(ROWS * 5))
    )
    return file


def start(how: tuple[str, ...], rows: Path, encoder: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, *how, "--train", str(rows), "--test", str(rows), "--base-model", str(encoder), "--out", str(out)]
    numbers = [*ALONE, "--epochs", "20", "--batch-size", "5", "--learning-rate", "1e-3", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen(command + numbers, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def done(process: subprocess.Popen[str]) -> str:
    told, faults = process.communicate(timeout=ENDED_IN_S)
    assert process.returncode == 0, faults
    return told


def losses(out: Path) -> list[float]:
    return [epoch["loss"] for epoch in json.loads((out / "classifier.json").read_text())["history"]]


def metrics(out: Path) -> dict[str, float]:
    found = json.loads((out / "metrics.json").read_text())
    return {name: found[name] for name in ("accuracy", "macro_f1", "train_rows")}


@pytest.fixture(scope="module")
def trained(rows: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder in which one process and two wrote, and what they printed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, {out: done(start(how, rows, tiny_encoder, folder / out)) for out, how in (("one", ONE), ("two", TWO))}


def test_two_processes_train_as_one_does_and_only_the_first_writes_and_prints(trained: tuple[Path, dict[str, str]]) -> None:
    folder, told = trained
    one, two = folder / "one", folder / "two"
    assert sorted(path.name for path in folder.iterdir()) == ["one", "two"]
    assert sorted(path.name for path in two.rglob("*")) == sorted(path.name for path in one.rglob("*"))
    assert [text.count("saved in") for text in told.values()] == [1, 1]
    assert metrics(two) == pytest.approx(metrics(one), abs=0.05)
    assert losses(two) == pytest.approx(losses(one), abs=0.02)


def test_when_one_process_is_killed_all_end_and_the_next_start_continues_to_the_same_weights(
    rows: Path, tiny_encoder: Path, tmp_path: Path, trained: tuple[Path, dict[str, str]]
) -> None:
    out, kept = tmp_path / "out", tmp_path / "kept"
    options = ("--checkpoints", str(kept), "--checkpoint-every-steps", "10")
    process = start(TWO, rows, tiny_encoder, out, *options)
    while not list(kept.rglob("*.safetensors")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    next(child for child in psutil.Process(process.pid).children() if child.environ().get("RANK") == "1").kill()
    process.communicate(timeout=ENDED_IN_S)
    assert process.returncode != 0
    assert not out.exists()
    again = start(TWO, rows, tiny_encoder, out, *options)
    _, faults = again.communicate(timeout=ENDED_IN_S)
    assert again.returncode == 0, faults
    assert faults.count("training continues after step") == 1
    assert (out / "model.safetensors").read_bytes() == (trained[0] / "two" / "model.safetensors").read_bytes()
    assert not list(kept.rglob("*.safetensors"))


def test_a_fault_of_the_input_ends_all_processes(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "yes", "label": "yes"}\n')
    process = start(TWO, rows, tiny_encoder, tmp_path / "out")
    _, faults = process.communicate(timeout=ENDED_IN_S)
    assert process.returncode != 0
    assert "headgate: y: expected at least two labels to tell apart" in faults
    assert not (tmp_path / "out").exists()
