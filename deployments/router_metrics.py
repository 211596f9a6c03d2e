"""The router's own numbers for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from deployments.target import Split


class RouterMetrics:
    """The router's own numbers, in Prometheus' format."""

    def __init__(self, endpoint: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        names = ["endpoint", "cohort", "release"]
        self._requests = Counter("headgate_router_requests_total", "Calls by answer", [*names, "status"], registry=self.registry)
        self._seconds = Histogram("headgate_router_seconds", "Time to the answer", names, registry=self.registry)
        self._fallbacks = Counter(
            "headgate_router_fallbacks_total", "Challenger's calls answered by the champion", ["endpoint"], registry=self.registry
        )
        self._dropped = Counter(
            "headgate_router_shadow_dropped_total", "Calls not mirrored, too many at once", ["endpoint"], registry=self.registry
        )
        self._weight = Gauge("headgate_router_weight_percent", "Share of the calls", ["endpoint", "cohort"], registry=self.registry)
        self._endpoint = endpoint
        self._fallbacks.labels(endpoint)  # shown as 0 until there is one
        self._dropped.labels(endpoint)

    def answered(self, cohort: str, release: str, status: int, seconds: float) -> None:
        """Count one answer of a server; status 0 stands for none."""
        self._requests.labels(self._endpoint, cohort, release, status).inc()
        self._seconds.labels(self._endpoint, cohort, release).observe(seconds)

    def fell_back(self) -> None:
        """Count a call that the champion answered in the challenger's place."""
        self._fallbacks.labels(self._endpoint).inc()

    def dropped(self) -> None:
        """Count a call that was not mirrored."""
        self._dropped.labels(self._endpoint).inc()

    def weights(self, split: Split) -> None:
        """Show the split."""
        for cohort, percent in split.model_dump().items():
            self._weight.labels(self._endpoint, cohort).set(percent)
