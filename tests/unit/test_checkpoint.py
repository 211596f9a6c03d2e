"""A training that is killed, that finds its disk full or its checkpoint damaged, loses steps at most, and says what it did."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import small_training
import torch
from safetensors.torch import load_file
from small_training import EVERY, PLAN, run

from headgate.errors import BadInput, Terminal
from headgate.model import training
from headgate.model.checkpoint import UNFINISHED, Checkpoints
from headgate.model.training import Plan

KILLED = ("steps", "clock", "flush", "half")


@pytest.fixture(scope="module")
def stopped(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder in which each kind of stop was tried on real processes, and what was told of it."""
    folder = tmp_path_factory.mktemp("stopped")
    command = [sys.executable, small_training.__file__, str(tiny_encoder), str(folder), "whole", *KILLED, "full"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return folder, dict(line.split(": ", 1) for line in done.stdout.splitlines())


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def checkpoints(tmp_path: Path, told: list[str]) -> Checkpoints:
    return Checkpoints(tmp_path / "kept", EVERY, told.append)


def files(checkpoints: Checkpoints) -> list[Path]:
    """Oldest first."""
    return sorted(checkpoints.folder.glob("*.safetensors"), key=lambda file: re.sub(r".*-step-", "", file.name))


def weights(encoder: Path, checkpoints: Checkpoints | None, plan: Plan = PLAN) -> dict[str, torch.Tensor]:
    return run(encoder, checkpoints, plan)[0].state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("how", KILLED)
def test_a_training_that_is_killed_ends_with_the_very_weights_and_losses_of_one_that_is_not(
    stopped: tuple[Path, dict[str, str]], how: str
) -> None:
    folder, ends = stopped
    assert re.fullmatch(r"killed [1-9]\d* times, then exit status 0", ends[how])
    assert "training continues after step" in (folder / how / "told.txt").read_text()
    assert (folder / how / "done.safetensors").read_bytes() == (folder / "whole" / "done.safetensors").read_bytes()
    assert len(load_file(folder / how / "done.safetensors")) > 30


def test_a_full_disk_names_the_step_and_keeps_the_checkpoint_before(stopped: tuple[Path, dict[str, str]]) -> None:
    folder, ends = stopped
    assert ends["full"] == "killed 0 times, then exit status 3"
    kept = Checkpoints(folder / "full" / "kept")
    told = (folder / "full" / "told.txt").read_text()
    assert re.sub(r"[\d,]+ bytes", "N bytes", told) == (
        f"the checkpoint of step 12 could not be written in {kept.folder}: File too large; make room for N bytes and start again: "
        f"the last good checkpoint is kept, {files(kept)[-1]}\n"
    )
    assert [file.name[13:26] for file in files(kept)] == ["step-00000004", "step-00000008"]
    assert not (kept.folder / UNFINISHED).exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "disk").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700k", "headgate-test", tmp_path / "disk"], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk; the test beside it limits the size of a file instead")
    yield tmp_path / "disk"
    subprocess.run(["umount", tmp_path / "disk"], check=True)


def test_a_disk_without_room_for_a_second_checkpoint_keeps_the_first(tiny_encoder: Path, small_disk: Path, told: list[str]) -> None:
    kept = Checkpoints(small_disk / "kept", EVERY, told.append)
    with pytest.raises(Terminal, match=r"^the checkpoint of step 8 could not be written in .*: No space left on device; make room for "):
        run(tiny_encoder, kept)
    assert len(files(kept)) == 1
    assert not (kept.folder / UNFINISHED).exists()
    subprocess.run(["mount", "-o", "remount,size=5m", small_disk], check=True)
    assert equal(weights(tiny_encoder, kept), weights(tiny_encoder, None))
    assert told[0].startswith("training continues after step 4, from ")


def test_two_checkpoints_are_kept_and_cleared_with_those_of_the_other_trainings_of_the_fit(
    tiny_encoder: Path, checkpoints: Checkpoints
) -> None:
    run(tiny_encoder, checkpoints.under("folds").under("0"))
    run(tiny_encoder, checkpoints)
    assert [file.name[13:26] for file in files(checkpoints)] == ["step-00000032", "step-00000036"]
    assert len(files(checkpoints.under("folds").under("0"))) == 2
    (checkpoints.folder / "notes.txt").write_text("not ours")
    checkpoints.clear()
    assert [path.name for path in checkpoints.folder.rglob("*")] == ["notes.txt"]


