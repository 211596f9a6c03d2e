"""The typed records of a calibration: how often each gate stops models that are equally good, and misses models that are worse."""

from headgate.record import Record


class Rate(Record):
    """How often something stopped a release in independent trials; `low` to `high` is the exact 95% interval (Clopper and Pearson 1934)."""

    stopped: int
    trials: int
    share: float
    low: float
    high: float


class Planted(Record):
    """One way to be worse (or none: equally good models), and how often each gate and each naive gate stopped it."""

    name: str
    kind: str  # quality or load
    equal: bool
    overall: Rate
    gates: dict[str, Rate]
    naive: dict[str, Rate]

    @property
    def missed(self) -> float:
        """Share of the trials that no gate stopped."""
        return 1 - self.overall.share


class Margins(Record):
    """Margins against the champion and the share of false stops that the tests aim at; the keys are those of `[models.NAME.gates]`."""

    false_stop_share: float
    max_accuracy_drop: float
    max_macro_f1_drop: float
    max_label_recall_drop: float


class RowsNeeded(Record):
    """What the gates see where the regression set is larger: rows of a label in the middle, false stops, and misses of 20% of a label."""

    rows: int
    rows_per_label: int
    false_stops: Rate
    flips_stopped: Rate


class Calibration(Record):
    """A calibration of one model's gates. `recommended` is None where no margins keep the wanted rate; more rows are needed then."""

    model: str
    rows: int
    labels: int
    seeds: int
    accuracy: tuple[float, ...]  # of each seed
    disagreement: float  # share of the rows that two seeds answer differently, on average
    wanted_false_stops: float
    present: Margins
    recommended: Margins | None
    at_present: tuple[Planted, ...]
    at_recommended: tuple[Planted, ...]
    as_they_are: Rate | None = None  # each ordered pair of seeds on the frozen rows themselves, at the recommended margins
    rows_needed: tuple[RowsNeeded, ...] = ()
    load: tuple[Planted, ...] = ()
    pictures: tuple[str, ...] = ()
