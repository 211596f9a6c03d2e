"""Gates are measured on regressions that were planted on purpose; the measuring itself has known answers here."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from headgate import cli
from headgate.errors import BadInput
from headgate.evaluation.calibrating import (
    ACCURACY,
    FEW_POINTS,
    LABEL,
    MACRO_F1,
    NOT_BELOW,
    TRIED,
    Outcome,
    pairs_as_they_are,
    rate_of,
    rates_of,
    recommend,
    run_trials,
    tried_settings,
)
from headgate.evaluation.calibration import FLIPS, Plan, calibrate
from headgate.evaluation.calibration_report import Margins, RowsNeeded
from headgate.evaluation.calibration_rows import seed_rows
from headgate.evaluation.calibration_run import write_calibration
from headgate.evaluation.calibration_text import lifting
from headgate.evaluation.load_calibrating import EQUALLY_FAST, FAILING, LEAKING, SLOWER, Measured, calibrate_load, load_rates
from headgate.evaluation.planting import (
    DROPPED,
    EQUAL,
    WHOLE,
    Answers,
    drop,
    equal_models,
    flip,
    most_confused,
    planted,
    resampled,
    whole_seeds,
)
from headgate.evaluation.trained_seeds import HALF, SeedRows, answers_of_seeds, cut_to
from headgate.lake import Lake
from headgate.release.decisions import Agreement
from headgate.settings import Gates, LoadTest, ModelSettings, Train

LABELS = 6
SETTINGS = Gates()


def answers(rows_per_label: int = 100, changed: float = 0.04, seeds: int = 4) -> Answers:
    """Seeds that are right on about nine rows of ten, each wrong on rows of its own beside those that all get wrong."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(LABELS), rows_per_label)
    wrong = (truth + 1) % LABELS
    hard = rng.random(len(truth)) < 0.08
    called = np.array([np.where(hard | (rng.random(len(truth)) < changed / 2), wrong, truth) for _ in range(seeds)])
    floor = np.where(rng.random(len(truth)) < 0.4, wrong, truth)
    bad = np.where(rng.random((2, len(truth))) < 0.3, (truth + 2) % LABELS, truth)
    return Answers(tuple("abcdef"), truth, called, np.where(called == truth, wrong, truth), floor, {"a bad model": bad})


def agreed(agreements: int = 0, disagreements: int = 0, in_a_row: int = 0) -> Agreement:
    return Agreement(agreements=agreements, disagreements=disagreements, in_a_row=in_a_row, by_automation=0, automation_rolled_back=0)


def test_rows_are_drawn_within_labels_so_that_each_keeps_its_share() -> None:
    truth = np.repeat([0, 1, 2], [40, 4, 1])
    rows = resampled(truth, np.random.default_rng(0), size=2.5)
    assert np.bincount(truth[rows]).tolist() == [100, 10, 2]
    assert len(np.unique(rows)) < len(rows)
    assert rows.tolist() == resampled(truth, np.random.default_rng(0), size=2.5).tolist()


def test_a_flip_changes_exactly_its_share_of_one_label() -> None:
    truth = np.repeat([0, 1], [50, 30])
    changed = flip(truth, truth, label=0, instead=1, share=0.2, rng=np.random.default_rng(0))
    assert ((truth == 0) & (changed == 1)).sum() == 10
    assert (changed[truth == 1] == 1).all()


def test_a_dropped_label_is_never_answered_and_its_rows_get_the_next_best() -> None:
    called, second = np.array([0, 1, 2, 0]), np.array([1, 0, 0, 2])
    assert drop(called, second, 0).tolist() == [1, 1, 2, 2]


def test_flips_go_to_the_label_that_the_seeds_take_it_for_and_to_the_next_best_where_they_are_never_wrong() -> None:
    truth = np.array([0, 0, 0, 1, 2])
    called = np.array([[0, 2, 2, 1, 2], [1, 2, 0, 1, 2]])
    second = np.array([[1, 0, 0, 0, 1], [0, 0, 1, 0, 1]])
    found = Answers(("a", "b", "c"), truth, called, second, truth)
    assert [most_confused(found, label) for label in range(3)] == [2, 0, 1]


def test_a_label_with_nothing_to_be_confused_with_cannot_be_flipped() -> None:
    one = np.zeros((2, 3), dtype=np.int64)
    with pytest.raises(BadInput) as fault:
        most_confused(Answers(("only",), one[0], one, one, one[0]), 0)
    assert str(fault.value) == "label only: expected answers with two labels or more, found one; nothing can be flipped"


