"""One comparison of two samples: chance is told from change, small samples from large ones."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from headgate.monitoring.drift import compare, independence


def categories(shares: list[float], rows: int, seed: int) -> list[str]:
    return np.random.default_rng(seed).choice([f"label {n}" for n in range(len(shares))], rows, p=shares).tolist()


def test_shares_that_moved_are_told_with_what_grew() -> None:
    found = compare({"label": ["a"] * 500 + ["b"] * 500}, {"label": ["a"] * 50 + ["b"] * 150})[0]
    assert found.beyond(0.3)
    assert (found.column, found.reference_rows, found.current_rows) == ("label", 1000, 200)
    assert (found.grown, found.before, found.now) == ("b", 0.5, 0.75)


def test_the_effect_is_cohens_w_whatever_the_sizes() -> None:
    shares = [([500, 500], [250, 750]), ([50_000, 50_000], [2_500, 7_500]), ([500, 500], [25_000, 75_000])]
    effects = [independence(np.array(table))[1] for table in shares]
    assert effects == pytest.approx([0.51, 0.5, 0.57], abs=0.08)
    assert max(effects) - min(effects) < 0.08


def test_many_labels_in_a_small_batch_are_no_drift() -> None:
    shares = [1 / 150] * 150
    alarms = [compare({"l": categories(shares, 5_000, seed)}, {"l": categories(shares, 200, seed + 100)})[0] for seed in range(15)]
    assert sum(found.p <= 0.05 for found in alarms) <= 3
    assert sum(found.beyond(0.3) for found in alarms) <= 1
    assert np.median([found.effect for found in alarms]) < 0.3


def test_p_of_full_tables_is_that_of_chi_square_and_of_sparse_ones_is_drawn() -> None:
    full = np.array([[100, 200, 300], [30, 40, 90]])
    assert independence(full)[0] == pytest.approx(chi2_contingency(full, correction=False).pvalue)
    sparse = np.array([[8, 2], [1, 5]])
    assert independence(sparse)[0] == pytest.approx(0.035, abs=0.01)  # Fisher's exact test


def test_a_new_category_is_seen_by_the_stability_index() -> None:
    found = compare({"language": ["en"] * 2_000}, {"language": ["en"] * 160 + ["de"] * 40})[0]
    assert found.grown == "de"
    assert found.psi > 1
    assert found.p < 0.001


def test_numbers_are_compared_by_their_distribution() -> None:
    dice = np.random.default_rng(0)
    before = dice.lognormal(4, 0.5, 3_000)
    same, shorter = (compare({"n": before}, {"n": values})[0] for values in (dice.lognormal(4, 0.5, 200), dice.lognormal(3.4, 0.5, 200)))
    assert same.p > 0.01
    assert same.psi < 0.1
    assert shorter.beyond(0.3)
    assert shorter.psi > 0.5
    assert shorter.now < shorter.before


def test_many_columns_are_corrected_for_being_many() -> None:
    reference, current = ["a"] * 90 + ["b"] * 10, ["a"] * 78 + ["b"] * 22
    alone = compare({"x": reference}, {"x": current})[0]
    among = compare({f"c{n}": reference for n in range(5)}, {f"c{n}": reference if n else current for n in range(5)})
    assert among[0].p == pytest.approx(5 * alone.p)
    assert [one.p for one in among[1:]] == [1, 1, 1, 1]


def test_nothing_to_compare_is_no_drift() -> None:
    found = compare({"label": ["a"], "n": [1.0]}, {"label": [], "n": [], "other": ["x"]})
    assert [(one.column, one.p, one.effect, one.psi) for one in found] == [("label", 1, 0, 0), ("n", 1, 0, 0)]
    assert compare({"l": ["a", "a"]}, {"l": ["a"]})[0].p == 1
    assert compare({}, {}) == ()
