"""What Prometheus (or any reader of its text format) sees of one serving process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from headgate.model.runtime import Scored

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SCORES = tuple(step / 20 for step in range(1, 21))


class Metrics:
    """Counters of requests, predictions and cache, all by model, release and cohort."""

    def __init__(self, model: str, release: str, bundle_digest: str) -> None:
        self._registry, self._model, self._release = CollectorRegistry(), model, release
        self._requests = self._counter("headgate_requests", "Requests to /invocations by HTTP status", "status")
        self._seconds = self._histogram("headgate_request_seconds", "Time from request to answer", SECONDS)
        self._predictions = self._counter("headgate_predictions", "Answers", "label", "outcome", "reason")
        self._score = self._histogram("headgate_score", "Probability of the answered label", SCORES)
        self._cache = self._counter("headgate_cache", "Looked up answers by result: hit or miss", "result")
        self._dropped = Gauge("headgate_log_dropped", "Predictions that the log could not take", registry=self._registry)
        info = Gauge("headgate_serving", "The bundle that is served", ["model", "release", "bundle_digest"], registry=self._registry)
        info.labels(model, release, bundle_digest).set(1)

    def answered(self, cohort: str, status: int, seconds: float) -> None:
        """Count one request and its time."""
        self._requests.labels(self._model, self._release, cohort, str(status)).inc()
        self._seconds.labels(self._model, self._release, cohort).observe(seconds)

    def predicted(self, cohort: str, answer: Scored, cached: bool | None) -> None:
        """Count one prediction; cached is None where the cache was off."""
        self._predictions.labels(self._model, self._release, cohort, answer.label or "", answer.outcome, answer.reason or "").inc()
        if answer.score is not None:
            self._score.labels(self._model, self._release, cohort).observe(answer.score)
        if cached is not None:
            self._cache.labels(self._model, self._release, cohort, "hit" if cached else "miss").inc()

    def text(self, log_dropped: int) -> bytes:
        """Everything in Prometheus' text format."""
        self._dropped.set(log_dropped)
        return generate_latest(self._registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, ["model", "release", "cohort", *labels], registry=self._registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, help_text, ["model", "release", "cohort"], registry=self._registry, buckets=buckets)
