"""What a canary's answers say: exactness under repeated looks, power, and how findings read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.observations import histogram
from headgate.release.canary import METRICS, analyse, needed, quantile_ms, tally
from headgate.release.observation import LATENCY_BOUNDS_MS, Corrections, Observation
from headgate.release.rollout import Finding
from headgate.release.sequential import above, below, higher, moved, raised, slower
from headgate.settings import AutoRollback

POLICY = AutoRollback()
COUNTS = st.integers(0, 200).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


def lognormal(n: int, seed: int, times: float = 1.0) -> dict[str, int]:
    return histogram(10 * times * np.exp(0.5 * np.random.default_rng(seed).standard_normal(n)))


def cohort(name: str, n: int, seed: int, errors: int = 0, times: float = 1.0, **labels: int) -> Observation:
    labels = labels or {"positive": n // 2, "other": n - n // 2}
    latency = lognormal(n, seed, times)
    return Observation(
        cohort=name,
        window_s=60,
        requests=n + errors,
        errors=errors,
        latency_ms=latency,
        labels=labels,
        confidence=0.8,
        scored=n,
        abstained=0,
    )


def looked_at(test, p: float, other: float, margin: float, rollouts: int, trials: int) -> np.ndarray:
    """The largest evidence over a look after each request of each cohort, by rollout."""
    rng = np.random.default_rng(7)
    ours = np.cumsum(rng.random((rollouts, trials)) < p, axis=1)
    theirs = np.cumsum(rng.random((rollouts, 4 * trials)) < other, axis=1)[:, 3::4]
    counts = np.arange(1, trials + 1)
    return test(ours, counts[None], theirs, 4 * counts[None], margin).max(axis=1)


@pytest.mark.parametrize(
    ("test", "p", "other", "margin"), [(raised, 0.06, 0.05, 0.01), (higher, 0.2, 0.15, 0.05), (moved, 0.1, 0.15, 0.05)]
)
def test_evidence_looked_at_after_each_request_exceeds_its_bound_no_more_often_than_promised(test, p, other, margin):
    """At the very edge of the null hypothesis, where it is hardest."""
    largest = looked_at(test, p, other, margin, rollouts=500, trials=150)
    for allowed in (0.5, 0.1, 0.05):
        assert np.mean(largest > np.log(1 / allowed)) <= allowed


def test_a_naive_test_looked_at_as_often_stops_far_more_often():
    """Why there is a sequential test at all: z tests after each request, of cohorts that are equal."""
    rng = np.random.default_rng(7)
    counts = np.arange(30, 401)
    ours = np.cumsum(rng.random((2000, 400)) < 0.05, axis=1)[:, 29:]
    theirs = np.cumsum(rng.random((2000, 1600)) < 0.05, axis=1)[:, 119::4]
    pooled = (ours + theirs) / (5 * counts)
    z = (ours / counts - theirs / (4 * counts)) / np.sqrt(np.maximum(pooled * (1 - pooled), 1e-9) * (1.25 / counts))
    assert np.mean(z.max(axis=1) > 1.645) > 0.2


def test_a_quantile_that_is_as_slow_as_allowed_is_found_slower_no_more_often_than_promised():
    rng = np.random.default_rng(1)
    bounds = len(LATENCY_BOUNDS_MS) + 1
    found = np.full(400, -np.inf)
    ours, theirs = np.zeros((400, bounds)), np.zeros((400, bounds))
    for _ in range(20):  # looks, each after 50 and 200 more
        for counts, n, times in ((ours, 50, 1.2), (theirs, 200, 1.0)):
            places = np.searchsorted(LATENCY_BOUNDS_MS, 10 * times * np.exp(0.5 * rng.standard_normal((400, n))))
            np.add.at(counts, (np.arange(400)[:, None], places), 1)
        found = np.maximum(found, slower(ours, theirs, 0.95, 1.2))
    assert np.mean(found > np.log(10)) <= 0.1


@settings(deadline=None)
@given(COUNTS, COUNTS, st.floats(0, 0.5))
def test_counts_within_the_margin_are_no_evidence(ours: tuple[int, int], theirs: tuple[int, int], margin: float):
    share, other = (hits / max(trials, 1) for hits, trials in (ours, theirs))
    if share <= other + margin:
        assert max(raised(*ours, *theirs, margin), higher(*ours, *theirs, margin)) <= 1e-9
    if abs(share - other) <= margin:
        assert moved(*ours, *theirs, margin) <= 1e-9


@settings(deadline=None)
@given(COUNTS, st.floats(0.01, 0.99))
def test_evidence_above_and_below_a_rate_are_mirrors(counts: tuple[int, int], rate: float):
    hits, trials = counts
    assert above(hits, trials, rate) == pytest.approx(below(trials - hits, trials, 1 - rate), abs=1e-6)


def test_more_of_the_same_harm_is_more_evidence():
    sizes = np.array([100, 300, 1000, 3000])
    for weight in (raised(0.05 * sizes, sizes, 0.01 * sizes, sizes, 0.005), above(0.05 * sizes, sizes, 0.01)):
        assert (np.diff(weight) > 0).all()


def test_without_a_champion_nothing_is_compared_and_only_the_own_error_rate_counts():
    found = analyse(POLICY, [cohort("challenger", 800, 1, errors=200)], 1)
    assert [one.metric for one in found.of("failed")] == ["error_rate"]


def test_cohorts_that_answer_alike_are_within_all_limits():
    found = analyse(POLICY, [cohort("champion", 4000, 1), cohort("challenger", 1000, 2)], 1)
    assert {one.verdict for one in found.findings if one.metric != "correction_rate"} == {"within limits"}
    assert [one.metric for one in found.findings] == [
        "error_rate",
        "error_rate_increase",
        "p95_ms",
        "p99_ms",
        "share of other",
        "share of positive",
        "abstention_rate",
        "confidence",
        "correction_rate",
    ]


@pytest.mark.parametrize(
    ("metric", "change"),
    [
        ("error_rate_increase", {"errors": 60}),
        ("p95_ms", {"times": 1.6}),
        ("share of positive", {"positive": 1240, "other": 760}),
        ("share of refund", {"positive": 900, "other": 900, "refund": 200}),
    ],
)
def test_each_harm_fails_its_own_metric(metric: str, change: dict[str, int]):
    found = analyse(POLICY, [cohort("champion", 8000, 1), cohort("challenger", 2000, 2, **change)], 1)
    assert metric in {one.metric for one in found.of("failed")}


def test_falling_confidence_and_more_abstentions_fail():
    champion, challenger = cohort("champion", 8000, 1), cohort("challenger", 2000, 2)
    shy = challenger.model_copy(update={"confidence": 0.6, "abstained": 300})
    assert {one.metric for one in analyse(POLICY, [champion, shy], 1).of("failed")} == {"confidence", "abstention_rate"}


def test_a_finding_reads_with_both_values_the_limit_and_the_evidence():
    found = analyse(POLICY, [cohort("champion", 4000, 1, errors=4), cohort("challenger", 990, 2, errors=10)], 1)
    told = {one.metric: str(one) for one in found.findings}
    assert told["error_rate_increase"].startswith(
        "error_rate_increase 1.00% beside the champion's 0.10%, allowed 0.5 points more; evidence "
    )
    assert told["error_rate_increase"].endswith(" to 1, needed 800")
    assert told["share of other"].startswith("share of other 50.00% beside the champion's 50.00%, allowed 5 points away; evidence ")
    assert told["share of other"].endswith(" to 1, needed 1,600")
    assert " ms beside the champion's " in told["p95_ms"]
    assert "allowed 1.2 times" in told["p95_ms"]
    assert told["confidence"].startswith("confidence 0.800 beside the champion's 0.800, allowed 5 points less")


def test_the_chance_of_a_false_rollback_is_shared_by_metrics_labels_and_steps():
    one, shared = needed(POLICY, 1, 1), needed(POLICY, 3, 5)
    assert sum(np.exp(-weight) for weight in one.values()) == pytest.approx(POLICY.max_false_rollback_rate)
    assert shared["p95_ms"] - one["p95_ms"] == pytest.approx(np.log(3))
    assert shared["label_share"] - one["label_share"] == pytest.approx(np.log(15))
    assert set(one) == set(METRICS)


def test_a_quantile_is_the_bound_that_holds_it():
    counts = tally(Observation(cohort="champion", window_s=1, latency_ms={"1": 94, "10": 5, "inf": 1}), []).latency_ms
    assert [quantile_ms(counts, q) for q in (0.5, 0.94, 0.95, 0.99, 1.0)] == [1, 1, 10, 10, float("inf")]
    assert quantile_ms(np.zeros(5), 0.5) is None


def test_what_was_not_seen_is_in_no_doubt():
    seen = [Observation(cohort=name, window_s=1, requests=100, labels={"a": 100}) for name in ("champion", "challenger")]
    for observed in ([], seen):
        verdicts = {one.metric: one.verdict for one in analyse(POLICY, observed, 1).findings}
        assert verdicts.pop("correction_rate") == "no data"
        assert set(verdicts.values()) == {"within limits"}


def corrected(name: str, answers: int, wrong: int, right: int = 0) -> Observation:
    told = Corrections(wait_s=120, answers=answers, corrected=wrong, confirmed=right)
    return cohort(name, answers, 1).model_copy(update={"corrections": told})


def of_corrections(*seen: Observation) -> Finding:
    (found,) = (one for one in analyse(POLICY, seen, 1).findings if one.metric == "correction_rate")
    return found


def test_a_challenger_that_users_correct_more_often_than_the_champion_fails():
    found = of_corrections(corrected("champion", 4000, 80), corrected("challenger", 1000, 100))
    assert (found.verdict, found.challenger, found.champion, found.limit) == ("failed", 0.1, 0.02, 0.02)
    assert str(found).startswith("correction_rate 10.00% beside the champion's 2.00%, allowed 2 points more; evidence ")


def test_more_corrections_within_the_margin_are_no_evidence_however_many_answers_there_are():
    found = of_corrections(corrected("champion", 400_000, 8_000), corrected("challenger", 100_000, 3_900))
    assert found.verdict == "within limits"


def test_without_corrections_there_is_no_data_and_no_doubt():
    found = of_corrections(corrected("champion", 4000, 0), corrected("challenger", 1000, 0))
    assert (found.verdict, found.challenger, found.champion, found.evidence) == ("no data", None, None, 1.0)
    alone = of_corrections(corrected("challenger", 1000, 300))
    assert (alone.verdict, alone.champion) == ("no data", None)


def test_answers_that_users_confirm_are_data_too():
    found = of_corrections(corrected("champion", 4000, 0, right=9), corrected("challenger", 1000, 0))
    assert (found.verdict, found.challenger, found.champion) == ("within limits", 0.0, 0.0)


def test_an_observation_of_an_older_version_has_no_corrections():
    old = Observation.model_validate({"cohort": "champion", "window_s": 5, "requests": 3})
    assert old.corrections is None


def test_a_ratio_that_reaches_beyond_all_latencies_is_judged_too() -> None:
    pair = [Observation(cohort=name, window_s=60, requests=50, latency_ms=histogram([0.2] * 50)) for name in ("challenger", "champion")]
    seen = analyse(AutoRollback(max_p95_ratio=100, max_p99_ratio=100), pair, 1)
    assert [one.verdict for one in seen.findings if one.metric in ("p95_ms", "p99_ms")] == ["within limits"] * 2
