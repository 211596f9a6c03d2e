"""Temperature, calibration error and the out-of-scope score are what their papers say."""

import math

import numpy as np
import pytest

from headgate.model.calibration import KEPT_SCORES, calibration_error, energy, fit_temperature, reference_scores
from headgate.model.stacking import LEXICAL_SCALES, HeldOut, joined, log_likelihoods, stack, validation_of


def drawn(rows: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too sharp or too flat by a known temperature, and labels drawn from the true probabilities."""
    generator = np.random.default_rng(seed)
    true = generator.normal(scale=2.0, size=(rows, 4))
    shares = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    return true * temperature, np.array([generator.choice(4, p=row) for row in shares])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_was_hidden_in_the_logits_is_found(temperature: float) -> None:
    logits, targets = drawn(4_000, temperature)
    assert fit_temperature(logits, targets) == pytest.approx(temperature, rel=0.08)


def test_calibration_brings_the_error_down_and_changes_no_label() -> None:
    logits, targets = drawn(4_000, 5.0)
    found = validation_of(HeldOut(targets, logits, None), 0.0, fit_temperature(logits, targets))
    assert found is not None
    assert found.ece_before > 0.2
    assert found.ece_after < 0.03
    assert found.rows == 4_000


def test_without_rows_nothing_is_calibrated() -> None:
    nothing = joined([], 3)
    assert stack(nothing) == (0.0, 1.0)
    assert validation_of(nothing, 0.0, 1.0) is None
    assert math.isnan(calibration_error(np.zeros((0, 3)), np.zeros(0, dtype=int)))


def test_calibration_error_is_the_gap_between_confidence_and_share_right() -> None:
    probabilities = np.array([[0.9, 0.1]] * 10)
    targets = np.array([0] * 6 + [1] * 4)
    assert calibration_error(probabilities, targets) == pytest.approx(0.3)


def test_flat_logits_are_further_out_of_scope_than_sharp_ones() -> None:
    sharp, flat = energy(np.array([[9.0, 0.0, 0.0], [1.0, 0.9, 0.8]]), 1.0)
    assert sharp == pytest.approx(-math.log(math.exp(9) + 2))
    assert flat > sharp


def test_reference_scores_are_few_ordered_and_keep_the_tails() -> None:
    energies = np.random.default_rng(0).normal(size=5_000)
    kept = reference_scores(energies)
    assert len(kept) == KEPT_SCORES
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (round(energies.min(), 4), round(energies.max(), 4))
    assert reference_scores(np.array([2.0, 1.0])) == [1.0, 2.0]


def test_lexical_logits_join_only_where_held_out_rows_gain() -> None:
    logits, targets = drawn(500, 1.0)
    telling = np.eye(4)[targets]
    noise = np.random.default_rng(1).normal(size=logits.shape)
    assert stack(HeldOut(targets, logits, telling))[0] > 0
    assert stack(HeldOut(targets, logits * 3, noise * 8))[0] == 0.0


def test_of_scales_that_are_about_as_likely_the_largest_is_taken() -> None:
    logits, targets = drawn(60, 1.0)
    telling = np.eye(4)[targets] * 2 + np.random.default_rng(1).normal(size=logits.shape)
    held = HeldOut(targets, logits, telling)
    found = {scale: log_likelihoods(held.logits(scale), targets) for scale in LEXICAL_SCALES}
    likeliest = max(LEXICAL_SCALES, key=lambda scale: found[scale].mean())
    chosen = stack(held)[0]
    lost = found[likeliest] - found[chosen]
    assert likeliest < chosen < LEXICAL_SCALES[-1]
    assert lost.mean() <= lost.std() / math.sqrt(60)
