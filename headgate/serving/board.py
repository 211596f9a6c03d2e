"""Where the workers of one server write down what they counted, for each other: anonymous shared memory, made before they start.

Each worker has a slot of two halves and writes them in turn, so that one killed in the middle leaves the other half whole.
A worker that takes the place of a dead one goes on counting from what is written there.
"""

import mmap
import struct
from enum import IntEnum

HALF_BYTES = 2 * 2**20
_HEAD = struct.Struct("<BxxxxxxxQ")  # state, number of the newest writing
_LENGTH = struct.Struct("<Q")
_SLOT_BYTES = 4096 + 2 * HALF_BYTES


class State(IntEnum):
    """What a worker says of itself."""

    STARTING, READY, FAILED = range(3)


class Board:
    """One slot a worker; memory is taken only where something was written."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._memory = mmap.mmap(-1, workers * _SLOT_BYTES)

    def state(self, worker: int) -> State:
        """What the worker said last."""
        return State(self._memory[worker * _SLOT_BYTES])

    def set_state(self, worker: int, state: State) -> None:
        """Say how the worker is."""
        self._memory[worker * _SLOT_BYTES] = state

    def write(self, worker: int, data: bytes) -> bool:
        """Replace what the worker has written; says whether it fits."""
        if len(data) > HALF_BYTES - _LENGTH.size:
            return False
        start = worker * _SLOT_BYTES
        state, number = _HEAD.unpack_from(self._memory, start)
        at = self._half(worker, number + 1)
        self._memory[at + _LENGTH.size : at + _LENGTH.size + len(data)] = data
        _LENGTH.pack_into(self._memory, at, len(data))
        _HEAD.pack_into(self._memory, start, state, number + 1)
        return True

    def read(self, worker: int) -> bytes:
        """What the worker wrote last, empty if nothing yet."""
        data, number, now = b"", -1, self._number(worker)
        while number != now:
            number, at = now, self._half(worker, now)
            length = _LENGTH.unpack_from(self._memory, at)[0]
            data = self._memory[at + _LENGTH.size : at + _LENGTH.size + length]
            now = self._number(worker)
        return data

    def _number(self, worker: int) -> int:
        return int(_HEAD.unpack_from(self._memory, worker * _SLOT_BYTES)[1])

    def _half(self, worker: int, number: int) -> int:
        return worker * _SLOT_BYTES + 4096 + (number % 2) * HALF_BYTES
