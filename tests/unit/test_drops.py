"""A drop on a part of the rows is told from chance as promised: simulated, not hoped."""

import numpy as np
import pytest

from headgate.evaluation.drops import (
    Parts,
    count_parts,
    detectable_drops,
    holm,
    mcnemar,
    p_values_of_drops,
    paired_changes,
    usual_change,
)


def parts(rows: int, harmful: list[int], beneficial: list[int], champion_hits: int | None = None) -> Parts:
    lost, won = np.array(harmful), np.array(beneficial)
    was = np.full(len(lost), rows if champion_hits is None else champion_hits)
    return Parts(np.full(len(lost), rows), was - lost + won, was, lost, won)


def simulated(labels: int, rows: int, accuracy: float, churn: float, evenness: float, draws: int = 300) -> list[Parts]:
    """Two models, equally good on every label; a label's rows change at its own rate, gamma with mean `churn` each way."""
    rng = np.random.default_rng(3)
    rate = np.minimum(rng.gamma(evenness, churn / evenness, (draws, labels)), 0.3)
    changed = rng.binomial(rows, 2 * rate)
    lost = rng.binomial(changed, 0.5)
    both = rng.binomial(rows - changed, np.clip((accuracy - rate) / (1 - 2 * rate), 0, 1))
    whole = np.full(labels, rows)
    return [Parts(whole, b + c - h, b + h, h, c - h) for b, c, h in zip(both, changed, lost, strict=True)]


def stopped(one: Parts, level: float = 0.025, margin: float = 0.1) -> "np.ndarray":
    usual = usual_change(int(one.beneficial.sum()), int(one.rows.sum()))
    return (holm(p_values_of_drops(one, usual)) <= level) & ((one.harmful - one.beneficial) / one.rows > margin) & (one.harmful >= 3)


def with_loss(one: Parts, share: float) -> Parts:
    """A share of the first label's rows answered wrong by the candidate, as many of them right by both before as all rows are."""
    rng = np.random.default_rng(int(one.harmful.sum()))
    both = int(one.hits[0] - one.beneficial[0])
    planted = int(rng.hypergeometric(both, int(one.rows[0]) - both, round(share * one.rows[0])))
    harmful, hits = one.harmful.copy(), one.hits.copy()
    harmful[0] += planted
    hits[0] -= planted
    return one._replace(harmful=harmful, hits=hits)


def test_mcnemar_is_exact() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == pytest.approx(2 * 0.5**5)
    assert mcnemar(8, 2) == pytest.approx(0.109375)


def test_the_test_becomes_mcnemars_where_the_usual_change_is_unknown() -> None:
    found = p_values_of_drops(parts(40, [8, 5, 0], [0, 2, 3]), usual=1e9)
    assert found.tolist() == pytest.approx([0.5**8, 29 / 128, 1.0])


def test_rows_that_rarely_change_make_a_loss_more_telling() -> None:
    rare, common = (p_values_of_drops(parts(40, [7], [0]), usual)[0] for usual in (0.015, 0.1))
    assert rare < 0.001 < common < 0.5**7


def test_holm_corrects_as_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.4, 0.9])).tolist() == pytest.approx([0.8, 0.9])


@pytest.mark.parametrize("evenness", [0.5, 1.0, 4.0])
@pytest.mark.parametrize(("labels", "rows", "churn"), [(77, 40, 0.015), (9, 36, 0.04), (9, 100, 0.04), (150, 667, 0.02)])
def test_equally_good_models_are_stopped_by_a_label_no_more_often_than_allowed(
    labels: int, rows: int, churn: float, evenness: float
) -> None:
    runs = simulated(labels, rows, 0.88, churn, evenness)
    assert np.mean([stopped(one).any() for one in runs]) <= 0.035, "2.5% are allowed; 300 runs tell that from 5%"


@pytest.mark.parametrize(("labels", "rows", "churn"), [(9, 120, 0.02), (77, 100, 0.015), (150, 667, 0.02)])
def test_a_fifth_of_one_labels_rows_lost_is_seen_given_enough_rows(labels: int, rows: int, churn: float) -> None:
    runs = simulated(labels, rows, 0.9, churn, 1.0)
    assert np.mean([stopped(with_loss(one, 0.2))[0] for one in runs]) >= 0.95


def test_the_detectable_drop_is_seen_four_times_of_five() -> None:
    runs = simulated(9, 100, 0.9, 0.03, 4.0)
    promised = np.mean([detectable_drops(one, usual_change(int(one.beneficial.sum()), 900), 0.1, 0.025)[0] for one in runs])
    seen = np.mean([stopped(with_loss(one, promised / 0.9))[0] for one in runs])
    assert 0.7 <= seen <= 0.95


def test_a_handful_of_rows_can_show_nothing() -> None:
    few = parts(2, [0], [0])
    assert np.isnan(detectable_drops(few, usual_change(3, 300), 0.1, 0.025)).all()


def test_the_interval_stays_wide_for_a_handful_of_rows() -> None:
    change = paired_changes(parts(2, [2], [0]))[0]
    assert change.difference == -1.0
    assert change.high > -0.15
    same = paired_changes(parts(2, [0], [0]))[0]
    assert same.low < -0.2 < 0.2 < same.high


def test_rows_are_counted_by_part() -> None:
    right, was_right = np.array([True, False, True, False]), np.array([True, True, False, False])
    found = count_parts(np.array([0, 0, 2, 2]), right, was_right, 3)
    assert [counts.tolist() for counts in found] == [[2, 0, 2], [1, 0, 1], [2, 0, 0], [1, 0, 0], [0, 0, 1]]
    weighted = count_parts(np.array([0, 0, 2, 2]), right, was_right, 3, weight=np.array([5, 1, 1, 1]))
    assert weighted.rows.tolist() == [6, 0, 2]
