"""An A/B test from log lines to its page: what is counted, compared, corrected for, warned of, and concluded."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from made_up_release import RELEASE, WITH_PAGE, keep
from pydantic import ValidationError

from deployments.answers import answers_between
from deployments.corrections import corrections_since, count_corrections
from headgate.evaluation.drops import mcnemar
from headgate.lake import FolderLake
from headgate.record import canonical
from headgate.release.ab_test import ABReport
from headgate.release.ab_test_counts import Counted, Pair, count, text_key
from headgate.release.ab_test_page import keep_report, render
from headgate.release.ab_test_report import ab_report
from headgate.release.asking_again import ask_again
from headgate.release.observation import Answers
from headgate.release.record import folder
from headgate.release.rollout import ab_test_folder
from headgate.settings import ABTest, Stage
from stack.gateway import _READABLE

SINCE = datetime(2026, 5, 1, 12, tzinfo=UTC)
TEST = ABTest(hold_s=60)
PRIMARY = TEST.model_copy(update={"primary_metric": "right_share"})


def line(cohort: str, number: int, label: str | None, text: str | None = None, **more: Any) -> dict[str, Any]:
    told = {"ts": (SINCE + timedelta(milliseconds=number)).isoformat(), "cohort": cohort, "prediction_id": f"{cohort}-{number}"}
    return {**told, "label": label, "outcome": "scored", "score": 0.8, "text": text or f"{cohort} {number}", **more}


def lines(cohort: str, right: int, wrong: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Answers of which a user said of each that it is right, or wrong."""
    found = [line(cohort, number, "yes") for number in range(right + wrong)]
    return found, {one["prediction_id"]: "yes" if n < right else "no" for n, one in enumerate(found)}


def report(counted: Counted, test: ABTest = TEST) -> ABReport:
    return ab_report(counted, test, RELEASE.model, "production", RELEASE.id, "old", SINCE, SINCE + timedelta(seconds=60))


def judged(ours: tuple[int, int], theirs: tuple[int, int], test: ABTest = TEST) -> ABReport:
    (mine, said), (others, of_others) = lines("challenger", *ours), lines("champion", *theirs)
    return report(count(Answers([*mine, *others], {"challenger": 2}, said | of_others)), test)


def test_answers_are_counted_by_cohort_and_outcome() -> None:
    given = [
        line("challenger", 1, "yes", score=0.5),
        line("challenger", 2, "no", score=1.0, outcome="abstained"),
        line("challenger", 3, None, score=None, outcome="skipped"),
        line("champion", 4, "yes"),
        line("shadow", 5, "no"),
    ]
    found = count(Answers(given, {"challenger": 4}, {"challenger-1": "no", "challenger-2": "no", "shadow-5": "yes"}))
    ours, theirs = found.cohorts["challenger"], found.cohorts["champion"]
    assert (ours.requests, ours.answered, ours.failed, ours.abstained, ours.read) == (7, 3, 4, 1, 2)
    assert (ours.corrected, ours.confirmed, ours.judged, ours.labels) == (1, 1, 2, {"yes": 1, "no": 1})
    assert (ours.scores.size, ours.scores.mean, ours.scores.squares) == (2, 0.75, 1.25)
    assert (theirs.requests, theirs.corrected, theirs.confirmed) == (1, 0, 0)


def test_a_text_that_both_answered_is_one_pair_however_often_it_came() -> None:
    given = [line("challenger", n, "a", "same  text") for n in (1, 2, 3)] + [line("champion", n, "b", "same  text") for n in (4, 5)]
    found = count(Answers(given, {}, {"champion-5": "a"}))
    assert found.pairs == [Pair(challenger="a", champion="b", truth="a", judged="champion")]


def test_a_copy_for_the_shadow_makes_a_pair_where_the_challenger_gave_no_answer() -> None:
    given = [line("shadow", 1, "a", "t"), line("champion", 2, "b", "t"), line("challenger", 3, "c", "u"), line("shadow", 4, "d", "u")]
    given.append(line("champion", 5, "c", "u"))
    assert [(pair.challenger, pair.champion) for pair in count(Answers(given, {}, {})).pairs] == [("a", "b"), ("c", "c")]


def test_texts_are_told_apart_by_text_hash_or_the_id_of_a_copy() -> None:
    text = "Budget is tight"
    hashed = hashlib.sha256(text.encode()).hexdigest()
    assert text_key({"text": text}) == text_key({"hash": hashed}) == hashed
    assert text_key({"mirror": "m1"}) == "m1"
    assert text_key({}) is None
    bare = [{**line("champion", 1, "a"), "text": None}]
    assert report(count(Answers(bare, {}, {}))).cautions == (
        "1 answers could not be paired: the log keeps neither text nor hash (feedback.log_text = none).",
    )


