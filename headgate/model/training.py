"""The training loop: plain PyTorch, deterministic for a seed on one machine, killed and continued without a trace.

Texts are tokenised once, batches hold rows of similar length, token embeddings stay frozen, and the head starts
from the mean embedding of each label, so that the first step already classifies like nearest-centroid.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from torch.nn.parallel import DistributedDataParallel

from headgate.errors import Terminal
from headgate.model.batching import Ids, batches, padded
from headgate.model.checkpoint import Checkpoints
from headgate.model.compute import Compute, agreed, agreed_tensors, choose_compute
from headgate.model.network import InBf16, Network

CENTROID_SCALE = 8.0
CHECKED_STEPS = 20
LOOP_VERSION = 2  # raise it when the order of rows or what a checkpoint holds changes: older checkpoints are then left alone
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the rows: its number of `epochs`, mean loss, seconds, examples a second, and the learning rate of its last step."""

    number: int
    epochs: int
    loss: float
    seconds: float
    examples_per_second: float
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how large and how fast the loop steps, and what holds it back from learning its rows by heart."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    warm_up_share: float = 0.1
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    dropout: float = 0.0  # a few epochs gain nothing from it, and on a CPU it takes a quarter of the time
    max_gradient_norm: float = 1.0
    frozen_embeddings: bool = True


def train(
    network: Network,
    ids: Sequence[Ids],
    targets: Sequence[int],
    plan: Plan,
    weights: Sequence[float] | None = None,
    progress: Callable[[Epoch], None] | None = None,
    checkpoints: Checkpoints | None = None,
) -> tuple[Epoch, ...]:
    """Fit the network in place from the head that it has; targets index the head's rows, weights are one a row.

    With checkpoints, a training of the same plan, rows and start that was stopped continues where it was kept last.
    Raises Terminal if the loss stops being a number, or if a checkpoint cannot be written.
    """
    compute = choose_compute()
    with _own_random_numbers(compute), torch.enable_grad():
        loop = _Loop(network.to(compute.device), ids, targets, weights, plan, compute, checkpoints)
        loop.take_up()
        loop.run(progress or (lambda _: None))
    network.eval()
    return tuple(loop.history)


