"""Confidence that means what it says: temperature, calibration error, and a score for texts unlike the training data."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

Array = NDArray[np.float64]
LOG_TEMPERATURES = (np.log(0.05), np.log(20.0))
KEPT_SCORES = 200


def fit_temperature(logits: Array, targets: NDArray[np.int64]) -> float:
    """The divisor of the logits that makes held-out rows most likely; 1 without rows.

    logits: (rows, labels), of rows not trained on. Source: Guo et al., On Calibration of Modern Neural Networks, 2017.
    """
    if not len(targets):
        return 1.0
    rows = np.arange(len(targets))

    def surprise(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[rows, targets].mean())

    return float(np.exp(minimize_scalar(surprise, bounds=LOG_TEMPERATURES, method="bounded").x))


def calibration_error(probabilities: Array, targets: NDArray[np.int64], bins: int = 15) -> float:
    """Expected calibration error of the top label in equal-width bins, a share; nan without rows.

    probabilities: (rows, labels). Source: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015.
    """
    if not len(targets):
        return float("nan")
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    found = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(confidence[found == one].mean() - right[found == one].mean()) * (found == one).mean() for one in np.unique(found)]
    return float(sum(gaps))


def energy(logits: Array, temperature: float) -> Array:
    """How unlike the training data each text is, (rows,): the higher, the further out of scope.

    Source: Liu et al., Energy-based Out-of-distribution Detection, 2020, on calibrated logits.
    """
    scores: Array = -logsumexp(logits / temperature, axis=1)
    return scores


def reference_scores(energies: Array) -> list[float]:
    """At most KEPT_SCORES ordered energies that stand for those of held-out rows: serving finds its bound among them."""
    kept = np.quantile(energies, np.linspace(0, 1, KEPT_SCORES)) if len(energies) > KEPT_SCORES else np.sort(energies)
    return [round(float(score), 4) for score in kept]
