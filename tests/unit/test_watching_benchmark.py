"""The simulation of the watch, in small: stable traffic stays quiet where textbook tests do not, planted faults are found."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import watching
from watching_world import FAULTS, KINDS

from headgate.monitoring.calibrated_drift import BLOCKS, Block, judge


def test_days_that_differ_are_drift_for_textbook_tests_and_not_here() -> None:
    row = watching.stable(KINDS[3], per_hour=100, days=10, windows=12)
    assert row["textbook_p"] >= 0.5
    assert row["p_at_most_0.05"] <= 0.25


def test_a_label_that_moved_by_ten_points_is_found_within_three_windows() -> None:
    row = watching.planted(FAULTS[0], per_hour=20, times=2)
    assert row["found"] == 1
    assert row["answers_median"] < 3 * 24 * 20 * 1.3


@pytest.mark.parametrize(("share", "found"), [(0.0, False), (0.3, True)])
def test_texts_about_something_else_are_told_by_their_embeddings(share: float, found: bool) -> None:
    dice = np.random.default_rng(0)
    places = {False: dice.normal(0, 1, 16), True: dice.normal(0, 1, 16)}

    def block(number: int, other: float) -> Block:
        angles = np.stack([places[bool(dice.random() < other)] + dice.normal(0, 0.5, 16) for _ in range(50)])
        features = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / 4
        return Block(number, {}, 50, features.sum(axis=0))

    history = [block(number, 0.05) for number in range(8 * BLOCKS)]
    window = [block(number, 0.05 + share) for number in range(8 * BLOCKS, 9 * BLOCKS)]
    (drift,) = judge({"embedding": history}, {"embedding": window}, 0.01, 0.05)
    assert drift.drifted is found
    assert (drift.rows, drift.reference_rows) == (200, 1600)