class _Loop:
    """One training under way: the steps done, the loss of the epoch so far, the epochs before it."""

    def __init__(
        self,
        network: Network,
        ids: Sequence[Ids],
        targets: Sequence[int],
        weights: Sequence[float] | None,
        plan: Plan,
        compute: Compute,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.network, self.ids, self.plan, self.compute, self.checkpoints = network, ids, plan, compute, checkpoints
        self.targets = torch.as_tensor(np.asarray(targets), device=compute.device)
        self.weights = _weights(weights, len(ids), compute.device)
        self.steps_per_epoch = -(-len(ids) // plan.batch_size)
        self.steps = plan.epochs * self.steps_per_epoch
        self.done, self.loss, self.seconds = 0, 0.0, 0.0
        self.history: list[Epoch] = []
        self.unchecked: list[Tensor] = []
        _prepare(network, plan)
        self.trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
        self.optimizer = torch.optim.AdamW(_groups(self.trained.values(), plan.weight_decay), lr=plan.learning_rate, fused=True)
        self.digest = _digest(network, ids, self.targets, self.weights, plan) if checkpoints else ""

    def run(self, progress: Callable[[Epoch], None]) -> None:
        """Take the steps that are still to be taken."""
        for epoch in self.history:
            progress(epoch)
        precise: torch.nn.Module = InBf16(self.network) if self.compute.bf16 else self.network
        model = DistributedDataParallel(precise) if self.compute.world > 1 else precise
        self.network.train()
        started = time.perf_counter() - self.seconds
        for number, rows in self._remaining():
            self._step(model, rows)
            ends, due = self.done % self.steps_per_epoch == 0, self._due()
            if ends or due or len(self.unchecked) == CHECKED_STEPS:
                self._check()
            self.seconds = time.perf_counter() - started
            if ends:
                progress(self._end_epoch(number))
                started = time.perf_counter()
            if due:
                self._keep()

    def _remaining(self) -> Iterator[tuple[int, list[int]]]:
        """Epoch number, and row numbers of the global batch, of each step that is not done."""
        lengths, done = [len(row) for row in self.ids], self.done
        for before in range(done // self.steps_per_epoch, self.plan.epochs):
            order = batches(lengths, self.plan.batch_size, self.plan.seed + before + 1)
            for rows in order[max(0, done - before * self.steps_per_epoch) :]:
                yield before + 1, rows

    def _step(self, model: torch.nn.Module, rows: list[int]) -> None:
        """One gradient step; drawing from (seed, step, rank) leaves no random state to keep."""
        torch.manual_seed(int(np.random.SeedSequence((self.plan.seed, self.done, self.compute.rank)).generate_state(1)[0]))
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * _slope(self.done, self.steps, self.plan.warm_up_share)
        loss = self._loss(model, rows)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in self.trained.values() if parameter.grad is not None])
        # The fused step divides by this as it reads the gradients; clipping them first would pass over memory once more.
        self.optimizer.grad_scale = (norm / self.plan.max_gradient_norm).clamp(min=1.0)  # type: ignore[attr-defined]  # AMP's own way in
        self.optimizer.step()
        self.done += 1
        self.unchecked.append(torch.stack((loss.detach(), loss.detach() * len(rows), norm)))

    def _loss(self, model: torch.nn.Module, rows: list[int]) -> Tensor:
        """Weighted mean over the global batch, as far as this process has it: the mean over all processes is the whole."""
        mine = rows[self.compute.rank :: self.compute.world]
        shares = self.weights[mine or rows[:1]] * (self.compute.world if mine else 0) / self.weights[rows].sum().clamp(min=TINY)
        mine = mine or rows[:1]
        logits = model(*padded([self.ids[row] for row in mine], self.compute.device))
        losses = cross_entropy(logits, self.targets[mine], reduction="none", label_smoothing=self.plan.label_smoothing)
        return (losses * shares).sum()

    def _check(self) -> None:
        """Add up the steps since the last look; Terminal names the first whose loss or gradient is no number."""
        seen = self.compute.summed(torch.stack(self.unchecked)) / self.compute.world
        first = self.done - len(self.unchecked)
        self.unchecked.clear()
        for step, (loss, of_rows, norm) in enumerate(seen.tolist(), start=first):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise Terminal(self._diverged(step, f"loss {loss}" if not math.isfinite(loss) else f"gradient norm {norm}"))
            self.loss += of_rows

    def _diverged(self, step: int, found: str) -> str:
        epoch, number = step // self.steps_per_epoch + 1, step % self.steps_per_epoch + 1
        kept = f"; {self.checkpoints.last(self.digest)}" if self.checkpoints else ""
        return f"training diverged: {found} in epoch {epoch}, step {number}; try a learning rate below {self.plan.learning_rate:g}{kept}"

    def _end_epoch(self, number: int) -> Epoch:
        rows = len(self.ids)
        rate = float(self.optimizer.param_groups[0]["lr"])
        self.history.append(Epoch(number, self.plan.epochs, self.loss / rows, self.seconds, rows / self.seconds, rate))
        self.loss, self.seconds = 0.0, 0.0
        return self.history[-1]

    def _due(self) -> bool:
        """At each interval, and at the end of a training that is longer than one: a fit may consist of several."""
        every = self.checkpoints.every_steps if self.checkpoints else self.steps
        return self.steps > every and (self.done % every == 0 or self.done == self.steps)

    def _keep(self) -> None:
        if self.checkpoints and self.compute.rank == 0:
            progress = {"loss": self.loss, "seconds": self.seconds, "history": [asdict(epoch) for epoch in self.history]}
            self.checkpoints.write(self.digest, self.done, self._tensors(), progress)

    def _tensors(self) -> dict[str, Tensor]:
        """Everything that training changes: trained parameters and the optimizer's moments."""
        moments = self.optimizer.state_dict()["state"]
        kept = {f"optimizer.{number}.{name}": tensor for number, of_one in moments.items() for name, tensor in of_one.items()}
        kept |= {f"network.{name}": parameter.detach() for name, parameter in self.trained.items()}
        return {name: tensor.cpu().contiguous() for name, tensor in kept.items()}

    def take_up(self) -> None:
        """Continue from the newest checkpoint of this training, if the first process finds one."""
        first = self.checkpoints is not None and self.compute.rank == 0
        found = self.checkpoints.latest(self.digest) if first and self.checkpoints else None
        kept: dict[str, Any] | None = agreed({"done": found.step, **found.progress} if found else None)
        if kept:
            self._take_up(kept, agreed_tensors(found.tensors if found else {}, self.compute))

    def _take_up(self, kept: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(tensors[f"network.{name}"])
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith("optimizer."):
                _, number, name = key.split(".")
                moments.setdefault(int(number), {})[name] = tensor
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        self.done, self.loss, self.seconds = kept["done"], kept["loss"], kept["seconds"]
        self.history = [Epoch(**epoch) for epoch in kept["history"]]


def start_from_centroids(network: Network, found: Tensor, targets: Sequence[int], weights: Sequence[float] | None = None) -> None:
    """Set the head so that each label's logit is the scaled cosine to the mean embedding of its rows, seen from the mean of all rows.

    found: the rows' embeddings, (rows, hidden).
    """
    device = network.head.weight.device
    found = found.to(device, torch.float32)
    norm = found.norm(dim=1).mean()
    unit, shares = normalize(found), _weights(weights, len(found), device).unsqueeze(1)
    middle = (unit * shares).sum(0) / shares.sum().clamp(min=TINY)
    sums = torch.zeros_like(network.head.weight)
    sums.index_add_(0, torch.as_tensor(np.asarray(targets), device=device), (unit - middle) * shares)
    directions = CENTROID_SCALE * normalize(sums)
    with torch.no_grad():
        network.head.weight.copy_(directions / norm)
        network.head.bias.copy_(-directions @ middle)


def _weights(weights: Sequence[float] | None, rows: int, device: torch.device) -> Tensor:
    return torch.as_tensor(np.ones(rows) if weights is None else np.asarray(weights), dtype=torch.float32, device=device)


def _own_random_numbers(compute: Compute) -> AbstractContextManager[None]:
    return torch.random.fork_rng([compute.device] if compute.device.type == "cuda" else [])


def _prepare(network: Network, plan: Plan) -> None:
    network.encoder.get_input_embeddings().requires_grad_(not plan.frozen_embeddings)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = plan.dropout


def _groups(trained: Iterable[Tensor], weight_decay: float) -> list[dict[str, object]]:
    """Weight decay on matrices, none on biases and normalisation."""
    parameters = list(trained)
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _slope(step: int, steps: int, warm_up_share: float) -> float:
    """The share of the peak learning rate: linear warm-up, then linear decay to zero."""
    warm_up = max(1, int(steps * warm_up_share))
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return max(0.0, (steps - step) / max(1, steps - warm_up))


def _digest(network: Network, ids: Sequence[Ids], targets: Tensor, weights: Tensor, plan: Plan) -> str:
    """Names one training: its plan, its rows and the weights it starts from."""
    found = hashlib.sha256(json.dumps([LOOP_VERSION, asdict(plan), list(map(len, ids))]).encode())
    for row in ids:
        found.update(np.asarray(row, dtype=np.int32).tobytes())
    for tensor in (targets, weights, *network.state_dict().values()):
        found.update(tensor.detach().cpu().contiguous().numpy().data)
    return found.hexdigest()
