"""Gates decide as their rules say, and are worth trusting at 300 rows."""

import re

import numpy as np

from headgate.evaluation.comparison import compare
from headgate.evaluation.gates import judge, judge_against_champion, judge_alone, judge_behaviours, judged, overall
from headgate.evaluation.metrics import measure
from headgate.evaluation.report import Behaviour, GateResult, Metrics, Verdict
from headgate.settings import Gates

LABELS = [f"label-{i}" for i in range(9)]
SETTINGS = Gates()


def metrics_of(truth: list[str], predicted: list[str]) -> Metrics:
    return measure(truth, predicted, ["scored"] * len(truth))


def gates_of(truth: list[str], candidate: list[str], champion: list[str], settings: Gates = SETTINGS) -> dict[str, GateResult]:
    paired = compare(truth, candidate, champion)
    gates = judge(metrics_of(truth, candidate), metrics_of(truth, champion), None, paired, settings)
    return {gate.name: gate for gate in gates}


def simulated(
    rng: np.random.Generator, rows: int, accuracy: float, worse_by: float, churn: float
) -> tuple[list[str], list[str], list[str]]:
    """Truth, candidate and champion: one model alone is right on `churn` of the rows, the champion on `worse_by` more of them."""
    truth = rng.integers(0, 9, rows)
    wrong, also_wrong = (truth + rng.integers(1, 9, rows)) % 9, (truth + rng.integers(1, 9, rows)) % 9
    lost, won = (churn + worse_by) / 2, (churn - worse_by) / 2
    case = rng.choice(4, rows, p=[accuracy - lost, lost, won, 1 - accuracy - won])
    candidate = np.where(np.isin(case, [0, 2]), truth, wrong)
    champion = np.where(np.isin(case, [0, 1]), truth, also_wrong)
    return tuple([LABELS[i] for i in column] for column in (truth, candidate, champion))  # type: ignore[return-value]


def share_that_passes(worse_by: float, churn: float, rows: int = 300, repeats: int = 120) -> float:
    rng = np.random.default_rng(7)
    verdicts = []
    for _ in range(repeats):
        gates = gates_of(*simulated(rng, rows, accuracy=0.86, worse_by=worse_by, churn=churn))
        verdicts.append(overall(gate.verdict for gate in gates.values()))
    return verdicts.count("passed") / repeats


def test_at_300_rows_an_equally_good_challenger_passes_and_one_six_points_worse_is_stopped() -> None:
    assert share_that_passes(worse_by=0.0, churn=0.10) >= 0.92
    assert share_that_passes(worse_by=0.06, churn=0.10) <= 0.12


def test_the_same_answers_pass() -> None:
    truth, _, champion = simulated(np.random.default_rng(0), 300, 0.86, 0.0, 0.1)
    assert {gate.verdict for name, gate in gates_of(truth, champion, champion).items() if name != "beats_linear_floor"} == {"passed"}


def test_a_certain_drop_fails_and_says_by_how_much() -> None:
    truth, candidate, champion = simulated(np.random.default_rng(0), 300, 0.86, 0.15, 0.2)
    gate = gates_of(truth, candidate, champion)["accuracy_against_champion"]
    assert gate.verdict == "failed"
    assert gate.expected == "a drop of at most 2.0 points from 88.0%, or one that chance explains"
    assert gate.found == "72.3%: \N{MINUS SIGN}15.7 points"


def test_too_few_rows_are_inconclusive_and_say_what_to_do() -> None:
    truth = LABELS * 2
    gate = gates_of(truth, truth, truth)["accuracy_against_champion"]
    assert gate.verdict == "inconclusive"
    assert "chance alone moves it by 16.7 points, more than 3 times the margin: use more rows or a wider margin; a drop" in gate.detail
    assert gate.detail.endswith("a drop of 23.8 points would have been seen 4 times of 5")


def test_a_clear_improvement_passes_whatever_chance_does() -> None:
    truth, better, worse = simulated(np.random.default_rng(0), 60, 0.6, -0.3, 0.34)
    assert gates_of(truth, better, worse)["accuracy_against_champion"].verdict == "passed"