def test_equal_models_share_out_the_luck_of_one_seed_and_whole_seeds_keep_it() -> None:
    truth = np.repeat([0, 1], 200)
    lucky = Answers(("a", "b"), truth, np.array([truth, 1 - truth]), np.array([1 - truth, truth]), truth)

    def differences(draw: Sequence[object]) -> list[float]:
        return [(trial.candidate == trial.truth).mean() - (trial.champion == trial.truth).mean() for trial in draw]  # type: ignore[attr-defined]

    equal = differences([equal_models(lucky, np.random.default_rng(n)) for n in range(40)])
    whole = differences([whole_seeds(lucky, np.random.default_rng(n)) for n in range(40)])
    assert max(map(abs, equal)) < 0.25
    assert set(whole) == {-1.0, 1.0}


def test_a_rate_has_its_exact_interval() -> None:
    rate = rate_of([True] + [False] * 19)
    assert (rate.stopped, rate.trials, rate.share) == (1, 20, 0.05)
    assert (round(rate.low, 5), round(rate.high, 5)) == (0.00127, 0.24873)
    assert (rate_of([False] * 59).low, round(rate_of([False] * 59).high, 4)) == (0.0, 0.0606)
    assert rate_of([True] * 3).high == 1.0


def test_the_gates_pass_equal_models_and_stop_what_is_clearly_worse_while_naive_gates_toss_a_coin() -> None:
    found = answers()
    equal = rates_of(EQUAL, run_trials(found, EQUAL, range(30), [SETTINGS]))
    assert equal.equal
    assert equal.overall.share <= 0.15
    assert 0.25 <= equal.naive[NOT_BELOW].share <= 0.75
    for name in (DROPPED, "a bad model"):
        assert rates_of(name, run_trials(found, name, range(10), [SETTINGS])).missed == 0
    fifth = rates_of(FLIPS, run_trials(found, FLIPS, range(30), [SETTINGS]))
    assert fifth.missed <= 0.1
    assert fifth.gates[LABEL].share > fifth.naive[FEW_POINTS].share


def test_trials_are_the_same_for_the_same_seeds() -> None:
    found = answers(rows_per_label=20)
    assert run_trials(found, FLIPS, [3, 4], [SETTINGS]) == run_trials(found, FLIPS, [3, 4], [SETTINGS])
    assert list(planted(found))[:2] == [EQUAL, WHOLE]


def test_every_ordered_pair_of_seeds_is_looked_at_as_it_is() -> None:
    found = answers(rows_per_label=20)
    assert len(pairs_as_they_are(found, [SETTINGS])) == 12
    same = Answers(found.names, found.truth, found.seeds[[0, 0]], found.second[[0, 0]], found.floor)
    assert rates_of(EQUAL, pairs_as_they_are(same, [SETTINGS])).overall.stopped == 0


def outcomes(stopped_up_to: dict[str, list[float]]) -> list[Outcome]:
    """Trials that each gate stops while its margin is below a bound; one bound a trial."""
    gates = [ACCURACY, MACRO_F1, LABEL]
    bounds = zip(*(stopped_up_to[gate] for gate in gates), strict=True)
    return [Outcome(tuple({gate: m < b for gate, b in zip(gates, each, strict=True)} for m in TRIED), {}) for each in bounds]


def test_the_recommended_margins_are_the_smallest_that_keep_the_wanted_rate() -> None:
    trials = outcomes({ACCURACY: [0.05] * 2 + [0.01] * 98, MACRO_F1: [0.04] * 2 + [0.02] * 98, LABEL: [0.0] * 100})
    expected = Margins(false_stop_share=0.1, max_accuracy_drop=0.01, max_macro_f1_drop=0.02, max_label_recall_drop=0.0)
    assert recommend(trials, wanted=0.1) == expected
    assert recommend(trials, wanted=0.02) == Margins(
        false_stop_share=0.02, max_accuracy_drop=0.05, max_macro_f1_drop=0.04, max_label_recall_drop=0.0
    )


def test_margins_are_wide_enough_for_what_real_seeds_do_to_single_labels() -> None:
    equal = outcomes({ACCURACY: [0.0] * 100, MACRO_F1: [0.0] * 100, LABEL: [0.0] * 100})
    pairs = outcomes({ACCURACY: [0.0] * 12, MACRO_F1: [0.0] * 12, LABEL: [0.2] * 6 + [0.0] * 6})
    found = recommend(equal, 0.05, pairs)
    assert found is not None
    assert (found.max_accuracy_drop, found.max_label_recall_drop) == (0.0, 0.2)


