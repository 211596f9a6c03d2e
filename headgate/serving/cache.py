"""Answers that were already given: least recently used first out, keyed by bundle and normalised input."""

import hashlib
from collections import OrderedDict

from headgate.model.filters import normalise
from headgate.model.runtime import Message
from headgate.serving.answers import Answer

MAX_BODY_BYTES = 4_096


class Cache:
    """At most `max_items` answers of one bundle in at most `max_bytes`; belongs to one thread.

    `namespace` is what every key is made with: another namespace never finds these answers.
    A body that was answered with one known answer is remembered too, so that the same bytes need not be read again.
    """

    def __init__(self, bundle_digest: str, max_items: int, max_bytes: int) -> None:
        self.namespace = bundle_digest
        self._digest, self._max_items, self._max_bytes = bundle_digest.encode(), max_items, max_bytes
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()
        self._bodies: OrderedDict[bytes, bytes] = OrderedDict()
        self.bytes = self._body_bytes = 0

    def __len__(self) -> int:
        return len(self._answers)

    def key(self, message: Message) -> bytes:
        """Equal for messages that get equal answers."""
        found = hashlib.blake2b(self._digest, digest_size=16)
        for part in (normalise(message.text), *(part for pair in sorted((message.headers or {}).items()) for part in pair)):
            data = part.encode("utf-8", "surrogatepass")
            found.update(len(data).to_bytes(8, "big") + data)
        return found.digest()

    def get(self, key: bytes) -> Answer | None:
        """The answer, which becomes the most recently used one."""
        if (answer := self._answers.get(key)) is not None:
            self._answers.move_to_end(key)
        return answer

    def of_body(self, body: bytes) -> Answer | None:
        """The answer to a whole body that was seen before."""
        return self.get(key) if (key := self._bodies.get(body)) is not None else None

    def put(self, key: bytes, answer: Answer) -> None:
        """Keep an answer and forget the oldest beyond the size."""
        if (before := self._answers.pop(key, None)) is not None:
            self.bytes -= before.size
        self._answers[key] = answer
        self.bytes += answer.size
        while len(self._answers) > self._max_items or self.bytes > self._max_bytes:
            self.bytes -= self._answers.popitem(last=False)[1].size

    def put_body(self, body: bytes, key: bytes) -> None:
        """Remember that a body asks for the answer of this key and nothing else."""
        if len(body) > MAX_BODY_BYTES or body in self._bodies:
            return
        self._bodies[body] = key
        self._body_bytes += len(body)
        while len(self._bodies) > self._max_items or self._body_bytes > self._max_bytes // 2:
            self._body_bytes -= len(self._bodies.popitem(last=False)[0])
