"""The training loop: plain PyTorch, deterministic for a seed on one machine.

Texts are tokenised once, batches hold rows of similar length, token embeddings stay frozen, and the head starts
from the mean embedding of each label, so that the first step already classifies like nearest-centroid.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from headgate.errors import Terminal
from headgate.model.network import Network
from headgate.model.runtime import truncate_ids

LABEL_SMOOTHING = 0.1
WARM_UP_SHARE = 0.1
WEIGHT_DECAY = 0.01
MAX_GRADIENT_NORM = 1.0
DROPOUT = 0.0  # a few epochs gain nothing from it, and on a CPU it takes a quarter of the time
CENTROID_SCALE = 8.0
SORTED_BATCHES = 32
SCORED_TOKENS = 4_096
PADDED_TO = 4

Ids = Sequence[int]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the rows: its number of `epochs`, mean loss, seconds and examples a second."""

    number: int
    epochs: int
    loss: float
    seconds: float
    examples_per_second: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how large and how fast the loop steps."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int


@dataclass(frozen=True, slots=True)
class Compute:
    """Where the arithmetic happens, in which precision, and which attention is fastest there."""

    device: torch.device
    bf16: bool
    attention: str

    def autocast(self) -> AbstractContextManager[None]:
        """bf16 matrix products where the processor has them."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)


def choose_compute() -> Compute:
    """A GPU with SDPA if there is one, otherwise the CPU, where plain matmul attention trains many times faster."""
    if torch.cuda.is_available():
        return Compute(torch.device("cuda"), torch.cuda.is_bf16_supported(), "sdpa")
    return Compute(torch.device("cpu"), torch.cpu._is_avx512_bf16_supported(), "eager")


def tokenise(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of each text with its special tokens; longer ones keep head and tail."""
    encodings = tokenizer.encode_batch(list(texts))
    return [truncate_ids(encoding.ids, max_length) for encoding in encodings]


def train(
    network: Network, ids: Sequence[Ids], targets: Sequence[int], plan: Plan, progress: Callable[[Epoch], None] | None = None
) -> tuple[Epoch, ...]:
    """Fit the network in place; targets index the head's rows. Raises Terminal if the loss stops being a number."""
    compute = choose_compute()
    network.to(compute.device)
    history: list[Epoch] = []
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(plan.seed)
        start_from_centroids(network, ids, targets, compute)
        _freeze_token_embeddings(network)
        _set_dropout(network)
        optimizer = torch.optim.AdamW(_groups(network), lr=plan.learning_rate, fused=True)
        steps = plan.epochs * -(-len(ids) // plan.batch_size)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, _Slope(steps))
        for number in range(1, plan.epochs + 1):
            history.append(_one_epoch(network, ids, targets, plan, number, compute, optimizer, scheduler))
            if progress:
                progress(history[-1])
    network.eval()
    return tuple(history)


def _one_epoch(
    network: Network,
    ids: Sequence[Ids],
    targets: Sequence[int],
    plan: Plan,
    number: int,
    compute: Compute,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> Epoch:
    started, total = time.perf_counter(), 0.0
    wanted = torch.as_tensor(np.asarray(targets), device=compute.device)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.train()
    for step, rows in enumerate(batches([len(i) for i in ids], plan.batch_size, plan.seed + number), start=1):
        with compute.autocast():
            logits = network(*padded([ids[r] for r in rows], compute.device))
        loss = cross_entropy(logits, wanted[rows], label_smoothing=LABEL_SMOOTHING)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, MAX_GRADIENT_NORM)
        optimizer.step()
        scheduler.step()
        total += _finite(loss, number, step, plan.learning_rate) * len(rows)
    seconds = time.perf_counter() - started
    return Epoch(number, plan.epochs, total / len(ids), seconds, len(ids) / seconds)


def _finite(loss: Tensor, epoch: int, step: int, learning_rate: float) -> float:
    value = loss.item()
    if not np.isfinite(value):
        raise Terminal(f"training diverged: loss {value} in epoch {epoch}, step {step}; try a learning rate below {learning_rate:g}")
    return value


def batches(lengths: Sequence[int], batch_size: int, seed: int) -> list[list[int]]:
    """Row numbers of one epoch: shuffled, then grouped by length within pools of batches, then shuffled as batches."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(lengths)).tolist()
    pool = batch_size * SORTED_BATCHES
    grouped = [sorted(order[i : i + pool], key=lengths.__getitem__) for i in range(0, len(order), pool)]
    found = [rows[i : i + batch_size] for rows in grouped for i in range(0, len(rows), batch_size)]
    generator.shuffle(found)
    return found


def padded(ids: Sequence[Ids], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and attention mask of one batch, int64, padded on the right with 0 to the longest row.

    Widths are multiples of PADDED_TO, since a CPU prepares its kernels anew for each shape.
    """
    longest = -(-max(len(row) for row in ids) // PADDED_TO) * PADDED_TO
    table = np.zeros((2, len(ids), longest), dtype=np.int64)
    for number, row in enumerate(ids):
        table[0, number, : len(row)] = row
        table[1, number, : len(row)] = 1
    tensor = torch.from_numpy(table).to(device, non_blocking=True)
    return tensor[0], tensor[1]


def scoring_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Row numbers by rising length, at most about SCORED_TOKENS padded tokens a batch."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and (len(rows) + 1) * lengths[row] > SCORED_TOKENS:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def start_from_centroids(network: Network, ids: Sequence[Ids], targets: Sequence[int], compute: Compute) -> None:
    """Set the head so that each label's logit is the scaled cosine to the mean embedding of its rows, seen from the mean of all rows."""
    embeddings = _embeddings(network, ids, compute)
    norm = embeddings.norm(dim=1).mean()
    unit = normalize(embeddings)
    middle = unit.mean(0)
    sums = torch.zeros_like(network.head.weight)
    sums.index_add_(0, torch.as_tensor(np.asarray(targets), device=compute.device), unit - middle)
    directions = CENTROID_SCALE * normalize(sums)
    with torch.no_grad():
        network.head.weight.copy_(directions / norm)
        network.head.bias.copy_(-directions @ middle)


def _embeddings(network: Network, ids: Sequence[Ids], compute: Compute) -> Tensor:
    network.eval()
    embeddings = torch.zeros(len(ids), network.head.in_features, device=compute.device)
    with torch.no_grad(), compute.autocast():
        for rows in scoring_batches([len(i) for i in ids]):
            embeddings[rows] = network.embed(*padded([ids[r] for r in rows], compute.device))
    return embeddings


def _freeze_token_embeddings(network: Network) -> None:
    network.encoder.get_input_embeddings().requires_grad_(False)


def _set_dropout(network: Network) -> None:
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = DROPOUT


def _groups(network: Network) -> list[dict[str, object]]:
    """Weight decay on matrices, none on biases and normalisation."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


class _Slope:
    """Linear warm-up, then linear decay to zero."""

    def __init__(self, steps: int) -> None:
        self.steps, self.warm_up = steps, max(1, int(steps * WARM_UP_SHARE))

    def __call__(self, step: int) -> float:
        if step < self.warm_up:
            return (step + 1) / (self.warm_up + 1)
        return max(0.0, (self.steps - step) / max(1, self.steps - self.warm_up))
