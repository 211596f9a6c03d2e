"""Answers that were already given: least recently used first out, keyed by bundle and normalised input."""

import hashlib
from collections import OrderedDict

from headgate.model.filters import normalise
from headgate.model.runtime import Message, Scored


class Cache:
    """At most `size` answers of one bundle; belongs to one thread."""

    def __init__(self, bundle_digest: str, size: int) -> None:
        self._digest, self._size = bundle_digest.encode(), size
        self._answers: OrderedDict[bytes, Scored] = OrderedDict()

    def key(self, message: Message) -> bytes:
        """Equal for messages that get equal answers."""
        found = hashlib.blake2b(self._digest, digest_size=16)
        for part in (normalise(message.text), *(part for pair in sorted((message.headers or {}).items()) for part in pair)):
            data = part.encode("utf-8", "surrogatepass")
            found.update(len(data).to_bytes(8, "big") + data)
        return found.digest()

    def get(self, key: bytes) -> Scored | None:
        """The answer, which becomes the most recently used one."""
        if (answer := self._answers.get(key)) is not None:
            self._answers.move_to_end(key)
        return answer

    def put(self, key: bytes, answer: Scored) -> None:
        """Keep an answer and forget the oldest beyond the size."""
        self._answers[key] = answer
        self._answers.move_to_end(key)
        while len(self._answers) > self._size:
            self._answers.popitem(last=False)