def test_no_margin_is_recommended_where_none_keeps_the_wanted_rate() -> None:
    assert recommend(outcomes({ACCURACY: [1.0] * 50, MACRO_F1: [0.0] * 50, LABEL: [0.0] * 50}), wanted=0.05) is None


def test_the_share_of_false_stops_that_the_tests_aim_at_is_the_wanted_one() -> None:
    tried = tried_settings(Gates(min_accuracy=0.7), wanted=0.02)
    assert [one.max_label_recall_drop for one in tried] == list(TRIED)
    assert {(one.false_stop_share, one.min_accuracy) for one in tried} == {(0.02, 0.7)}


def test_a_calibration_is_measured_in_processes_and_written_as_tables_and_pictures(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    plan = Plan(equal_trials=8, planted_trials=2, sizes=(2.0,), wanted_false_stops=0.3)
    found = calibrate(answers(rows_per_label=25), "made-up", SETTINGS, plan, lambda done, total: told.append((done, total)))
    written = write_calibration(found, agreed(agreements=3, in_a_row=3), tmp_path)
    assert told[-1] == (42, 42)
    assert [row.name for row in found.at_present] == [EQUAL, WHOLE, *list(planted(answers(rows_per_label=1)))[2:]]
    assert found.at_present[0] == rates_of(EQUAL, run_trials(answers(rows_per_label=25), EQUAL, range(10**6, 10**6 + 8), [SETTINGS]))
    assert [(one.rows, one.rows_per_label) for one in found.rows_needed] == [(150, 25), (300, 50)]
    text = (tmp_path / "calibration.md").read_text()
    assert text.startswith("# Gates of the model made-up, measured\n\n150 regression rows, 6 labels, 4 trainings")
    assert f"| {DROPPED} | **100.0** (" in text
    assert "[models.made-up.gates]\nfalse_stop_share = 0.3" in text
    assert written.pictures == ("rates.png", "rates_dark.png")
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "calibration.json").read_text() == written.model_dump_json(indent=1)


