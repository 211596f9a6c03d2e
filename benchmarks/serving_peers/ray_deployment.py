"""A Ray Serve deployment with `serve.batch` as its documentation shows it: `python ray_deployment.py`.

More requests may be under way in a replica than the default of 5: otherwise no batch could fill.
"""

import os

import ray
from ray import serve
from starlette.requests import Request
from transformers import pipeline


@serve.deployment(num_replicas=2, max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
class Classifier:
    """Text classification by a transformers pipeline."""

    def __init__(self) -> None:
        self.pipeline = pipeline("text-classification", model=os.environ["BENCH_MODEL"], trust_remote_code=True, device="cpu")

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.01)
    async def classify(self, texts: list[str]) -> list[dict[str, str | float]]:
        """Label and score of each text; 8 at a time, where `pipeline()` is fastest on a CPU."""
        found: list[dict[str, str | float]] = self.pipeline(texts, batch_size=8)
        return found

    async def __call__(self, request: Request) -> dict[str, str | float]:
        """Answer one request."""
        found: dict[str, str | float] = await self.classify((await request.json())["text"])
        return found


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200_000_000)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["BENCH_PORT"])})
    serve.run(Classifier.bind(), blocking=True)
