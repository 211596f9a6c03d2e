"""LitServe with Headgate's engine: the same `Runtime` of the same bundle, and the same answer, behind LitServe's server."""

import os
from dataclasses import asdict
from typing import Any

import litserve

from headgate.model.runtime import Message, Runtime, Scored


class Classifier(litserve.LitAPI):
    """Text classification by a Headgate bundle, batching what is queued as Headgate does, without a timer."""

    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe passes it
        """Load the bundle, once in each worker."""
        self.runtime = Runtime.load(os.environ["BENCH_BUNDLE"])

    def decode_request(self, request: dict[str, str]) -> Message:
        """The message of a body."""
        return Message(request["text"])

    def predict(self, messages: list[Message]) -> list[Scored]:
        """The answer of each message."""
        return self.runtime.score(messages)

    def encode_response(self, output: Scored) -> dict[str, Any]:
        """The body of an answer."""
        return asdict(output)


if __name__ == "__main__":
    api = Classifier(max_batch_size=32, batch_timeout=float(os.environ.get("BENCH_BATCH_TIMEOUT_S", "0")))
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), generate_client_file=False)
