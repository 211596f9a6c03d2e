"""Arithmetic of a training step, counted, and what this machine's matrix product reaches, measured (run as a child by training.py)."""

import json
import time
from dataclasses import dataclass
from typing import Any

SIZES = {"cuda": (4096, 6144, 8192), "cpu": (1024, 2048)}
REPEATS = 5


@dataclass(frozen=True, slots=True)
class Encoder:
    """What an encoder's arithmetic depends on."""

    layers: int
    hidden: int
    intermediate: int

    @classmethod
    def of(cls, config: dict[str, Any]) -> "Encoder":
        """From the words of a Hugging Face config.json."""
        return cls(config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"])


def training_flops(encoder: Encoder, labels: int, tokens: float, squares: float) -> float:
    """Floating-point operations of one example's training step, padding not counted: useful work only.

    tokens: of the example; squares: its square (means over rows when rows differ). Forward: 2 for each weight of a matrix that a
    token meets, and 4 * hidden for each pair of tokens in each layer (scores and weighted sum); backward twice that. So 6 N + 12 L H Q T
    a token, as in Chowdhery et al. 2022 (PaLM, arXiv:2204.02311, appendix B), after Kaplan et al. 2020 (arXiv:2001.08361, section 2.1).
    Embedding look-ups, normalisation, activation functions and the optimizer count nothing.
    """
    weights = encoder.layers * (4 * encoder.hidden**2 + 2 * encoder.hidden * encoder.intermediate)
    pairs = 4 * encoder.layers * encoder.hidden * squares
    return 3.0 * (2 * weights * tokens + pairs + 2 * encoder.hidden * labels)


def matmul_ceiling(device: str, bf16: bool) -> float:
    """The best FLOP/s of square matrix products of SIZES, each repeated; on a CPU a CPU-second, which neighbours disturb less."""
    import torch

    kind = torch.bfloat16 if bf16 else torch.float32
    best = 0.0
    for size in SIZES[device]:
        left, right = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
        for _ in range(REPEATS):
            seconds = _seconds(lambda left=left, right=right: left @ right, device)
            best = max(best, 2 * size**3 / seconds)
    return best


def _seconds(work: Any, device: str) -> float:
    import torch

    wait, clock = (torch.cuda.synchronize, time.perf_counter) if device == "cuda" else (lambda: None, time.process_time)
    work()
    wait()
    started = clock()
    work()
    wait()
    return clock() - started


if __name__ == "__main__":
    from training_job import read_job

    job = read_job()
    print(json.dumps({"flops": matmul_ceiling(job["device"], job["precision"] == "bf16")}))
