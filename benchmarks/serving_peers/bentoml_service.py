"""A BentoML service with adaptive batching as its documentation shows it: `bentoml serve bentoml_service:Classifier`."""

import os

import bentoml
from transformers import pipeline


@bentoml.service(workers=2, traffic={"timeout": 60})
class Classifier:
    """Text classification by a transformers pipeline."""

    def __init__(self) -> None:
        self.pipeline = pipeline("text-classification", model=os.environ["BENCH_MODEL"], trust_remote_code=True, device="cpu")

    @bentoml.api(batchable=True)
    def classify(self, texts: list[str]) -> list[dict[str, str | float]]:
        """Label and score of each text; 8 at a time, where `pipeline()` is fastest on a CPU."""
        found: list[dict[str, str | float]] = self.pipeline(texts, batch_size=8)
        return found
