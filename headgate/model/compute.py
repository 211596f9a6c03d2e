"""Where the arithmetic happens: device, precision and attention of this machine, and this process's place among torchrun's."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class Compute:
    """The device, whether encoders train in bf16, which attention is fastest there, and the rank of `world` processes."""

    device: torch.device
    bf16: bool
    attention: str
    rank: int = 0
    world: int = 1

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum of this tensor over all processes, in place; every process has to ask."""
        if self.world > 1:
            distributed.all_reduce(tensor)
        return tensor


def choose_compute() -> Compute:
    """A GPU with SDPA if there is one, otherwise the CPU, where plain matmul attention trains many times faster."""
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if _together() else (0, 1)
    if torch.cuda.is_available():
        return Compute(torch.device("cuda", torch.cuda.current_device()), torch.cuda.is_bf16_supported(), "sdpa", rank, world)
    return Compute(torch.device("cpu"), torch.cpu._is_avx512_bf16_supported(), "eager", rank, world)


@contextmanager
def joined() -> Iterator[int]:
    """Work together with the processes that torchrun started beside this one, if it did; this one's rank.

    After an error the group is left as it is: taking leave would wait for the others, and torchrun ends them once this process is gone.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield 0
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    yield distributed.get_rank()
    distributed.destroy_process_group()


def agreed(value: Any) -> Any:
    """What the first process says, in every process: a plain JSON value, so that all decide alike."""
    if not _together():
        return value
    compute = choose_compute()
    content = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8)
    length = _from_first(torch.tensor(len(content)), compute)
    if compute.rank:
        content = torch.empty(int(length.item()), dtype=torch.uint8)
    return json.loads(bytes(_from_first(content, compute).tolist()))


def agreed_tensors(tensors: Mapping[str, Tensor], compute: Compute) -> dict[str, Tensor]:
    """The first process's tensors, in every process, on the device of `compute`."""
    shapes = agreed([(name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)) for name, tensor in tensors.items()])
    if compute.rank:
        tensors = {name: torch.empty(shape, dtype=getattr(torch, dtype)) for name, dtype, shape in shapes}
    return {name: _from_first(tensors[name], compute) for name, _, _ in shapes}


def _from_first(tensor: Tensor, compute: Compute) -> Tensor:
    found = tensor.to(compute.device)
    if compute.world > 1:
        distributed.broadcast(found, src=0)
    return found


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