def test_a_lost_label_fails_while_the_others_stay() -> None:
    truth = LABELS * 30
    champion = list(truth)
    candidate = ["label-1" if label == "label-0" else label for label in truth]
    gate = gates_of(truth, candidate, champion)["label_recall_against_champion"]
    assert gate.verdict == "failed"
    assert gate.expected == "no label's recall down by more than 10.0 points, unless chance explains it"
    assert gate.found == "1 of 9 labels; lowest: label-0, \N{MINUS SIGN}100.0 points on 30 rows"
    assert re.fullmatch(r"label-0; in half of the labels a drop of \d\d points would have been seen 4 times of 5", gate.detail)


def test_a_fifth_of_one_labels_rows_lost_fails_and_half_of_the_margin_does_not() -> None:
    truth = LABELS * 100
    lost = [i for i, label in enumerate(truth) if label == "label-4"]
    for share, verdict in ((20, "failed"), (5, "passed")):
        candidate = ["label-5" if i in lost[:share] else label for i, label in enumerate(truth)]
        assert gates_of(truth, candidate, truth)["label_recall_against_champion"].verdict == verdict


def test_a_label_with_few_rows_does_not_stop() -> None:
    truth = ["label-0"] * 4 + ["label-1"] * 296
    candidate = ["label-1", "label-1", *truth[2:]]
    gate = gates_of(truth, candidate, truth)["label_recall_against_champion"]
    assert gate.verdict == "passed"
    assert gate.found == "0 of 2 labels; lowest: label-0, \N{MINUS SIGN}50.0 points on 4 rows"


def test_labels_and_slices_carry_their_verdict_and_what_they_could_have_shown() -> None:
    truth = LABELS * 100
    candidate = ["label-1" if label == "label-0" else label for label in truth]
    paired = compare(truth, candidate, truth, columns={"source": ["mail", "chat", "phone"] * 300})
    assert paired is not None
    found = judged(paired, SETTINGS)
    assert [one.verdict for one in found.labels] == ["failed"] + ["passed"] * 8
    assert [(one.value, one.verdict) for one in found.slices] == [("chat", "passed"), ("mail", "failed"), ("phone", "passed")]
    drops = [one.recall.detectable for one in found.labels]
    assert all(drop is not None and 0.1 < drop < 0.25 for drop in drops)
    assert found.accuracy.detectable is not None
    assert 0.02 < found.accuracy.detectable < 0.06


def test_a_lost_slice_fails_and_is_named() -> None:
    truth = LABELS * 40
    source = ["chat" if i % 10 == 0 else "mail" for i in range(360)]
    candidate = ["label-1" if s == "chat" and i % 3 == 0 else t for i, (s, t) in enumerate(zip(source, truth, strict=True))]
    paired = compare(truth, candidate, truth, columns={"source": source})
    assert paired is not None
    gates = {gate.name: gate for gate in judge_against_champion(paired, SETTINGS)}
    gate = gates["slice_accuracy_against_champion"]
    assert gate.verdict == "failed"
    assert gate.found == "1 of 2 slices; lowest: source chat, \N{MINUS SIGN}33.3 points on 36 rows"
    assert gates["label_recall_against_champion"].verdict == "passed", "its losses are spread over three labels"


def test_slices_that_could_not_be_told_are_inconclusive_and_say_so() -> None:
    paired = compare(LABELS * 40, LABELS * 40, LABELS * 40)
    assert paired is not None
    left_out = paired.model_copy(update={"slices_left_out": ("language left out: its package is not installed",)})
    gate = judge_against_champion(left_out, SETTINGS)[-1]
    assert (gate.name, gate.verdict) == ("slice_accuracy_against_champion", "inconclusive")
    assert gate.detail == "language left out: its package is not installed"


def behaviour(name: str, fell: int, verdict: Verdict, champion_fell: int | None = 1) -> Behaviour:
    return Behaviour(name=name, kind="invariance", rows=20, fell=fell, champion_fell=champion_fell, tolerance=0.1, verdict=verdict)


def test_one_gate_over_all_behavioural_tests_names_the_worst_and_those_beyond_their_tolerance() -> None:
    gate = judge_behaviours([behaviour("typos", 3, "failed"), behaviour("letter case", 1, "passed", None)])
    assert (gate.verdict, gate.expected) == ("failed", "every behavioural test within its tolerance")
    assert gate.found == "1 of 2 tests; worst: typos: 3 of 20 rows fell (at most 10.0%, champion 1)"
    assert gate.detail == "typos: 3 of 20 rows fell (at most 10.0%, champion 1)"
    passed = judge_behaviours([behaviour("letter case", 1, "passed", None)])
    assert (passed.verdict, passed.found) == ("passed", "1 of 1 tests; worst: letter case: 1 of 20 rows fell (at most 10.0%)")
    assert passed.detail == ""


