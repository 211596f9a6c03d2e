"""The typed records of an evaluation: what was measured, on which rows, and what the gates said."""

from typing import Literal

from headgate.data.version import DataVersion
from headgate.record import Record

Verdict = Literal["passed", "failed", "error", "inconclusive"]
Outcome = Literal["scored", "skipped", "abstained"]


class LabelMetrics(Record):
    """One label against all others. A ratio over nothing is 0, as in scikit-learn."""

    label: str
    support: int
    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float
    recall: float
    f1: float


class Level(Record):
    """Quality at one level of the labels; `confusion[i][j]` counts rows of label i that were called label j.

    Accuracy is over rows that got a label; macro-F1 is the mean over labels with at least one such row.
    """

    accuracy: float
    macro_f1: float
    labels: tuple[LabelMetrics, ...]
    label_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]


class ScoreBin(Record):
    """Rows whose score lies in one tenth of 0 to 1: their mean score, and the share that was right."""

    low: float
    rows: int
    score: float
    accuracy: float


class Metrics(Level):
    """Quality of one model on one set of rows. A skipped row counts as coverage only, an abstained one keeps its label."""

    rows: int
    scored: int
    abstained: int
    skipped: int
    coverage: float
    top: Level | None = None
    calibration: tuple[ScoreBin, ...] = ()

    @property
    def labelled(self) -> int:
        """Rows that got a label."""
        return self.scored + self.abstained


class Change(Record):
    """One quantity of candidate and champion; `low` to `high` holds the true difference in 9 of 10 such tests."""

    candidate: float
    champion: float
    difference: float
    low: float
    high: float
    detectable: float | None = None  # smallest drop, as a share, that this many rows would have shown 4 times of 5


class LabelChange(Record):
    """One label's recall on the paired rows of that label.

    `harmful` counts rows that only the champion got right. `p_value` is McNemar's exact one, two-sided. `p_drop` is the one-sided p value
    that the recall did not drop at all (`headgate.evaluation.drops`), corrected over all labels by Holm (1979).
    """

    label: str
    rows: int
    harmful: int = 0
    recall: Change
    p_value: float
    p_drop: float | None = None
    verdict: Verdict = "inconclusive"


class SliceChange(Record):
    """Share of right answers on the rows of one slice (a column's value, such as language = de), judged as a label is."""

    column: str
    value: str
    rows: int
    harmful: int = 0
    accuracy: Change
    p_value: float
    p_drop: float | None = None
    verdict: Verdict = "inconclusive"


class BehaviourCase(Record):
    """One behavioural test that was not met: the text, the changed text, and what was said of both."""

    text: str
    changed: str
    said: str
    said_of_changed: str


class Behaviour(Record):
    """One kind of behavioural test (Ribeiro et al. 2020, CheckList): how many of its rows fell, and what is tolerated."""

    name: str
    kind: Literal["invariance", "directional"]
    rows: int
    fell: int
    champion_fell: int | None
    tolerance: float  # share of the rows that may fall
    verdict: Verdict
    cases: tuple[BehaviourCase, ...] = ()


class Comparison(Record):
    """Candidate and champion on the rows that both gave a label. Harmful: only the champion was right; beneficial: only the candidate."""

    rows: int
    harmful: int
    beneficial: int
    p_value: float
    accuracy: Change
    macro_f1: Change
    labels: tuple[LabelChange, ...]
    slices: tuple[SliceChange, ...] = ()
    slices_left_out: tuple[str, ...] = ()  # columns that were asked for and could not be told, each with the reason


class GateResult(Record):
    """What one gate expected and found."""

    name: str
    verdict: Verdict
    expected: str
    found: str
    detail: str = ""


class DataCheck(Record):
    """One data check with what it found."""

    name: str
    severity: Literal["critical", "warning"]
    passed: bool
    detail: str


class Flip(Record):
    """A row that one model got right and the other wrong."""

    id: str
    text: str
    label: str
    champion: str
    champion_score: float
    candidate: str
    candidate_score: float


class Subject(Record):
    """What was tested: a candidate for release, the live champion again, or any bundle by hand."""

    role: Literal["candidate", "champion", "bundle"]
    model: str
    bundle_digest: str


class Report(Record):
    """A regression test. `pictures` are file names beside the report; flips are the surest mistakes first."""

    subject: Subject
    data: DataVersion
    candidate: Metrics
    champion: Metrics | None = None
    floor: Metrics | None = None
    paired: Comparison | None = None
    paired_floor: Comparison | None = None
    behaviours: tuple[Behaviour, ...] = ()
    gates: tuple[GateResult, ...]
    verdict: Verdict
    harmful: tuple[Flip, ...] = ()
    beneficial: tuple[Flip, ...] = ()
    pictures: tuple[str, ...] = ()