def test_a_plan_without_trials_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^expected at least one trial of each kind and a wanted rate between 0 and 1, found Plan\("):
        calibrate(answers(), "made-up", SETTINGS, Plan(equal_trials=0))


def test_the_history_says_when_the_human_check_could_be_lifted() -> None:
    assert lifting(agreed()) == (
        "People decided 0 releases whose gates passed, and disagreed with 0; no decision yet. "
        "59 agreements in a row would show, with 95% certainty, at most 5% disagreements."
    )
    assert lifting(agreed(agreements=9, disagreements=1, in_a_row=4)) == (
        "People decided 10 releases whose gates passed, and disagreed with 1. The newest 4 agree: with 95% certainty people disagree with "
        "at most 53% of them; 55 more in a row would show at most 5%."
    )
    assert lifting(agreed(agreements=60, in_a_row=60)).endswith(
        "at most 5% of them; the history alone would allow it: `approval.auto_after`."
    )
    assert "; the newest is a disagreement. 59 agreements" in lifting(agreed(agreements=5, disagreements=1))


def measured(seconds: int = 30, rate: int = 20) -> Measured:
    rng = np.random.default_rng(0)
    offset = np.arange(seconds * rate) / rate
    level = np.repeat(rng.normal(1, 0.05, seconds), rate)
    frame = pd.DataFrame({"offset_s": offset, "delay_ms": 0.5, "latency_ms": 20 * level * rng.lognormal(0, 0.15, len(offset))})
    return Measured(frame.assign(fault=None), 150 + rng.normal(0, 0.2, 40))


def test_the_load_gates_stop_slower_failing_and_leaking_models_and_pass_equally_fast_ones() -> None:
    settings = LoadTest(
        duration_s=30, warm_up_s=0, stairs_max_steps=0, max_p50_ratio=1.1, max_p95_ratio=1.1, max_p99_ratio=2, latency_allowance_ms=0
    )
    rates = {rate.name: rate for rate in load_rates(measured(), settings, trials=5)}
    assert list(rates) == [EQUALLY_FAST, SLOWER, FAILING, LEAKING]
    assert rates[EQUALLY_FAST].equal
    assert rates[EQUALLY_FAST].overall.stopped == 0
    assert rates[SLOWER].gates["latency_p50_against_champion"].share == 1
    assert rates[FAILING].gates["error_rate"].share == 1
    assert rates[LEAKING].gates["memory_growth"].share == 1
    assert rates[LEAKING].gates["error_rate"].share == 0


def test_a_load_test_of_a_moment_is_refused() -> None:
    with pytest.raises(BadInput) as fault:
        load_rates(measured(seconds=2), LoadTest(), trials=1)
    assert str(fault.value) == "expected samples of 5 seconds or more after the warm-up, found fewer; run a longer load test"


def test_a_folder_without_a_load_test_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as fault:
        calibrate_load(tmp_path, LoadTest(), 1)
    missing = "load.json, load_samples.bin, load_result.json"
    assert str(fault.value) == (f"{tmp_path}: expected a finished load test, found no {missing}; give a folder that a load test wrote to")


YES = ["yes please", "call me on monday", "yes, thursday is fine", "gladly, send it"]
NO = ["stop it please", "remove me", "no thanks", "unsubscribe"]
ROWS = SeedRows(YES * 4 + NO * 4, ["yes"] * 16 + ["no"] * 16, [*YES, *NO], ["yes"] * 4 + ["no"] * 4)


@pytest.fixture
def quick(tiny_encoder: Path) -> Train:
    return Train(base_model=str(tiny_encoder), method="fine-tune", epochs=1, validation_share=0, max_length=32, lexical="off")


def test_seeds_are_trained_once_and_taken_again(quick: Train, tmp_path: Path) -> None:
    told: list[str] = []
    first = answers_of_seeds(ROWS, quick, 2, tmp_path, told.append)
    assert told == [f"training on {rows} rows with seed {seed}" for rows in (32, 16) for seed in (0, 1)]
    again = answers_of_seeds(ROWS, quick, 2, tmp_path, told.append)
    assert len(told) == 4
    assert first.names == ("no", "yes")
    assert first.truth.tolist() == [1] * 4 + [0] * 4
    assert (first.seeds + first.second == 1).all(), "two labels: the next best is the other one"
    assert list(first.degraded) == [cut_to(16), cut_to(8), HALF]
    assert first.seeds.tolist() == again.seeds.tolist()
    assert first.degraded[HALF].tolist() == again.degraded[HALF].tolist()
    answers_of_seeds(ROWS, quick.model_copy(update={"epochs": 2}), 2, tmp_path, told.append)
    assert len(told) == 8, "other parameters are other trainings"


def test_one_seed_and_unknown_frozen_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as fault:
        answers_of_seeds(ROWS, Train(), 1, tmp_path)
    assert str(fault.value) == "expected 2 seeds or more, found 1; one model alone has nothing to be compared with"
    with pytest.raises(BadInput) as fault:
        answers_of_seeds(SeedRows(ROWS.texts, ROWS.labels, ["maybe"], ["perhaps"]), Train(), 2, tmp_path)
    assert str(fault.value) == "frozen rows have labels that no training row has: perhaps; add such rows, or freeze others"


def test_rows_come_from_the_files_that_headgate_toml_names_until_there_is_a_data_version(folder_lake: Lake, tmp_path: Path) -> None:
    for file in ("train", "frozen"):
        lines = [f'{{"id": "{file}{n}", "text": "row {n}", "label": "{label}"}}\n' for n, label in enumerate(("yes", "no"))]
        (tmp_path / f"{file}.jsonl").write_text("".join(lines))
    settings = ModelSettings(dataset="d", annotations=(tmp_path / "train.jsonl",), regression_rows=tmp_path / "frozen.jsonl")
    assert seed_rows(folder_lake, "m", settings) == SeedRows(["row 0", "row 1"], ["yes", "no"], ["row 0", "row 1"], ["yes", "no"])
    with pytest.raises(BadInput) as fault:
        seed_rows(folder_lake, "m", ModelSettings(dataset="d"))
    expected = "model m: expected a data version or [models.m] annotations, found neither; run `headgate ingest FILES`"
    assert str(fault.value) == expected


def test_the_command_refuses_a_model_that_headgate_toml_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "headgate.toml").write_text("")
    from headgate.settings import load_settings

    load_settings.cache_clear()
    found = CliRunner().invoke(cli.app, ["gates", "calibrate", "--model", "absent"])
    load_settings.cache_clear()
    assert str(found.exception) == "no [models.absent] in headgate.toml; known models: none"


def test_misses_are_what_no_gate_stopped() -> None:
    rates = rates_of(DROPPED, [Outcome(({"a": n < 2, "b": n == 0},), {}) for n in range(4)])
    assert (rates.overall.stopped, rates.missed, rates.gates["b"].stopped) == (2, 0.5, 1)
    size = RowsNeeded(rows=10, rows_per_label=5, false_stops=rates.overall, flips_stopped=rates.overall)
    assert size.flips_stopped.share == 0.5
