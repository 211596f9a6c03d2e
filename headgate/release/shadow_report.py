"""What a candidate said to copies of production's requests, beside what the champion said to the same ones: the records.

`Answer`, `Pair` and `Mirrored` are what a target saw. `ShadowReport` is what is kept, and shown on the evidence page.
"""

from typing import NamedTuple

from pydantic import Field

from headgate.evaluation.report import Verdict
from headgate.record import Record
from headgate.release.rollout import Finding

SKIPPED = "(skipped)"  # stands for a label where a filter left the text out


class Answer(NamedTuple):
    """One answer to one text. latency_ms: from the request's arrival at the model's server to its answer; second: when, since 1970."""

    prediction_id: str
    label: str | None
    outcome: str
    latency_ms: float
    cached: bool
    second: int = 0

    @property
    def said(self) -> str:
        """The label, or that the text was skipped."""
        return SKIPPED if self.label is None else self.label


class Pair(NamedTuple):
    """Both answers to one text of one request."""

    champion: Answer
    challenger: Answer


class Mirrored(NamedTuple):
    """What an endpoint's log says of mirrored requests in a while; counts are of texts, errors of calls.

    unpaired: texts of which one answer is missing in the log, because it failed or is under way. dropped: calls that were not
    mirrored because too many copies were under way, counted since the router started.
    """

    pairs: tuple[Pair, ...] = ()
    unpaired: int = 0
    errors: int = 0
    champion_requests: int = 0
    champion_errors: int = 0
    dropped: int = 0


class Latency(Record):
    """Latency of one side, over the pairs that neither side answered from its cache."""

    answers: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Disagreement(Record):
    """One text that both answered differently; the text itself is in the log alone."""

    champion_id: str
    challenger_id: str
    champion: str
    challenger: str


class ShadowReport(Record):
    """How a shadow went. `matrix[i][j]` counts texts that the champion called label i and the challenger label j.

    A shadow that was not made has `skipped`, which says why, and no verdict. `low` to `high` holds the true agreement in 9 of 10 cases.
    """

    verdict: Verdict | None = None
    reason: str = ""
    skipped: str = ""
    endpoint: str = ""
    champion: str | None = None
    sampling_percentage: int = 0
    min_requests: int = 0
    duration_s: float = 0.0
    pairs: int = 0
    unpaired: int = 0
    errors: int = 0
    champion_requests: int = 0
    champion_errors: int = 0
    dropped: int = 0
    agreement: float | None = None
    low: float | None = None
    high: float | None = None
    labels: tuple[str, ...] = ()
    matrix: tuple[tuple[int, ...], ...] = ()
    champion_abstained: int = 0
    challenger_abstained: int = 0
    champion_latency: Latency | None = None
    challenger_latency: Latency | None = None
    findings: tuple[Finding, ...] = ()
    disagreements: tuple[Disagreement, ...] = Field((), description="the first of them")

    @property
    def disagreed(self) -> int:
        """Texts that both answered differently."""
        return self.pairs - sum(self.matrix[i][i] for i in range(len(self.labels)))

    def most_disagreed(self, most: int = 5) -> list[tuple[str, str, int]]:
        """The champion's label, the challenger's, and how often; the most frequent first."""
        cells = [(self.labels[i], self.labels[j], count) for i, row in enumerate(self.matrix) for j, count in enumerate(row) if i != j]
        return sorted((cell for cell in cells if cell[2]), key=lambda cell: (-cell[2], cell[:2]))[:most]
