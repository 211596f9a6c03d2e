"""The simulation of the queue says how many labels are saved, and only where the peer's curve can be read."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import active_learning

SIZES = np.array(active_learning.SIZES, dtype=float)


def test_a_curve_that_needs_half_the_labels_saves_half_of_them() -> None:
    chance = np.log(SIZES)[None] / 10
    ours = np.log(2 * SIZES)[None] / 10
    assert active_learning.saved(ours, chance) == pytest.approx(0.5, abs=0.02)


def test_chance_against_itself_saves_nothing() -> None:
    chance = np.stack([np.log(SIZES) / 10, np.log(SIZES) / 9])
    assert active_learning.saved(chance, chance) == 0


def test_what_the_peer_never_reached_is_not_counted() -> None:
    chance = np.linspace(0.5, 0.8, len(SIZES))[None]
    ours = np.where(np.arange(len(SIZES)) < 2, chance, 0.99)
    assert active_learning.saved(ours, chance) == 0


def test_the_table_says_whether_the_bound_is_met() -> None:
    rows = active_learning.rows_of({"random": np.full((2, len(SIZES)), 0.5)})
    assert active_learning.table(rows, {"labels_saved": 0.3}).endswith("labels_saved of at least 20%: met")
    assert active_learning.table(rows, {"labels_saved": 0.1}).endswith("labels_saved of at least 20%: MISSED")