def test_each_metric_stands_beside_the_champions() -> None:
    found = {one.metric: one for one in judged((160, 40), (300, 100)).compared}
    assert list(found) == ["right_share", "correction_rate", "error_rate", "abstention_rate", "confidence", "share of yes"]
    right = found["right_share"]
    assert (right.challenger.hits, right.challenger.of, right.champion.hits, right.champion.of) == (160, 200, 300, 400)
    assert (right.difference, right.low, right.high) == (
        pytest.approx(0.05),
        pytest.approx(-0.02278, abs=1e-5),
        pytest.approx(0.11672, abs=1e-5),
    )
    assert found["correction_rate"].difference == pytest.approx(-0.05)
    assert found["error_rate"].challenger.value == pytest.approx(2 / 202)
    assert (found["confidence"].difference, found["confidence"].challenger.hits) == (pytest.approx(0), None)


def test_p_values_are_corrected_for_their_number_and_the_primary_metric_is_not() -> None:
    for test in (TEST, PRIMARY):
        found = judged((180, 20), (300, 100), test).compared
        others = sorted((one for one in found if not one.primary), key=lambda one: one.p_value)
        assert others[0].p_corrected == pytest.approx(min(1, others[0].p_value * len(others)))
        assert [one.metric for one in found if one.primary] == (["right_share"] if test is PRIMARY else [])
        assert all(one.p_corrected == one.p_value for one in found if one.primary)


def test_what_nobody_said_anything_of_is_left_out_with_the_reason() -> None:
    found = report(count(Answers([line("challenger", 1, "yes"), line("challenger", 2, "yes"), line("champion", 3, "yes")], {}, {})))
    assert found.left_out == (
        "right_share: expected 1 observations of the challenger at least, found 0",
        "confidence: expected 2 observations of the champion at least, found 1",
    )
    assert report(count(Answers([], {}, {}))).compared == ()


def test_texts_that_both_answered_are_compared_by_mcnemars_test() -> None:
    """3 texts that only the champion got right and 9 that only the challenger did: 2 * (1 + 12 + 66 + 220) / 2^12."""
    given, said = [], {}
    for number, (ours, theirs) in enumerate([("yes", "yes")] * 80 + [("no", "yes")] * 3 + [("yes", "no")] * 9 + [("no", "no")] * 8):
        given += [line("challenger", number, ours, f"text {number}"), line("champion", number, theirs, f"text {number}")]
        said[f"{'challenger' if number % 2 else 'champion'}-{number}"] = "yes"
    paired = report(count(Answers(given, {}, said))).paired
    assert (paired.texts, paired.agreed, paired.judged, paired.judged_by_challenger) == (100, 88, 100, 50)
    assert (paired.harmful, paired.beneficial, paired.p_value) == (3, 9, pytest.approx(598 / 4096))
    assert paired.p_value == mcnemar(3, 9)
    assert paired.right is not None
    assert (paired.right.candidate, paired.right.champion, paired.right.difference) == (0.89, 0.83, pytest.approx(0.06))
    assert [(one.challenger, one.champion, one.texts) for one in paired.disagreements] == [("yes", "no", 9), ("no", "yes", 3)]


def test_what_a_reader_could_take_for_more_than_it_is_is_said() -> None:
    one_sided = [line(cohort, n, label, f"t{n}") for n in range(10) for cohort, label in (("challenger", "a"), ("champion", "b"))]
    found = report(count(Answers(one_sided, {}, {f"champion-{n}": "a" for n in range(10)})))
    assert found.cautions == (
        "Users corrected answers and confirmed none: right_share is of corrected answers only and says nothing; read correction_rate.",
        "Of the 10 paired outcomes 0 came for the challenger's answers. Who corrects what he sees finds the mistakes of the model that he "
        "sees, so pairs judged on one side favour the other.",
    )
    assert judged((10, 2), (10, 2)).cautions == ()


@pytest.mark.parametrize(
    ("ours", "min_effect", "verdict", "told"),
    [
        ((180, 20), 0.05, "passed", "needed at least 5 points better"),
        ((140, 60), 0.05, "failed", "needed at least 5 points better"),
        ((160, 40), 0.05, "inconclusive", "needed at least 5 points better"),
        ((160, 40), -0.03, "passed", "allowed at most 3 points worse"),
        ((120, 80), -0.03, "failed", "allowed at most 3 points worse"),
    ],
)
def test_with_an_effect_the_interval_of_the_primary_metric_decides(
    ours: tuple[int, int], min_effect: float, verdict: str, told: str
) -> None:
    found = judged(ours, (300, 100), PRIMARY.model_copy(update={"min_effect": min_effect})).concluded
    assert found.verdict == verdict
    assert found.told.startswith(f"right_share {ours[0] / 200:.2%} beside 75.00%, ")
    assert found.told.endswith(told)


