"""Where rows come from, what is checked of them, and when they set off a training."""

from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from headgate.settings.section import Positive, Section, Share

QueueReason = Literal["corrections_disagree", "disagreement", "out_of_scope", "drifted_slice", "low_confidence"]


class Conflicts(Section):
    """What becomes of a text about which annotators disagree: docs/annotations.md."""

    policy: Literal["majority", "latest", "quarantine"] = Field(
        "latest", description="the label of most annotators, the latest one, or none until a person decides in the quarantine"
    )


class Feedback(Section):
    """How corrections by users become rows: docs/feedback.md."""

    log_text: Literal["none", "hash", "full"] = Field(
        "hash", description="what the servers of the local stack log of a text; a correction becomes a row only where the text is known"
    )
    weight: float = Field(1.0, gt=0, le=100, description="of a corrected row in training, where an annotated one weighs 1")
    max_per_annotator_per_day: Positive = Field(100, description="corrections of one user that become rows; the others are held")
    max_unnamed_per_day: Positive = Field(100, description="the same for all corrections together that name no user")
    wait_days: Positive = Field(2, description="a correction waits so long for its prediction to reach the lake")
    look_back_days: Positive = Field(14, description="shipped logs of so many days are looked through for what is new")


class Queue(Section):
    """Which texts annotators should label next: docs/feedback.md."""

    uncertain_below: Share = Field(0.6, description="an answer with a lower score is put in the queue as low_confidence")
    max_rows: Positive = Field(5_000, description="open texts; beyond it the least useful ones are not put in")
    batch: Positive = Field(50, description="texts that `headgate queue export` gives at once")
    shares: dict[str, Share] = Field(
        default_factory=dict, description="of a batch by reason; reasons that are not named share what is left evenly"
    )

    @field_validator("shares")
    @classmethod
    def _parts_of_one_batch(cls, shares: dict[str, float]) -> dict[str, float]:
        """A misspelt reason would be of no effect, and more than a whole batch cannot be given out."""
        reasons, total = get_args(QueueReason), sum(shares.values())
        faults = [f"expected the reasons {', '.join(reasons)}, found {name!r}" for name in sorted(shares.keys() - {*reasons})]
        faults += [f"expected at most 1 in all, found {total:g}"] if total > 1 + 1e-9 else []
        if faults:
            raise ValueError("; ".join(faults))
        return shares


class Retrain(Section):
    """When newly annotated rows set off a training by themselves: docs/triggers.md. A person may start one at any time."""

    enabled: bool = Field(True, description="false: only a person starts a training")
    approval: Literal["none", "required"] = Field(
        "none", description="required: the ledger only says that a training is due; a person starts it"
    )
    min_new_rows: int = Field(200, ge=1, description="added or corrected since the data version of the last tested candidate")
    min_labels: int = Field(2, ge=1, description="so many labels must have min_new_rows_per_label of them")
    min_new_rows_per_label: int = Field(5, ge=1)
    min_interval_hours: float = Field(0, ge=0, description="from the start of one training to the start of the next")
    cool_down_hours: float = Field(1, ge=0, description="after a training that failed, was cancelled, or was stopped by the data checks")
    max_trainings_per_day: int = Field(8, ge=1, description="started within 24 hours, those of people included")


class Bound(Section):
    """How much is shown as a warning at approval, and how much stops the candidate; without `critical` nothing stops it."""

    warning: float = Field(ge=0)
    critical: float | None = Field(None, ge=0)

    @field_validator("critical")
    @classmethod
    def _in_order(cls, critical: float | None, info: ValidationInfo) -> float | None:
        warning = info.data.get("warning")
        if critical is not None and warning is not None and critical < warning:
            raise ValueError(f"expected critical to be at least warning, found {critical:g} below {warning:g}")
        return critical


class DataChecks(Section):
    """Bounds of the data checks on each new data version: docs/data-checks.md."""

    min_rows_per_label: int = Field(5, ge=1)
    max_share_change: Share = Field(0.25, description="largest move of one label's share against the previous version")
    max_characters: int = Field(100_000, ge=1)
    false_alarm_share: float = Field(
        0.05, gt=0, lt=0.5, description="of clean versions, so many may warn of a drift that is chance; a fifth of it may stop"
    )
    label_drift: Bound = Field(Bound(warning=0.3), description="labels of the new rows against the others, Cohen's w")
    label_drift_overall: Bound = Field(Bound(warning=0.3, critical=0.6), description="labels against the previous version, Cohen's w")
    language_drift: Bound = Field(Bound(warning=0.25, critical=1.0), description="languages of the new rows, stability index (PSI)")
    length_drift: Bound = Field(Bound(warning=0.25, critical=1.0), description="characters of the new rows, stability index (PSI)")
    label_errors: Bound = Field(Bound(warning=0.25, critical=0.45), description="share of the rows whose label is suspected to be wrong")
    label_errors_new: Bound = Field(Bound(warning=0.03, critical=0.1), description="by how much that share is higher in the new rows")
    label_errors_by_label: Bound = Field(Bound(warning=0.3), description="the same, of the new rows of the label where it is highest")
    regression_copies: Bound = Field(Bound(warning=0.2, critical=0.5), description="share of the regression rows that have a near copy")
    regression_copies_new: Bound = Field(
        Bound(warning=0.03, critical=0.1), description="by how much the new rows are near copies of regression rows more often"
    )
    repeats_new: Bound = Field(Bound(warning=0.1, critical=0.3), description="share of the new rows that are near copies of one text")
    conflicts_new: Bound = Field(Bound(warning=0.02, critical=0.05), description="share of the new rows whose text has several labels")
    split_copies: Bound = Field(Bound(warning=0.3), description="share of the validation rows that have a near copy in training")
    contact_data: Bound = Field(Bound(warning=0.05), description="by how much new rows hold e-mail, phone or IP addresses more often")
    sensitive_data: Bound = Field(Bound(warning=0), description="rows with a card, an account or a national id")
    phone_regions: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = Field(
        ("US", "GB"), description="countries whose phone numbers are known without +country"
    )
    encoding_damage: Bound = Field(Bound(warning=0, critical=0.02), description="share of the rows with broken characters")
    encoding_damage_new: Bound = Field(Bound(warning=0.02, critical=0.1), description="by how much that share is higher in the new rows")
