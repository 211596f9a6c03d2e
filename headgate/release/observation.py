"""What one cohort of an endpoint answered in a while: the counts that a rollout is judged by."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import Field

from headgate.record import Record

BOUNDS_A_DECADE = 96  # 2.4% apart: a ratio of two latencies is known to one bound
LATENCY_BOUNDS_MS = tuple(float(f"{10 ** (step / BOUNDS_A_DECADE):.4g}") for step in range(-BOUNDS_A_DECADE, 5 * BOUNDS_A_DECADE + 1))


class Corrections(Record):
    """What users said of one cohort's answers within wait_s seconds of each; answers that are younger do not count yet."""

    wait_s: float
    answers: int = Field(0, description="answers of the classifier that are old enough")
    corrected: int = Field(0, description="of those, how many got another label")
    confirmed: int = Field(0, description="of those, how many got the same label")


class Observation(Record):
    """What one cohort answered in the last window_s seconds; a request is one scored text, or one failed call."""

    cohort: str
    window_s: float
    requests: int = 0
    errors: int = Field(0, description="calls that ended in a 5xx or reached no server")
    latency_ms: dict[str, int] = Field(
        default_factory=dict,
        description="uncached answers by upper bound in milliseconds; empty ones are left out, above the last is 'inf'",
    )
    labels: dict[str, int] = Field(default_factory=dict)
    confidence: float | None = Field(None, description="mean score of the answers that have one")
    scored: int = Field(0, description="answers that have a score")
    abstained: int = 0
    corrections: Corrections | None = Field(None, description="None where nobody looked for them")

    @property
    def answered(self) -> int:
        """Requests that were answered."""
        return self.requests - self.errors


class Answers(NamedTuple):
    """All that was logged of a while. lines: of the prediction log; failed: calls without an answer, by cohort.

    corrections: the label that a user gave last in that while, by prediction id.
    """

    lines: Iterable[Mapping[str, Any]]
    failed: Mapping[str, int]
    corrections: Mapping[str, str]
