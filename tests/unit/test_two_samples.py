"""Shares and means beside each other: published examples, and numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, ttest_ind

from headgate.evaluation.two_samples import Sums, detectable, means_apart, shares_apart, wilson

TABLES = st.tuples(st.integers(1, 300), st.integers(1, 300)).flatmap(
    lambda of: st.tuples(st.integers(0, of[0]), st.just(of[0]), st.integers(0, of[1]), st.just(of[1]))
)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_the_interval_of_two_shares_is_newcombes(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    """Newcombe 1998, table II, method 10."""
    found = shares_apart(*counts, 0.95)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_wilsons_interval_is_the_published_one() -> None:
    """Newcombe 1998 (Statistics in Medicine 17, 857), table I: 81 of 263, method 3."""
    assert wilson(81, 263, 0.95) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))


def test_the_p_value_of_two_shares_by_hand() -> None:
    """(N - 1)(ad - bc)^2 over the product of the margins: 149 * (56 * 32 - 48 * 14)^2 / (70 * 80 * 104 * 46) = 6.976."""
    assert shares_apart(56, 70, 48, 80, 0.95).p_value == pytest.approx(0.00826, abs=5e-6)


def test_small_tables_get_fishers_exact_test() -> None:
    """One hit among 22: that it falls into the sample of 2 has the chance 2/22, and no other table is as unlikely."""
    assert shares_apart(1, 2, 0, 20, 0.95).p_value == pytest.approx(2 / 22)


def test_equal_extremes_are_no_difference() -> None:
    assert shares_apart(0, 30, 0, 50, 0.95).p_value == 1.0
    assert shares_apart(30, 30, 50, 50, 0.95).p_value == 1.0


@given(TABLES)
def test_swapping_the_samples_turns_everything_round(counts: tuple[int, int, int, int]) -> None:
    hits, of, other_hits, other_of = counts
    one, back = shares_apart(*counts, 0.95), shares_apart(other_hits, other_of, hits, of, 0.95)
    assert one.difference == pytest.approx(-back.difference)
    assert (one.low, one.high) == (pytest.approx(-back.high), pytest.approx(-back.low))
    assert one.p_value == pytest.approx(back.p_value)
    assert -1 <= one.low <= one.difference <= one.high <= 1


def test_many_answers_agree_with_the_chi_squared_test() -> None:
    table = [[5200, 44800], [5400, 44600]]
    usual = chi2_contingency(table, correction=False).pvalue
    assert shares_apart(5200, 50_000, 5400, 50_000, 0.95).p_value == pytest.approx(usual, rel=1e-3)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for hits, other in zip(rng.binomial(400, 0.06, 2000).tolist(), rng.binomial(1600, 0.04, 2000).tolist(), strict=True):
        found = shares_apart(hits, 400, other, 1600, 0.95)
        held += found.low <= 0.02 <= found.high
    assert 0.935 <= held / 2000 <= 0.97


def test_means_are_welchs() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.random(40), rng.random(90) ** 2
    found = means_apart(*(Sums(len(one), float(one.sum()), float((one**2).sum())) for one in (ours, theirs)), 0.95)
    usual = ttest_ind(ours, theirs, equal_var=False)
    interval = usual.confidence_interval(0.95)
    assert found.p_value == pytest.approx(usual.pvalue)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_means_without_any_spread_differ_or_do_not() -> None:
    assert means_apart(Sums(4, 2.0, 1.0), Sums(8, 4.0, 2.0), 0.95) == (0, 0, 0, 1.0)
    assert means_apart(Sums(4, 2.0, 1.0), Sums(8, 2.0, 0.5), 0.95) == (0.25, 0.25, 0.25, 0.0)


def test_what_could_have_been_seen_by_hand() -> None:
    """(1.960 + 0.842) * sqrt(0.5 * 0.5 * (1/400 + 1/400)) = 9.9 points."""
    assert detectable(0.5, 400, 400, 0.95) == pytest.approx(0.0991, abs=1e-4)
