"""How the network's logits and those of the lexical features become one probability, decided on rows that neither was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from headgate.model.calibration import calibration_error, energy, fit_temperature, reference_scores
from headgate.model.choice import Validation
from headgate.model.probes import Floats, Integers

LEXICAL_SCALES = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Answers to rows that were not trained on: targets (rows,), logits of the network and of lexical features if any (rows, labels)."""

    targets: Integers
    network: Floats
    lexical: Floats | None

    def logits(self, scale: float) -> Floats:
        """The sum, the lexical logits multiplied by scale."""
        return self.network if self.lexical is None else self.network + scale * self.lexical


def joined(parts: Sequence[HeldOut], labels: int) -> HeldOut:
    """The answers of several trainings as one; without parts, none."""
    if not parts:
        return HeldOut(np.zeros(0, dtype=np.int64), np.zeros((0, labels)), None)
    words = [part.lexical for part in parts if part.lexical is not None]
    targets, network = (np.concatenate([getattr(part, name) for part in parts]) for name in ("targets", "network"))
    return HeldOut(targets, network, np.concatenate(words) if words else None)


def stack(held: HeldOut) -> tuple[float, float]:
    """The scale of the lexical logits and the temperature of the sum; scale 0 where the rows are not likelier with any.

    The scale is the largest that is within one standard error of the likeliest: held-out rows are often near copies of trained ones
    (translations, templates), which flatters the network more than it flatters a linear model.
    Sources: Wolpert, Stacked Generalization, 1992; Breiman et al., Classification and Regression Trees, 1984 (the one-standard-error rule).
    """
    scale = _scale(held) if held.lexical is not None and len(held.targets) else 0.0
    return scale, fit_temperature(held.logits(scale), held.targets)


def _scale(held: HeldOut) -> float:
    found = {scale: log_likelihoods(held.logits(scale), held.targets) for scale in LEXICAL_SCALES}
    best = max(LEXICAL_SCALES, key=lambda scale: found[scale].mean())
    return max(scale for scale in LEXICAL_SCALES if _as_good(found[best] - found[scale])) if best else 0.0


def _as_good(lost: Floats) -> bool:
    """Whether the mean loss, a row at a time, is within its standard error."""
    return bool(lost.mean() <= lost.std() / np.sqrt(len(lost)))


def likelihood(logits: Floats, targets: Integers) -> float:
    """Mean log-likelihood of the targets at the best temperature; 0 without rows."""
    return float(log_likelihoods(logits, targets).mean()) if len(targets) else 0.0


def log_likelihoods(logits: Floats, targets: Integers) -> Floats:
    """Log-likelihood of each target at the temperature that is best for all, (rows,)."""
    if not len(targets):
        return np.zeros(0)
    found: Floats = log_softmax(logits / fit_temperature(logits, targets), axis=1)[np.arange(len(targets)), targets]
    return found


def validation_of(held: HeldOut, scale: float, temperature: float) -> Validation | None:
    """What the rows say of the probabilities, None without rows."""
    if not len(held.targets):
        return None
    logits = held.logits(scale)
    before, after = (calibration_error(softmax(logits / divisor, axis=1), held.targets) for divisor in (1.0, temperature))
    return Validation(len(held.targets), before, after, temperature, tuple(reference_scores(energy(logits, temperature))))
