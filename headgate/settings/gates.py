"""What a candidate must reach."""

from typing import Annotated

from pydantic import Field

from headgate.settings.section import Section, Share


class Gates(Section):
    """Thresholds of the regression test; a candidate that breaks one is stopped."""

    min_accuracy: Share = 0.0
    min_macro_f1: Share = 0.0
    min_coverage: Share = Field(0.5, description="smallest share of rows that must be scored, neither skipped nor abstained")
    max_accuracy_drop: Share = Field(0.02, description="non-inferiority margin against the champion on the same rows")
    max_macro_f1_drop: Share = 0.03
    max_label_recall_drop: Share = Field(
        0.10, description="one label's recall against the champion; a larger drop stops unless chance explains it"
    )
    slices: tuple[str, ...] = Field(
        ("length",), description="columns of the regression rows whose values are judged as labels are; also: length, language"
    )
    max_slice_accuracy_drop: Share = Field(0.10, description="accuracy on one slice's rows against the champion, as for one label")
    false_stop_share: float = Field(
        0.05, gt=0, lt=0.5, description="of candidates as good as the champion, so many may be stopped by chance, over all comparisons"
    )
    behaviour_tolerance: Share = Field(0.1, description="share of the rows of a behavioural test that may fall, where its rows say none")


class LoadTest(Section):
    """Arrivals against staging and what they may cost: docs/load-test.md."""

    rate_per_s: float = Field(20.0, gt=0, description="requests a second to each model")
    duration_s: float = Field(15.0, gt=0, description="with the cache off; a minute to hours")
    warm_up_s: float = Field(2.0, ge=0, description="sent before each part, and left out of it")
    cached_duration_s: float = Field(3.0, ge=0, description="with the cache on; 0 leaves it out")
    max_p50_ms: float = Field(250.0, gt=0)
    max_p95_ms: float = Field(500.0, gt=0)
    max_p99_ms: float = Field(1000.0, gt=0)
    max_error_rate: Share = 0.001
    max_p50_ratio: float = Field(1.25, gt=1, description="latency against the champion's in the same run")
    max_p95_ratio: float = Field(1.75, gt=1)
    max_p99_ratio: float = Field(2.5, gt=1)
    latency_allowance_ms: float = Field(2.0, ge=0, description="a smaller difference to the champion is noise")
    min_saturation_per_s: float = Field(0.0, ge=0, description="good answers a second that the endpoint must reach")
    min_saturation_ratio: Share = Field(0.7, description="of what the champion reaches in the same run")
    stairs_max_steps: int = Field(6, ge=0, description="steps of rising rate for each model; 0 leaves them out")
    stairs_step_s: float = Field(1.0, gt=0)
    stairs_factor: float = Field(3.0, gt=1, description="from one rate to the next, until one is not sustained")
    max_memory_growth: float = Field(0.1, ge=0, description="share by which the server's memory may grow over the run; 0: not judged")
    processes: int = Field(1, ge=1, description="Locust processes that send")
    remote_workers: int = Field(0, ge=0, description="Locust workers on other machines that send in their place")
    master: Annotated[str, Field(pattern=r"^[^:\s]+:\d{1,5}$")] = Field("127.0.0.1:5557", description="where remote workers find the test")
    cost_per_hour: float | None = Field(None, ge=0, description="of one instance like the measured one, for the cost on the evidence page")
    currency: str = Field("USD", description="of cost_per_hour")
