"""LitServe with a transformers pipeline and dynamic batching as its documentation shows them."""

import os

import litserve
from transformers import pipeline


class Classifier(litserve.LitAPI):
    """Text classification by a transformers pipeline; 8 texts at a time, where `pipeline()` is fastest on a CPU."""

    def setup(self, device: str) -> None:
        """Load the model, once in each worker."""
        self.pipeline = pipeline("text-classification", model=os.environ["BENCH_MODEL"], trust_remote_code=True, device=device)

    def decode_request(self, request: dict[str, str]) -> str:
        """The text of a body."""
        return request["text"]

    def predict(self, texts: list[str]) -> list[dict[str, str | float]]:
        """Label and score of each text."""
        found: list[dict[str, str | float]] = self.pipeline(texts, batch_size=8)
        return found

    def encode_response(self, output: dict[str, str | float]) -> dict[str, str | float]:
        """The body of an answer."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(max_batch_size=8, batch_timeout=0.01), accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), generate_client_file=False)