def test_less_is_better_where_a_metric_counts_harm() -> None:
    fewer = TEST.model_copy(update={"primary_metric": "correction_rate", "min_effect": 0.05})
    assert judged((180, 20), (300, 100), fewer).concluded.verdict == "passed"
    assert judged((120, 80), (300, 100), fewer).concluded.verdict == "failed"


@pytest.mark.parametrize(
    ("metric", "verdict"),
    [
        ("confidence", "passed"),
        ("right_share", "inconclusive"),
        ("correction_rate", "inconclusive"),
        ("error_rate", "inconclusive"),
        ("abstention_rate", "inconclusive"),
    ],
)
def test_two_equal_models_meet_an_effect_of_zero_only_where_nothing_varies(metric: str, verdict: str) -> None:
    wanted = ABTest.model_validate({"hold_s": 60, "primary_metric": metric, "min_effect": 0})
    (mine, said), (others, of_others) = lines("challenger", 300, 100), lines("champion", 300, 100)
    assert report(count(Answers([*mine, *others], {}, said | of_others)), wanted).concluded.verdict == verdict
    varied = [line(cohort, n, "yes", score=0.5 + n / 1000) for cohort in ("challenger", "champion") for n in range(400)]
    assert report(count(Answers(varied, {}, {})), wanted).concluded.verdict == "inconclusive"


def test_without_an_effect_the_numbers_only_inform() -> None:
    assert judged((180, 20), (300, 100)).concluded.told == "2 of 6 metrics differ: right_share, correction_rate"
    assert judged((160, 40), (300, 100)).concluded.told == "0 of 6 metrics differ"
    assert judged((180, 20), (300, 100), PRIMARY).concluded.verdict == "informs"


def test_a_decision_without_data_is_inconclusive_and_says_what_is_missing() -> None:
    found = report(count(Answers([], {}, {})), PRIMARY.model_copy(update={"min_effect": 0.0})).concluded
    assert (found.verdict, found.told) == ("inconclusive", "right_share: expected 1 observations of the challenger at least, found 0")


def test_the_page_lies_under_the_releases_evidence_by_its_digest_and_the_gateway_shows_it(tmp_path: Path) -> None:
    lake, found = FolderLake(tmp_path), judged((180, 20), (300, 100))
    ended = keep_report(lake, found)
    assert keep_report(lake, found) == ended
    assert ended.page
    assert _READABLE.fullmatch(ended.page)
    assert lake.keys(ab_test_folder(RELEASE.id, "production")) == [ended.page, ended.page.replace("index.html", "report.json")]
    assert hashlib.sha256(lake.read(ended.page)).hexdigest() == ended.digest
    kept = lake.read(ended.page.replace("index.html", "report.json"))
    assert ABReport.model_validate_json(kept) == found


def test_a_new_gate_run_over_an_undecided_test_brings_its_page_along(tmp_path: Path) -> None:
    lake = FolderLake(tmp_path)
    keep(lake, WITH_PAGE)
    lake.put_if_absent(f"{folder(WITH_PAGE.id)}/evidence/summary.md", b"summary")
    ended = keep_report(lake, judged((160, 40), (300, 100)).model_copy(update={"release": WITH_PAGE.id}))
    asked = ask_again(lake, WITH_PAGE, "production", f"inconclusive: A/B test: {ended.told}", None, None)
    assert ended.page
    assert lake.read(ended.page.replace(WITH_PAGE.id, asked.id)) == lake.read(ended.page)


def test_the_page_shows_every_number_and_how_it_may_be_read() -> None:
    page = render(judged((180, 20), (300, 100), PRIMARY))
    for told in ("90.00%", "75.00%", "+15.00", "These numbers were looked at once", "No text was answered by both.", 'href="report.json"'):
        assert told in page
    assert '<td class="name" title="right_share">right share <span class="pill plain">primary</span></td>' in page
    assert render(judged((180, 20), (300, 100), PRIMARY)) == page


def test_labels_and_notes_cannot_become_markup() -> None:
    given = [
        line(cohort, n, "<script>alert(1)</script>", "t") for n, cohort in enumerate(("challenger", "champion", "challenger", "champion"))
    ]
    assert "<script>alert" not in render(report(count(Answers(given, {}, {}))))


def write(file: Path, *rows: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(canonical(row) + b"\n" for row in rows))


def at(seconds: float) -> str:
    return (SINCE + timedelta(seconds=seconds)).isoformat()


