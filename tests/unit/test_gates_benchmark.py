"""The pure parts of the gates benchmark: names, bounds and rows. The measurement itself is run by hand."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import gates

from headgate.evaluation.calibrating import Outcome, rates_of
from headgate.evaluation.calibration_report import Calibration, Margins, Planted
from headgate.evaluation.load_calibrating import EQUALLY_FAST, FAILING, LEAKING, SLOWER
from headgate.evaluation.planting import DROPPED, EQUAL
from headgate.evaluation.trained_seeds import HALF, cut_to

MARGINS = Margins(false_stop_share=0.05, max_accuracy_drop=0.01, max_macro_f1_drop=0.02, max_label_recall_drop=0.1)


def planted(name: str, stopped: int, kind: str = "quality", equal: bool = False) -> Planted:
    """So many of ten trials were stopped by the gate `accuracy`, one more by the naive gate."""
    outcomes = [Outcome(({"accuracy": n < stopped},), {"toss": n <= stopped}) for n in range(10)]
    return rates_of(name, outcomes, kind=kind, equal=equal)


def calibration(recommended: Margins | None = MARGINS) -> Calibration:
    names = ["1% of a label flipped", "20% of a label flipped", DROPPED, cut_to(8), HALF]
    rows = (planted(EQUAL, 1), *(planted(name, 8) for name in names))
    load = tuple(planted(name, 5, "load", equal=name == EQUALLY_FAST) for name in (EQUALLY_FAST, SLOWER, FAILING, LEAKING))
    return Calibration(
        model="made-up",
        rows=100,
        labels=2,
        seeds=2,
        accuracy=(0.9, 0.9),
        disagreement=0.1,
        wanted_false_stops=0.05,
        present=MARGINS,
        recommended=recommended,
        at_present=(planted(EQUAL, 3), *rows[1:]),
        at_recommended=rows if recommended else (),
        load=load,
    )


def test_every_planted_regression_has_a_rate_under_a_name_of_its_own() -> None:
    assert {name: round(value, 3) for name, value in gates.ratios_of(calibration()).items()} == {
        "false_stop_rate": 0.1,
        "false_stop_rate_equal_models": 0.1,
        "false_stop_rate_seeds": 0.0,
        "miss_rate_1_percent_flips": 0.2,
        "miss_rate_20_percent_flips": 0.2,
        "miss_rate_a_label_dropped": 0.2,
        "miss_rate_tokenizer_cut_to_8_tokens": 0.2,
        "miss_rate_trained_on_half_the_data": 0.2,
        "miss_rate_30_percent_latency": 0.5,
        "miss_rate_1_percent_errors": 0.5,
        "miss_rate_a_memory_leak": 0.5,
        "load_false_stop_rate": 0.5,
    }


def test_the_rates_are_those_of_the_present_margins_where_none_are_recommended() -> None:
    assert gates.ratios_of(calibration(recommended=None))["false_stop_rate"] == 0.3


def test_naive_gates_stand_beside_ours_in_each_row() -> None:
    row = gates.rows_of(calibration())[0]
    expected = {"name": EQUAL, "kind": "quality", "trials": 10, "all_gates": 0.1, "gate accuracy": 0.1, "naive toss": 0.2}
    assert row == expected


def test_a_bound_that_is_not_reached_is_told() -> None:
    lines = gates.verdicts({"false_stop_rate": 0.05, "scoring_over_engine": 1.31, "miss_rate_a_label_dropped": 0.0}).splitlines()
    assert [line.split("required")[-1].strip() for line in lines[:2]] == ["at most 0.05: reached", "at most 1.3: NOT REACHED"]
    assert lines[2].split() == ["miss_rate_a_label_dropped", "0.000"]


def test_without_a_bundle_the_load_test_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "BUNDLE", tmp_path / "bundle")
    with pytest.raises(SystemExit) as stopped:
        gates.load_rates(None, 1)
    expected = f"gates.py: expected a bundle of BANKING77 at {tmp_path / 'bundle'}, found none; `python benchmarks/serving.py` makes it"
    assert stopped.value.code == expected
