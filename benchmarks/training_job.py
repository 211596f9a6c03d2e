"""What training.py gives to a child process, one for each side, and how the child is run and measured. Standard library alone."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, TypedDict

Rows = list[dict[str, Any]]
Found = dict[str, Any]


class Job(TypedDict):
    """One training: the same for both sides but for `precision`, `compile` and the sides' own options."""

    model: str
    train: str
    test: str | None
    epochs: int
    batch_size: int
    max_length: int
    seed: int
    threads: int
    device: str
    precision: str
    compile: bool
    trainer_options: dict[str, Any]
    model_options: dict[str, Any]
    our_options: dict[str, Any]


def run_child(python: Path, script: Path, job: Job) -> Found:
    """What the script measured: its last printed line. Raises RuntimeError with the end of its error output."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        ran = subprocess.run([str(python), str(script), file.name], env=environment(job), capture_output=True, text=True)
    if ran.returncode != 0:
        raise RuntimeError(f"{script.name} ended with {ran.returncode}:\n{ran.stderr[-3000:]}")
    found: Found = json.loads(ran.stdout.splitlines()[-1])
    return found


def environment(job: Job) -> dict[str, str]:
    """This process's environment with the job's threads and device; idle threads sleep, since spinning ones would count as work."""
    own = {name: str(job["threads"]) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")}
    own |= {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "true" if job["threads"] > 1 else "false", "HF_HUB_OFFLINE": "1"}
    if job["device"] == "cpu":
        own["CUDA_VISIBLE_DEVICES"] = ""
    return {**os.environ, **own}


def read_job() -> Job:
    """The job that `run_child` named on the command line."""
    job: Job = json.loads(Path(sys.argv[1]).read_text())
    return job


def read(path: str | Path) -> Rows:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def cpu_seconds() -> float:
    """User and system seconds of this process and the children it has waited for."""
    return sum(os.times()[:4])