def test_corrections_of_either_server_are_joined_by_prediction_id_and_only_those_in_time_count(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "new", tmp_path / "old"
    write(theirs / "feedback" / "feedback-1.jsonl", {"ts": at(30), "prediction_id": "p1", "label": "b"})
    write(
        ours / "feedback" / "feedback-2.jsonl",
        {"ts": at(-5), "prediction_id": "p1", "label": "c"},
        {"ts": at(20), "prediction_id": "p2", "label": "a"},
        {"ts": at(200), "prediction_id": "p3", "label": "b"},
    )
    told = corrections_since([ours, theirs], SINCE)
    answered = [{"ts": at(10 * n), "prediction_id": f"p{n}", "label": "a", "outcome": "scored"} for n in (1, 2, 3, 9)]
    answered.append({"ts": at(1), "prediction_id": "p5", "label": None, "outcome": "skipped"})
    found = count_corrections(answered, told, 60, SINCE + timedelta(seconds=140))
    assert (found.answers, found.corrected, found.confirmed) == (3, 1, 1)


def test_the_last_correction_in_time_counts_and_a_later_one_changes_nothing(tmp_path: Path) -> None:
    rows = [{"ts": at(second), "prediction_id": "p1", "label": label} for second, label in ((5, "b"), (9, "a"), (99, "b"))]
    write(tmp_path / "feedback" / "feedback-1.jsonl", *rows)
    told = corrections_since([tmp_path], SINCE)
    answered = [{"ts": at(1), "prediction_id": "p1", "label": "a", "outcome": "scored"}]
    for now in (70, 200):
        found = count_corrections(answered, told, 60, SINCE + timedelta(seconds=now))
        assert (found.corrected, found.confirmed) == (0, 1)


def test_a_report_covers_exactly_its_time_and_each_cohorts_own_release(tmp_path: Path) -> None:
    new, old, errors = tmp_path / "new", tmp_path / "old", tmp_path / "errors.jsonl"
    write(new / "a.jsonl", *(line("challenger", n, "yes") for n in (-5, 10, 20)), line("shadow", 30, "yes"), line("champion", 40, "yes"))
    write(old / "a.jsonl", line("champion", 15, "no"), line("champion", 90_000, "no"))
    write(errors, *({"ts": at(s), "cohort": "challenger", "release": r} for s, r in ((1, "new"), (2, "gone"), (70, "new"))))
    write(
        old / "feedback" / "feedback-1.jsonl",
        {"ts": at(3), "prediction_id": "challenger-10", "label": "no"},
        {"ts": at(70), "prediction_id": "challenger-20", "label": "no"},
    )
    until = SINCE + timedelta(seconds=60)
    found = answers_between({"challenger": "new", "champion": "old"}, {"challenger": new, "champion": old}, errors, SINCE, until)
    assert sorted(one["prediction_id"] for one in found.lines) == ["challenger-10", "challenger-20", "champion-15", "shadow-30"]
    assert (found.failed, found.corrections) == ({"challenger": 1}, {"challenger-10": "no"})


def faults(**given: Any) -> list[str]:
    with pytest.raises(ValidationError) as fault:
        Stage.model_validate({"environment": "production", **given})
    return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in fault.value.errors()]


def test_all_faults_of_an_ab_test_are_told_at_once() -> None:
    test = {"challenger_percent": 100, "hold_s": 0, "confidence_level": 1, "primary_metric": "clicks", "min_effect": 2, "percent": 5}
    assert faults(ab_test=test) == [
        "ab_test.challenger_percent: Input should be less than or equal to 99",
        "ab_test.hold_s: Input should be greater than 0",
        "ab_test.confidence_level: Input should be less than 1",
        "ab_test.primary_metric: Input should be 'right_share', 'correction_rate', 'error_rate', 'abstention_rate' or 'confidence'",
        "ab_test.min_effect: Input should be less than or equal to 1",
        "ab_test.percent: Extra inputs are not permitted",
    ]
    assert faults(ab_test={"hold_s": 60, "min_effect": 0.01}) == [
        "ab_test.min_effect: Value error, expected a primary_metric for min_effect = 0.01, found none; name one, or leave min_effect out"
    ]


def test_a_split_follows_the_canarys_shares() -> None:
    routing = {"type": "LINEAR", "linear_step_size_percent": 30}
    assert faults(ab_test={"hold_s": 60}, traffic_routing=routing, bake_time_s=99, auto_rollback={"max_duration_s": 9}) == [
        "ab_test: Value error, expected challenger_percent of at least 90, the last share before it, found 50; "
        "raise it, or let the canary end at a smaller share",
        "auto_rollback: Value error, expected max_duration_s of at least wait_interval_s + bake_time_s = 99, found 9; "
        "raise it, or bake for less time",
    ]
    assert faults(ab_test={"hold_s": 60}, traffic_routing={"type": "ALL_AT_ONCE"}) == [
        "ab_test: Value error, expected no A/B test for traffic_routing.type = ALL_AT_ONCE, which leaves no champion to compare with, "
        "found one; set type = CANARY or LINEAR, or leave ab_test out"
    ]
    assert Stage(environment="production", ab_test=TEST).looks == 2
