"""A training of seconds on `tiny_encoder`, as a program: run, stopped at some point, and run again until it is done.

    python small_training.py ENCODER FOLDER HOW...

HOW: `whole` (nothing happens); `steps` (SIGKILL after a random number of steps, again and again); `clock` (SIGKILL from
outside, some milliseconds after a checkpoint appeared); `flush` (SIGKILL when a checkpoint is written but not in its place);
`half` (the kernel ends it in the middle of a write); `full` (the disk takes no more of a checkpoint).
Each prints one line, and works in FOLDER/HOW.
"""

import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from headgate.errors import Terminal
from headgate.model.batching import embeddings, tokenise
from headgate.model.checkpoint import Checkpoints
from headgate.model.compute import choose_compute
from headgate.model.network import Network, load_base_model
from headgate.model.training import Epoch, Plan, start_from_centroids, train

TEXTS = ["yes please, call me monday", "yes, thursday", "stop", "no, stop it please", "remove me from the list", "yes"] * 4
TARGETS = [0, 0, 1, 1, 1, 0] * 4
WEIGHTS = [1.0, 2.0, 0.5] * 8
PLAN = Plan(epochs=6, batch_size=4, learning_rate=2e-3, seed=3, dropout=0.1, frozen_embeddings=False)
EVERY = 4
BYTES = 50_000


def run(encoder: Path, checkpoints: Checkpoints | None, plan: Plan = PLAN) -> tuple[Network, tuple[Epoch, ...]]:
    """36 steps, if the plan is not another."""
    found, tokenizer = load_base_model(str(encoder), "eager")
    network, ids = Network(found, 2), tokenise(tokenizer, TEXTS, 32)
    start_from_centroids(network, embeddings(network, ids, choose_compute()), TARGETS, WEIGHTS)
    return network, train(network, ids, TARGETS, plan, WEIGHTS, checkpoints=checkpoints)


def until_done(encoder: Path, folder: Path, how: str) -> str:
    """Start it again until it ends by itself; what happened."""
    draw = random.Random(how)
    for attempt in range(100):
        child = os.fork()
        if child == 0:
            _child(encoder, folder, how, attempt)
        if how == "clock":
            _kill_soon_after_a_checkpoint(child, folder, draw.uniform(0, 0.05))
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            return f"{how}: killed {attempt} times, then exit status {os.WEXITSTATUS(status)}"
    return f"{how}: never done"


def _child(encoder: Path, folder: Path, how: str, attempt: int) -> None:
    if how == "steps":
        _at_call(torch.optim.AdamW, "step", random.Random(attempt).randint(1, 3 * EVERY), _die)
    if how == "flush" and attempt < 3:
        _at_call(os, "fsync", 1 + 2 * (attempt + 1), _die)
    if how == "half" and attempt == 0:
        _at_call(torch.optim.AdamW, "step", 10, lambda: _allow(BYTES, signal.SIG_DFL))
    if how == "full":
        _at_call(torch.optim.AdamW, "step", 10, lambda: _allow(BYTES, signal.SIG_IGN))
    try:
        network, history = run(encoder, Checkpoints(folder / "kept", EVERY, lambda told: _tell(folder, told)))
        save_file(network.state_dict(), folder / "done.safetensors", {"losses": repr([epoch.loss for epoch in history])})
    except Terminal as fault:
        _tell(folder, str(fault))
        os._exit(3)
    os._exit(0)


def _tell(folder: Path, told: str) -> None:
    with (folder / "told.txt").open("a") as file:
        file.write(told + "\n")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _allow(size: int, when_more: signal.Handlers) -> None:
    """No file may grow beyond that size; by default the kernel ends a process that tries."""
    signal.signal(signal.SIGXFSZ, when_more)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _at_call(owner: object, name: str, number: int, act: Callable[[], None]) -> None:
    kept, calls = getattr(owner, name), iter(range(1, 10**6))

    def counted(*arguments: object, **named: object) -> object:
        if next(calls) == number:
            act()
        return kept(*arguments, **named)

    setattr(owner, name, counted)


def _kill_soon_after_a_checkpoint(child: int, folder: Path, wait_s: float) -> None:
    before = set(folder.rglob("*.safetensors"))
    while set(folder.rglob("*.safetensors")) == before and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.001)
    time.sleep(wait_s)
    os.kill(child, signal.SIGKILL)


def main(encoder: Path, folder: Path, hows: list[str]) -> None:
    """One after the other."""
    torch.set_num_threads(1)
    run(encoder, None, replace(PLAN, epochs=1))  # what is imported and prepared here, no child has to
    for how in hows:
        (folder / how).mkdir()
        sys.stdout.write(until_done(encoder, folder / how, how) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
