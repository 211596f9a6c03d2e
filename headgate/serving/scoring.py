"""Micro-batching without a timer: while one batch is scored, arrivals wait; what waits is the next batch."""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from headgate.model.runtime import Message, Runtime, Scored
from headgate.serving.problems import Problem

BATCH = 32

Waiting = tuple[Sequence[Message], "asyncio.Future[list[Scored]]"]


class Scorer:
    """Scores on one thread beside the event loop; refuses work beyond max_waiting messages."""

    def __init__(self, runtime: Runtime, max_waiting: int) -> None:
        self._runtime, self._max_waiting = runtime, max_waiting
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scorer")
        self._queue: deque[Waiting] = deque()
        self._waiting = 0
        self._drain: asyncio.Task[None] | None = None

    async def score(self, messages: Sequence[Message]) -> list[Scored]:
        """Answers in the order of the messages; Problem 429 when too much waits."""
        if self._waiting and self._waiting + len(messages) > self._max_waiting:
            raise Problem(
                429, f"{self._waiting} messages wait already, at most {self._max_waiting} may; try again", headers={"Retry-After": "1"}
            )
        future = asyncio.get_running_loop().create_future()
        self._queue.append((messages, future))
        self._waiting += len(messages)
        if self._drain is None:
            self._drain = asyncio.create_task(self._work())
        answers: list[Scored] = await future
        return answers

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        try:
            while self._queue:
                await self._score_batch(self._next_batch())
        finally:
            self._drain = None

    def _next_batch(self) -> list[Waiting]:
        batch = [self._queue.popleft()]
        size = len(batch[0][0])
        while self._queue and size + len(self._queue[0][0]) <= BATCH:
            batch.append(self._queue.popleft())
            size += len(batch[-1][0])
        return batch

    async def _score_batch(self, batch: list[Waiting]) -> None:
        messages = [message for waiting, _ in batch for message in waiting]
        try:
            answers = iter(await asyncio.get_running_loop().run_in_executor(self._thread, self._runtime.score, messages))
        except Exception as fault:
            for _, future in batch:
                if not future.done():
                    future.set_exception(fault)
        else:
            for waiting, future in batch:
                found = [next(answers) for _ in waiting]
                if not future.done():
                    future.set_result(found)
        finally:
            self._waiting -= len(messages)
