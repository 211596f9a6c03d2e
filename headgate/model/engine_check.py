"""Whether an engine may be served: measured against the fp32 reference on rows that it was not calibrated on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headgate.model.runtime import Runtime

MAX_CHANGE_IN_BATCH = 1e-5
MIN_AGREEMENT = 0.995
MAX_ACCURACY_LOSS = 0.003
MAX_MEAN_ERROR = 0.01
BATCHES = (3, 8, 32)

Probabilities = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found on `rows` texts. accuracy_change: served less reference. mean_probability_error: of each text's largest change."""

    rows: int
    max_probability_change_in_batch: float
    agreement: float
    accuracy_change: float
    mean_probability_error: float

    @property
    def faults(self) -> list[str]:
        """What is not as it has to be, in words; empty: it may be served."""
        found = {
            f"a probability changes by {self.max_probability_change_in_batch:g} with what shares the batch (at most "
            f"{MAX_CHANGE_IN_BATCH:g} is allowed)": self.max_probability_change_in_batch <= MAX_CHANGE_IN_BATCH,
            f"{self.agreement:.2%} of the labels are those of fp32 (at least {MIN_AGREEMENT:.1%} are required)": self.agreement
            >= MIN_AGREEMENT,
            f"accuracy changes by {100 * self.accuracy_change:+.2f} points (a loss of {100 * MAX_ACCURACY_LOSS:g} is allowed)": (
                self.accuracy_change >= -MAX_ACCURACY_LOSS
            ),
            f"the mean probability error is {self.mean_probability_error:g} (at most {MAX_MEAN_ERROR:g} is allowed)": (
                self.mean_probability_error <= MAX_MEAN_ERROR
            ),
        }
        return [fault for fault, good in found.items() if not good]


def check_engine(runtime: Runtime, rows: Sequence[tuple[str, str]], reference: Probabilities) -> Checked:
    """Compare a runtime with what the reference says of the same (text, label) rows, (rows, labels), and with itself in other company."""
    texts = [text for text, _ in rows]
    truth = np.array([label for _, label in rows], dtype=object)
    alone = np.concatenate([runtime.probabilities([text]) for text in texts])
    labels = np.array(runtime.labels, dtype=object)
    served, expected = labels[alone.argmax(axis=1)], labels[reference.argmax(axis=1)]
    return Checked(
        rows=len(rows),
        max_probability_change_in_batch=_rounded(max(_change(runtime, texts, alone, size) for size in BATCHES)),
        agreement=_rounded(float((served == expected).mean())),
        accuracy_change=_rounded(float((served == truth).mean() - (expected == truth).mean())),
        mean_probability_error=_rounded(float(np.abs(alone - reference).max(axis=1).mean())),
    )


def _change(runtime: Runtime, texts: Sequence[str], alone: Probabilities, size: int) -> float:
    together = [runtime.probabilities(texts[first : first + size]) for first in range(0, len(texts), size)]
    return float(np.abs(np.concatenate(together) - alone).max())


def _rounded(found: float) -> float:
    """Four digits are enough to tell, and are the same on machines whose last bits differ."""
    return float(f"{found:.4g}")
