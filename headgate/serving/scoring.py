"""Micro-batching without a timer: while one batch is scored, arrivals wait; what waits is the next batch."""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from headgate.model.runtime import Message, Runtime
from headgate.serving.answers import Answer, text_field
from headgate.serving.config import LogText
from headgate.serving.problems import Problem

BATCH = 32
CLOSE_TIMEOUT_S = 10.0

Soon = Callable[..., Any]


class Job:
    """Messages of one request, and what becomes of them."""

    __slots__ = ("answers", "done", "fault", "gone", "left", "messages")

    def __init__(self, messages: Sequence[Message], done: Callable[["Job"], None], gone: Callable[[], bool]) -> None:
        self.messages, self.done, self.gone = messages, done, gone
        self.answers: list[Answer | None] = [None] * len(messages)
        self.left = len(messages)
        self.fault: Exception | None = None


class Scorer:
    """Scores on one thread beside the event loop; refuses work beyond max_waiting messages."""

    def __init__(self, runtime: Runtime, max_waiting: int, log_text: LogText, soon: Soon, batched: Callable[[int], None]) -> None:
        """`soon(function, *arguments)` calls a function on the event loop's thread."""
        self._runtime, self._max_waiting, self._log_text = runtime, max_waiting, log_text
        self._soon, self._batched = soon, batched
        self._queue: SimpleQueue[tuple[Job, int] | None] = SimpleQueue()
        self.waiting = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="scorer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Score a job; its `done` is called with it, once. Problem 429 when too much waits."""
        size = len(job.messages)
        if self.waiting and self.waiting + size > self._max_waiting:
            detail = f"{self.waiting} messages wait already, at most {self._max_waiting} may; try again"
            raise Problem(429, detail, headers={"Retry-After": "1"})
        self.waiting += size
        for row in range(size):
            self._queue.put((job, row))

    def close(self) -> None:
        """Score nothing more, and let the thread end after the batch at hand."""
        self._closed = True
        self._queue.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _work(self) -> None:
        ended = False
        while not (ended or self._closed):
            batch = [self._queue.get(), *self._next()]
            ended = None in batch
            units = [unit for unit in batch if unit is not None]
            finished = self._score([(job, row) for job, row in units if not job.gone()])
            if not self._closed:
                self._soon(self._deliver, finished, len(units))

    def _next(self) -> list[tuple[Job, int] | None]:
        found: list[tuple[Job, int] | None] = []
        while len(found) < BATCH - 1:
            try:
                found.append(self._queue.get_nowait())
            except Empty:
                break
        return found

    def _score(self, units: list[tuple[Job, int]]) -> list[Job]:
        """Score the units, one by one where the batch fails, so that a request fails for its own messages only."""
        try:
            answers = self._answers([job.messages[row] for job, row in units])
        except Exception as fault:
            if len(units) > 1:
                return [job for unit in units for job in self._score([unit])]
            units[0][0].fault = fault
            answers = [None]
        finished = []
        for (job, row), answer in zip(units, answers, strict=True):
            job.answers[row] = answer
            job.left -= 1
            if not job.left:
                finished.append(job)
        return finished

    def _answers(self, messages: list[Message]) -> list[Answer | None]:
        scored = self._runtime.score(messages) if messages else []
        return [Answer(one, text_field(self._log_text, message)) for message, one in zip(messages, scored, strict=True)]

    def _deliver(self, finished: list[Job], units: int) -> None:
        self.waiting -= units
        self._batched(units)
        for job in finished:
            job.done(job)