def test_a_training_shorter_than_the_interval_leaves_nothing(tiny_encoder: Path, checkpoints: Checkpoints) -> None:
    run(tiny_encoder, replace(checkpoints, every_steps=36))
    assert not checkpoints.folder.exists()


def test_a_training_that_is_done_is_not_done_again(tiny_encoder: Path, checkpoints: Checkpoints, told: list[str]) -> None:
    first, history = run(tiny_encoder, checkpoints)
    again, history_again = run(tiny_encoder, checkpoints)
    assert equal(first.state_dict(), again.state_dict())
    assert history_again == history
    assert told == [f"training continues after step 36, from {files(checkpoints)[-1]}"]


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(tiny_encoder: Path, checkpoints: Checkpoints, told: list[str]) -> None:
    expected = weights(tiny_encoder, checkpoints)
    before, last = files(checkpoints)
    last.write_bytes(last.read_bytes()[:-1] + b"x")
    assert equal(weights(tiny_encoder, checkpoints), expected)
    assert told == [f"damaged checkpoint left out: {last} is not what was written", f"training continues after step 32, from {before}"]
    assert len(files(checkpoints)) == 2


def test_without_a_whole_checkpoint_the_training_starts_anew_and_says_so(
    tiny_encoder: Path, checkpoints: Checkpoints, told: list[str]
) -> None:
    expected = weights(tiny_encoder, checkpoints)
    found = files(checkpoints)
    for file in found:
        file.write_bytes(b"")
    assert equal(weights(tiny_encoder, checkpoints), expected)
    assert told == [
        f"damaged checkpoint left out: {found[1]} is not what was written",
        f"damaged checkpoint left out: {found[0]} is not what was written",
        f"no whole checkpoint in {checkpoints.folder}: training starts anew",
    ]


@pytest.mark.parametrize("other", ["plan", "rows", "weights", "base model"])
def test_checkpoints_of_something_else_are_not_taken(
    tiny_encoder: Path, tmp_path: Path, checkpoints: Checkpoints, told: list[str], other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny_encoder, checkpoints)
    plan = replace(PLAN, epochs=7) if other == "plan" else PLAN
    if other == "rows":
        monkeypatch.setattr(small_training, "TEXTS", [*small_training.TEXTS[1:], "stop"])
    if other == "weights":
        monkeypatch.setattr(small_training, "WEIGHTS", [1.0] * 24)
    if other == "base model":
        from transformers import AutoModel

        torch.manual_seed(5)
        changed = tmp_path / "other"
        changed.mkdir()
        for file in tiny_encoder.iterdir():
            (changed / file.name).write_bytes(file.read_bytes())
        AutoModel.from_config(AutoModel.from_pretrained(tiny_encoder).config).save_pretrained(changed)
        tiny_encoder = changed
    found = weights(tiny_encoder, checkpoints, plan)
    assert told == [
        f"the checkpoints in {checkpoints.folder} are of other rows, another plan or other weights to start from: training starts anew"
    ]
    assert equal(found, weights(tiny_encoder, None, plan))
    assert len(files(checkpoints)) == 2


def test_a_loss_that_is_no_number_names_its_step_and_the_checkpoint_that_is_kept(
    tiny_encoder: Path, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = training._slope
    monkeypatch.setattr(training, "_slope", lambda step, steps, share: float("inf") if step == 9 else kept(step, steps, share))
    with pytest.raises(Terminal) as fault:
        run(tiny_encoder, checkpoints)
    assert [file.name[13:26] for file in files(checkpoints)] == ["step-00000004", "step-00000008"]
    assert str(fault.value) == (
        "training diverged: loss nan in epoch 2, step 5; try a learning rate below 0.002; "
        f"the last good checkpoint is kept, {files(checkpoints)[-1]}"
    )


def test_an_interval_of_no_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^checkpoints: expected every_steps of at least 1, found 0$"):
        Checkpoints(tmp_path, 0)
