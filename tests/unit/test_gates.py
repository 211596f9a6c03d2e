"""Gates decide as their rules say, and are worth trusting at 300 rows."""

import numpy as np

from headgate.evaluation.comparison import compare
from headgate.evaluation.gates import judge, judge_alone, overall
from headgate.evaluation.metrics import measure
from headgate.evaluation.report import GateResult, Metrics
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
    assert share_that_passes(worse_by=0.0, churn=0.10) >= 0.9
    assert share_that_passes(worse_by=0.06, churn=0.10) <= 0.08


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
    assert gate.detail.endswith("chance alone moves it by 16.7 points, more than 3 times the margin: use more rows or a wider margin")


def test_a_clear_improvement_passes_whatever_chance_does() -> None:
    truth, better, worse = simulated(np.random.default_rng(0), 60, 0.6, -0.3, 0.34)
    assert gates_of(truth, better, worse)["accuracy_against_champion"].verdict == "passed"


def test_a_lost_label_fails_while_the_others_stay() -> None:
    truth = LABELS * 30
    champion = list(truth)
    candidate = ["label-1" if label == "label-0" else label for label in truth]
    gate = gates_of(truth, candidate, champion)["label_recall_against_champion"]
    assert (gate.verdict, gate.detail) == ("failed", "label-0")
    assert gate.found == "1 of 9 labels; lowest: label-0, \N{MINUS SIGN}100.0 points on 30 rows"


def test_a_label_with_few_rows_does_not_stop() -> None:
    truth = ["label-0"] * 4 + ["label-1"] * 296
    candidate = ["label-1", *truth[1:]]
    gate = gates_of(truth, candidate, truth)["label_recall_against_champion"]
    assert gate.verdict == "passed"
    assert gate.detail == "1 of 2 labels have too few rows to be certain"


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
