"""`headgate train`, killed with -9 and started again by the same command, ends with the weights of one that was left alone."""

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROWS = [("yes please, call me", "positive"), ("stop writing to me", "unsubscribe"), ("too expensive for us", "objection/budget")] * 20


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 rows, few enough for cross-validation: a fit is six trainings."""
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("".join(json.dumps({"text": f"{text} {i}", "label": label}) + "\n" for i, (text, label) in enumerate(ROWS)))
    return file


def command(encoder: Path, rows: Path, out: Path) -> list[str]:
    options = {
        "--train": rows,
        "--test": rows,
        "--out": out,
        "--base-model": encoder,
        "--method": "fine-tune",
        "--epochs": 6,
        "--batch-size": 4,
        "--dropout": 0.1,
        "--max-length": 32,
        "--checkpoint-every-steps": 8,
    }
    given = [str(part) for option in options.items() for part in option]
    return [sys.executable, "-c", "from headgate.cli import main; main()", "train", "--no-frozen-embeddings", *given]


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def kill_at_checkpoint(number: int, arguments: list[str], checkpoints: Path, folder: Path) -> None:
    """Start it, and end it with SIGKILL as soon as it has written so many checkpoints."""
    before = set(checkpoints.rglob("*.safetensors"))
    written: set[Path] = set()
    process = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while process.poll() is None and len(written) < number:
        written |= set(checkpoints.rglob("*.safetensors")) - before
        time.sleep(0.002)
    process.kill()
    said, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, said


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def digest(classifier: Path) -> str:
    return hashlib.sha256((classifier / "model.safetensors").read_bytes()).hexdigest()


def test_killed_twice_it_ends_with_the_same_weights(tiny_encoder: Path, rows: Path, tmp_path: Path) -> None:
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    run(command(tiny_encoder, rows, alone), tmp_path)
    arguments, kept = command(tiny_encoder, rows, killed), tmp_path / "killed.checkpoints"
    for number in (2, 4):
        kill_at_checkpoint(number, arguments, kept, tmp_path)
        assert not killed.exists()
    done = run(arguments, tmp_path)
    assert re.search(rf"training continues after step \d+, from {kept}", done.stderr)
    assert digest(killed) == digest(alone)
    records = [json.loads((folder / "classifier.json").read_text()) for folder in (alone, killed)]
    assert records[0]["temperature"] == records[1]["temperature"]
    assert [epoch["loss"] for epoch in records[0]["history"]] == [epoch["loss"] for epoch in records[1]["history"]]
    assert names(tmp_path) == {"alone", "killed"}, "checkpoints are removed, and no MLflow folder appears"


def test_checkpoints_of_other_parameters_are_told_and_left_unused(tiny_encoder: Path, rows: Path, tmp_path: Path) -> None:
    arguments = command(tiny_encoder, rows, tmp_path / "out")
    kill_at_checkpoint(1, arguments, tmp_path / "out.checkpoints", tmp_path)
    done = run([*arguments, "--seed", "1"], tmp_path)
    assert "are of other rows, another plan or other weights to start from: training starts anew" in done.stderr
    assert names(tmp_path) == {"out"}


def test_without_checkpoints_nothing_is_written_beside_the_classifier(tiny_encoder: Path, rows: Path, tmp_path: Path) -> None:
    arguments = [*command(tiny_encoder, rows, tmp_path / "out"), "--checkpoint-every-steps", "0"]
    process = subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.DEVNULL)
    seen: set[str] = set()
    while process.poll() is None:
        seen |= names(tmp_path)
        time.sleep(0.01)
    assert (process.returncode, seen) == (0, {"out"})
