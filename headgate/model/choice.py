"""What the recipe decided and measured: records that the classifier saves and the model card tells."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tried:
    """One candidate and its score on rows that it was not trained on; metric says which score."""

    candidate: str
    metric: str
    score: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What was settled for the parameters that were left to the recipe, and why.

    folds: how many times rows were held out to compare methods, None if they were held out once. lexical_scale: 0 where lexical
    features gained nothing. fine_tuned_share: of the way from the published encoder with a linear head to the fine-tuned one.
    """

    method: str
    fine_tuned_share: float
    epochs: int | None
    class_weight: str | None
    label_names: bool
    lexical_scale: float
    folds: int | None
    why: str
    candidates: tuple[Tried, ...] = ()


@dataclass(frozen=True, slots=True)
class Validation:
    """What rows that were not trained on say of the probabilities. ece: expected calibration error, a share."""

    rows: int
    ece_before: float
    ece_after: float
    temperature: float
    out_of_scope_scores: tuple[float, ...]


def plain(record: Choice | Validation | None) -> dict[str, Any] | None:
    """The record as JSON keeps it."""
    return None if record is None else asdict(record)