def test_missing_comparison_with_a_champion_is_inconclusive() -> None:
    truth = LABELS * 30
    gates = judge(metrics_of(truth, truth), metrics_of(truth, truth), None, None, SETTINGS)
    assert overall(gate.verdict for gate in gates) == "inconclusive"


def test_a_first_release_needs_the_linear_floor() -> None:
    truth = LABELS * 30
    gates = judge(metrics_of(truth, truth), None, None, None, SETTINGS)
    assert [(gate.name, gate.verdict) for gate in gates][-1] == ("beats_linear_floor", "inconclusive")


def floor_gate(truth: list[str], candidate: list[str], floor: list[str]) -> GateResult:
    paired = compare(truth, candidate, floor)
    return judge(metrics_of(truth, candidate), None, metrics_of(truth, floor), None, SETTINGS, paired)[-1]


def test_a_candidate_above_the_linear_floor_passes_and_one_below_fails() -> None:
    truth, good, bad = simulated(np.random.default_rng(0), 300, 0.7, -0.2, 0.24)
    assert floor_gate(truth, good, bad).verdict == "passed"
    gate = floor_gate(truth, bad, good)
    assert (gate.verdict, gate.expected) == ("failed", "macro-F1 above the linear floor's 92.2%")
    assert gate.found == "70.4%: \N{MINUS SIGN}21.8 points"
    assert gate.detail.endswith("in 9 of 10 such tests of 300 rows")


def test_one_right_answer_more_than_the_linear_floor_is_enough_and_one_less_is_not() -> None:
    truth = LABELS * 30
    two_wrong, one_wrong = ["label-1", "label-2", *truth[2:]], ["label-1", *truth[1:]]
    assert floor_gate(truth, one_wrong, two_wrong).verdict == "passed"
    assert floor_gate(truth, two_wrong, one_wrong).verdict == "failed", "chance is no excuse"


def test_being_as_good_as_the_linear_floor_is_not_enough_unless_both_are_perfect() -> None:
    truth = LABELS * 2
    wrong = ["label-1", *truth[1:]]
    assert floor_gate(truth, wrong, wrong).verdict == "failed"
    gate = floor_gate(truth, truth, truth)
    assert (gate.verdict, gate.found, gate.detail) == ("passed", "100.0%: +0.0 points", "nothing left to beat")


def test_at_300_rows_a_candidate_four_points_above_the_floor_passes_and_one_as_good_stops_every_second_time() -> None:
    def share(better_by: float, repeats: int = 120) -> float:
        rng = np.random.default_rng(7)
        gates = [floor_gate(*simulated(rng, 300, accuracy=0.86, worse_by=-better_by, churn=0.14)) for _ in range(repeats)]
        return [gate.verdict for gate in gates].count("passed") / repeats

    assert share(better_by=0.04) >= 0.93
    assert 0.35 <= share(better_by=0.0) <= 0.65
    assert share(better_by=-0.06) <= 0.02


def test_bounds_on_accuracy_macro_f1_and_coverage() -> None:
    metrics = measure(["a", "b", "a", "b"], ["a", "a", None, "b"], ["scored", "abstained", "skipped", "abstained"])
    gates = judge_alone(metrics, Gates(min_accuracy=0.6, min_macro_f1=0.7, min_coverage=0.5))
    assert [(g.name, g.verdict, g.expected, g.found, g.detail) for g in gates] == [
        ("accuracy", "passed", "at least 60.0%", "66.7%", "3 rows with a label"),
        ("macro_f1", "failed", "at least 70.0%", "66.7%", "3 rows with a label"),
        ("coverage", "failed", "at least 50.0%", "25.0%", "4 rows"),
    ]


def test_the_worst_verdict_counts() -> None:
    assert overall(["passed", "inconclusive", "failed"]) == "failed"
    assert overall(["failed", "error"]) == "error"
    assert overall([]) == "inconclusive"
