"""What a shadow's pairs of answers say: the report, its verdict, the gate and the words."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from headgate.release.shadow import Limits, gates, report, skipped_because, told, without
from headgate.release.shadow_report import Answer, Mirrored, Pair, ShadowReport
from headgate.release.shadow_text import headline, markdown, summary_line
from headgate.settings import AutoRollback, LoadTest, Rollout, Shadow

POLICY = Shadow(sampling_percentage=100, min_requests=100, max_duration_s=60)


def answer(label: str | None, latency_ms: float = 10.0, cached: bool = False, outcome: str = "scored", number: int = 0) -> Answer:
    return Answer(f"{label}-{number}", label, outcome, latency_ms, cached)


def pairs(count: int, times: float = 1.0, seed: int = 1) -> tuple[Pair, ...]:
    """Pairs with one label and the latencies of a usual server; the challenger's are so many times as long."""
    rng = np.random.default_rng(seed)
    champion, challenger = 5 + rng.gamma(2, 3, count), times * (5 + rng.gamma(2, 3, count))
    return tuple(
        Pair(answer("a", one)._replace(second=n // 5), answer("a", other))  # five a second
        for n, (one, other) in enumerate(zip(champion, challenger, strict=True))
    )


def judged(seen: Mirrored, duration_s: float = 10, **policy: Any) -> ShadowReport:
    given = POLICY.model_copy(update=policy)
    return report(Limits(given, AutoRollback(), LoadTest()), seen, duration_s, "replies-production", "old")


def test_the_matrix_counts_the_champions_labels_by_row_and_the_candidates_by_column() -> None:
    said = [("a", "a")] * 5 + [("a", "b")] * 3 + [("b", "a")] + [("b", None)] * 2
    found = judged(Mirrored(tuple(Pair(answer(one, number=n), answer(other, number=n)) for n, (one, other) in enumerate(said))))
    assert found.labels == ("(skipped)", "a", "b")
    assert found.matrix == ((0, 0, 0), (0, 5, 3), (2, 1, 0))
    assert (found.pairs, found.disagreed, found.agreement) == (11, 6, 5 / 11)
    assert found.most_disagreed() == [("a", "b", 3), ("b", "(skipped)", 2), ("b", "a", 1)]
    first = found.disagreements[0]
    assert (first.champion_id, first.challenger_id, first.champion, first.challenger) == ("a-5", "b-5", "a", "b")
    assert len(found.disagreements) == 6


def test_the_interval_of_the_agreement_is_wilsons() -> None:
    found = judged(Mirrored(tuple(Pair(answer("a"), answer("a" if n < 90 else "b")) for n in range(100))))
    assert (found.low, found.high) == (pytest.approx(0.83964, abs=1e-5), pytest.approx(0.93928, abs=1e-5))


def test_latencies_are_compared_where_neither_side_answered_from_its_cache() -> None:
    mixed = (Pair(answer("a", 10), answer("a", 20)), Pair(answer("a", 0.1, cached=True), answer("a", 900)))
    found = judged(Mirrored(mixed))
    assert found.champion_latency is not None
    assert found.challenger_latency is not None
    assert (found.champion_latency.answers, found.champion_latency.p95_ms, found.challenger_latency.p95_ms) == (1, 10, 20)


def test_disagreement_alone_stops_nobody() -> None:
    other = tuple(Pair(one.champion, one.challenger._replace(label="b")) for one in pairs(200))
    found = judged(Mirrored(other, champion_requests=200))
    assert (found.verdict, found.agreement) == ("passed", 0)
    assert found.reason == "200 requests in 10 s, no metric beyond its limit or in doubt"


def test_too_few_requests_are_waited_for_and_then_inconclusive() -> None:
    assert judged(Mirrored(pairs(99), champion_requests=99)).verdict is None
    late = judged(Mirrored(pairs(99), champion_requests=500), duration_s=60, sampling_percentage=20)
    assert (late.verdict, late.reason) == (
        "inconclusive",
        "after 60 s 99 of 100 requests answered by both; the champion answered 500, of which 20% are mirrored",
    )


def test_an_endpoint_without_requests_is_told_what_to_do() -> None:
    assert judged(Mirrored(), duration_s=61).reason == (
        "after 61 s 0 of 100 requests answered by both; the endpoint had no requests: set probe_rate_per_s of its stage, "
        "or rollout.shadow.sampling_percentage = 0"
    )


def test_copies_that_fail_are_a_failure_before_there_are_enough_answers() -> None:
    found = judged(Mirrored((), errors=20, champion_requests=20))
    assert found.verdict == "failed"
    assert found.reason.startswith("error_rate 100.00%, allowed 1.00%; evidence ")


def test_a_single_failed_copy_among_hundreds_is_no_failure() -> None:
    assert judged(Mirrored(pairs(300), errors=1, champion_requests=300)).verdict == "passed"


def test_errors_that_cannot_be_told_from_the_limit_are_watched_until_the_deadline() -> None:
    seen = Mirrored(pairs(100), errors=5, champion_requests=100)
    assert judged(seen).verdict is None
    assert judged(seen, duration_s=60).verdict == "inconclusive"
    assert judged(seen, duration_s=60).reason.startswith("after 60 s in doubt: error_rate 4.76%, allowed 1.00%; evidence ")


SLOW = "seconds in which the same texts took longer than 1.25 times"


def test_a_candidate_that_is_twice_as_slow_on_the_same_texts_fails_and_not_before_there_are_enough() -> None:
    assert judged(Mirrored(pairs(99, times=2.5))).verdict is None
    found = judged(Mirrored(pairs(100, times=2.5)))
    assert found.verdict == "failed"
    assert found.reason.startswith(f"{SLOW} 100.00%, allowed 50.00%; evidence ")


def test_a_few_seconds_in_which_one_process_got_no_time_are_no_slowness() -> None:
    """Forty copies in a row that took four times as long, among as many more as were needed: seen with equal models on a busy machine."""
    usual = pairs(100)
    held_up = tuple(
        one._replace(challenger=one.challenger._replace(latency_ms=4 * one.champion.latency_ms)) if 30 <= n < 70 else one
        for n, one in enumerate(usual)
    )
    assert judged(Mirrored(held_up)).verdict == "passed"


def test_a_slow_tail_fails_where_most_answers_are_as_quick() -> None:
    slow = tuple(
        one._replace(challenger=one.challenger._replace(latency_ms=200.0)) if n % 5 == 0 else one for n, one in enumerate(pairs(600))
    )
    found = judged(Mirrored(slow))
    assert found.verdict == "failed"
    assert found.reason.startswith("p95_ms 200 ms beside the champion's ")


def test_a_few_milliseconds_of_a_small_model_are_no_slowness() -> None:
    quick = tuple(Pair(answer("a", 0.5)._replace(second=n // 5), answer("a", 1.5)) for n in range(500))
    assert judged(Mirrored(quick)).verdict == "passed"


def test_equal_models_are_stopped_less_often_than_the_policy_allows() -> None:
    """At every look of 200 shadows of up to 500 pairs, 20 pairs apart."""
    stopped = 0
    for seed in range(200):
        all_pairs = pairs(500, seed=seed)
        looks = (judged(Mirrored(all_pairs[:n], champion_requests=n), min_requests=20).verdict for n in range(20, 501, 20))
        stopped += "failed" in looks
    assert stopped <= 2


@pytest.mark.parametrize(
    ("champion", "tests", "percentage", "why"),
    [
        ("old", "passed", 20, ""),
        ("old", "passed", 0, "rollout.shadow.sampling_percentage is 0"),
        (None, "passed", 20, "there is no champion yet whose requests could be mirrored"),
        ("old", "failed", 20, "regression and load test failed, so the candidate is stopped without one"),
        ("old", "inconclusive", 20, "regression and load test inconclusive, so the candidate is stopped without one"),
    ],
)
def test_a_shadow_is_skipped_for_a_reason_that_is_said(champion: str | None, tests: Any, percentage: int, why: str) -> None:
    assert skipped_because(Shadow(sampling_percentage=percentage), champion, tests) == why


def test_a_skipped_shadow_is_no_gate_and_says_so() -> None:
    skipped = ShadowReport(skipped="there is no champion yet")
    assert gates(skipped) == gates(None) == ()
    assert summary_line(skipped) == "Shadow: skipped: there is no champion yet"


def test_the_gate_says_what_was_found() -> None:
    (gate,) = gates(judged(Mirrored(pairs(200), champion_requests=900)))
    assert (gate.name, gate.verdict, gate.expected) == (
        "shadow",
        "passed",
        "at least 100 mirrored requests answered; errors and latency within their limits",
    )
    assert gate.found == "200 mirrored requests, 0 errors, 100.0% answered the same (98.7% to 100.0%)"


def test_a_candidate_that_did_not_start_is_a_failed_gate() -> None:
    (gate,) = gates(without(POLICY, "failed", "the candidate did not start: it ended with exit status 7", "replies-production", "old"))
    assert (gate.verdict, gate.found, gate.detail) == (
        "failed",
        "0 mirrored requests, 0 errors",
        "the candidate did not start: it ended with exit status 7",
    )


def test_the_page_under_way_shows_metrics_matrix_and_why() -> None:
    seen = Mirrored((*pairs(40), Pair(answer("a|x"), answer("b"))), champion_requests=41)
    shown = markdown(judged(seen), datetime(2026, 5, 1, tzinfo=UTC))
    assert shown.startswith("**shadow at replies-production under way: 100% mirrored for 10 s; 41 mirrored requests, 0 errors, ")
    assert "Why: 41 of 100 requests answered by both" in shown
    assert "| a/x | 0 | 0 | 1 |" in shown
    assert shown.endswith("2026-05-01 00:00:00 UTC")


def test_the_summary_names_the_most_frequent_disagreements() -> None:
    seen = Mirrored((*pairs(97), *[Pair(answer("other"), answer("referral"))] * 3), champion_requests=100)
    assert summary_line(judged(seen)) == (f"Shadow: passed, {told(judged(seen))}; other became referral 3 times")
    assert headline(judged(seen)).startswith("shadow at replies-production passed: ")


def test_every_fault_of_the_policy_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as fault:
        Rollout.model_validate({"shadow": {"sampling_percentage": 101, "min_requests": 0, "max_duration_s": 0, "percent": 3}})
    told_of = [(one["loc"], one["type"]) for one in fault.value.errors()]
    assert told_of == [
        (("shadow", "sampling_percentage"), "less_than_equal"),
        (("shadow", "min_requests"), "greater_than_equal"),
        (("shadow", "max_duration_s"), "greater_than"),
        (("shadow", "percent"), "extra_forbidden"),
    ]
