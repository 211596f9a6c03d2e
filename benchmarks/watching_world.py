"""Made-up traffic as counted blocks of six hours: labels, outcomes, confidences, lengths and languages."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headgate.monitoring.calibrated_drift import Block
from headgate.monitoring.hours import confidence_bin, length_bin

COLUMNS = ("label", "outcome", "confidence", "characters", "language")
KINDS = ("alike at all hours", "by the hour of day", "with campaigns", "days that differ")
FAULTS = (
    "label + 10 points",
    "language + 10 points",
    "texts 25% longer",
    "less sure by half",
    "abstained + 5 points",
)
LABELS = tuple(f"label {number}" for number in range(9))
SHARES = np.array([0.25, 0.2, 0.15, 0.1, 0.1, 0.08, 0.06, 0.04, 0.02])
HOURS, TILT = 6, np.linspace(-1, 1, 9)


@dataclass
class World:
    """Traffic of one kind, `per_hour` answers on average; a fault is planted from a block on."""

    kind: str
    per_hour: float
    seed: int
    fault: str = ""
    planted_from: int = 0

    def blocks(self, count: int) -> list[Block]:
        """So many consecutive blocks."""
        self.random = np.random.default_rng([self.seed, KINDS.index(self.kind), int(self.per_hour)])
        self.campaign, self.left = 0, 0
        self.day_labels, self.day_length = np.zeros(9), 0.0
        return [self._block(number) for number in range(count)]

    def _block(self, number: int) -> Block:
        planted, place = bool(self.fault) and number >= self.planted_from, number % 4
        shares, rate, length, german, abstained = SHARES.copy(), self.per_hour * HOURS, 4.0, 0.05, 0.08
        if self.kind != KINDS[0]:
            rate *= (0.4, 1.2, 1.8, 0.6)[place]
            shares, german = _tilted(shares, 0.3 * np.cos(place * np.pi / 2) * TILT), german + (0.1 if place == 0 else 0)
        if self.kind == KINDS[2]:
            shares, rate = self._with_campaign(shares, rate)
        if self.kind == KINDS[3]:
            if place == 0:
                self.day_labels, self.day_length = self.random.normal(0, 0.15, 9), self.random.normal(0, 0.08)
            shares, length = _tilted(shares, self.day_labels), length + self.day_length
        if planted and self.fault == FAULTS[0]:
            shares[0], shares[4] = shares[0] - 0.1, shares[4] + 0.1
        german += 0.1 if planted and self.fault == FAULTS[1] else 0
        length += np.log(1.25) if planted and self.fault == FAULTS[2] else 0
        unsure = 1.5 if planted and self.fault == FAULTS[3] else 1.0
        abstained += 0.05 if planted and self.fault == FAULTS[4] else 0
        return self._drawn(number, int(self.random.poisson(rate)), shares, length, german, abstained, unsure)

    def _with_campaign(self, shares: NDArray[np.float64], rate: float) -> tuple[NDArray[np.float64], float]:
        """A tenth of the blocks begin one, which lasts one or two: 15% of the answers are then of one label."""
        if not self.left and self.random.random() < 0.1:
            self.campaign, self.left = int(self.random.integers(9)), int(self.random.integers(1, 3))
        if not self.left:
            return shares, rate
        self.left -= 1
        moved = 0.85 * shares
        moved[self.campaign] += 0.15
        return moved, 1.2 * rate

    def _drawn(
        self, number: int, rows: int, shares: NDArray[np.float64], length: float, german: float, abstained: float, unsure: float
    ) -> Block:
        held, foreign = int(self.random.binomial(rows, abstained)), int(self.random.binomial(rows, german))
        lengths = 1 + np.exp(self.random.normal(length, 0.7, rows)).astype(int)
        scores = np.clip(1 - unsure * np.exp(self.random.normal(-2.5, 1, rows)), 0.15, 0.9999)
        return Block(
            number,
            {
                "label": dict(zip(LABELS, map(int, self.random.multinomial(rows, shares)), strict=True)),
                "outcome": {"scored": rows - held, "abstained: low_confidence": held},
                "language": {"en": rows - foreign, "de": foreign},
                "characters": _counted([length_bin(int(value)) for value in lengths]),
                "confidence": _counted([confidence_bin(round(float(value), 4)) for value in scores]),
            },
        )


def _tilted(shares: NDArray[np.float64], by: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = shares * np.exp(by)
    return found / found.sum()


def _counted(names: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found
