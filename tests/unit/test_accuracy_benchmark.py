"""The accuracy benchmark: its measures, its kept results and its table."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import accuracy
from accuracy_results import append_result, calibration_error, key, measures, read_results, recipe_digest
from accuracy_sets import SETS, Rows, Target, choose_sets, sample
from accuracy_table import aligned, find_ratios, make_rows, markdown, plain, reached

FIVE_SHOT = next(each for each in SETS if each.name == "banking77-5shot")
CLINC = next(each for each in SETS if each.name == "clinc150")


def result(system: str, seed: int, cpu_s: float = 100.0, **measured: float) -> dict[str, Any]:
    known = {"rows": 385, "labels": 77, "method": "linear-head", "temperature": 0.5}
    return {"system": system, "seed": seed, "cpu_s": cpu_s, "measures": {"accuracy": 80.0, "ECE": 1.5} | measured, **known}


def options(*arguments: str) -> argparse.Namespace:
    return accuracy.parse([*arguments])


def test_scores_that_are_as_often_right_as_they_say_have_no_calibration_error() -> None:
    confidence, right = np.array([0.5, 0.5, 1.0, 1.0]), np.array([True, False, True, True])
    assert calibration_error(confidence, right) == pytest.approx(0.0)


def test_calibration_error_weighs_each_bin_by_its_rows() -> None:
    # Three rows in the bin of 0.9, none right; one row in the bin of 0.2, right: (3 * 0.9 + 0.8) / 4.
    assert calibration_error(np.array([0.9, 0.9, 0.9, 0.2]), np.array([False, False, False, True])) == pytest.approx(0.875)


def test_calibration_bins_are_a_fifteenth_wide_and_closed_on_the_right() -> None:
    # 1/15 belongs to the first bin with 0.01; 0.0 too; their errors cancel within it and would not across two.
    confidence = np.array([1 / 15, 1 / 15 - 0.01, 0.0])
    assert calibration_error(confidence, np.array([False, False, False])) == pytest.approx(confidence.mean())
    assert calibration_error(np.array([1.0]), np.array([True])) == 0.0


def test_a_test_label_that_training_never_saw_counts_as_wrong() -> None:
    found = measures({"predicted": ["a", "a", "b"], "confidence": None}, Rows(["x", "y", "z"], ["a", "c", "b"]))
    assert found["accuracy"] == pytest.approx(200 / 3)
    assert found["macro-F1"] == pytest.approx(100 * (2 / 3 + 1 + 0) / 3)
    assert set(found) == {"accuracy", "macro-F1"}


def test_out_of_scope_texts_with_higher_scores_are_told_apart() -> None:
    answer = {"predicted": ["a"], "confidence": [1.0], "inside": [0.1, 0.6], "outside": [0.5, 0.9]}
    assert measures(answer, Rows(["x"], ["a"]))["AUROC out of scope"] == pytest.approx(75.0)


def test_a_key_is_the_same_for_the_same_parts_and_another_for_others() -> None:
    assert key(a=1, b=[2]) == key(b=[2], a=1)
    assert key(a=1, b=[2]) != key(a=1, b=[3])


def test_a_half_written_line_counts_as_not_run_and_the_next_one_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "results.jsonl"
    append_result(file, {"key": "a", "n": 1})
    with file.open("a") as written:
        written.write('{"key": "b", "n"')
    append_result(file, {"key": "c", "n": 3})
    append_result(file, {"key": "a", "n": 4})
    assert read_results(file) == {"a": {"key": "a", "n": 4}, "c": {"key": "c", "n": 3}}


def test_no_results_are_kept_before_the_first_run(tmp_path: Path) -> None:
    assert read_results(tmp_path / "none.jsonl") == {}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "headgate" / "model"
    folder.mkdir(parents=True)
    (folder / "classifier.py").write_text("from headgate.model import card\nfrom headgate.model.loop import train\n")
    (folder / "loop.py").write_text("def train():\n    return 1\n")
    (folder / "card.py").write_text("words = 1\n")
    (folder / "reply.py").write_text("words = 1\n")
    return tmp_path


@pytest.mark.parametrize(("module", "code"), [("card", "words = 2\n"), ("reply", "words = 2\n")])
def test_a_module_that_changes_no_number_leaves_results_valid(checkout: Path, module: str, code: str) -> None:
    before = recipe_digest(checkout)
    (checkout / "headgate" / "model" / f"{module}.py").write_text(code)
    assert recipe_digest(checkout) == before


def test_words_and_layout_leave_results_valid(checkout: Path) -> None:
    before = recipe_digest(checkout)
    (checkout / "headgate" / "model" / "loop.py").write_text(
        '"""The loop."""\n\n\ndef train():\n    """Train."""\n    # once\n    return (1)\n'
    )
    assert recipe_digest(checkout) == before


def test_a_number_in_the_recipe_makes_results_stale(checkout: Path) -> None:
    before = recipe_digest(checkout)
    (checkout / "headgate" / "model" / "loop.py").write_text("def train():\n    return 2\n")
    assert recipe_digest(checkout) != before


def test_the_real_recipe_is_found() -> None:
    here = Path(__file__).resolve().parents[2]
    assert recipe_digest(here) != recipe_digest(here, "headgate.model.linear_floor")


def test_few_shot_targets_need_setfit_beside_them() -> None:
    target = Target("accuracy", 78.0, setfit=True)
    assert reached(target, {"ours": 80.0, "setfit": None, "floor": None}) is None
    assert reached(target, {"ours": 80.0, "setfit": 80.1, "floor": None}) is False
    assert reached(target, {"ours": 80.0, "setfit": 80.0, "floor": None}) is True
    assert reached(target, {"ours": 77.9, "setfit": 70.0, "floor": None}) is False


def test_the_floor_has_to_be_beaten_both_as_measured_and_as_stated() -> None:
    target = Target("accuracy", 98.6, floor=True)
    assert reached(target, {"ours": 98.6, "floor": 98.0}) is False
    assert reached(target, {"ours": 98.7, "floor": 98.8}) is False
    assert reached(target, {"ours": 98.9, "floor": 98.8}) is True
    assert reached(target, {"ours": 98.9, "floor": None}) is None


def test_a_smaller_calibration_error_is_the_better_one() -> None:
    target = Target("ECE", 2.0)
    assert [reached(target, {"ours": value}) for value in (1.9, 2.0, 2.1, None)] == [True, True, False, None]


def test_a_row_holds_the_mean_and_each_seed() -> None:
    found = [result("setfit", 0, 900, accuracy=79.0), result("ours", 1, 50, accuracy=82.0), result("ours", 0, 30, accuracy=81.0)]
    (row,) = make_rows(FIVE_SHOT, [*found, result("floor", 0, 1, accuracy=60.0)])
    assert (row["ours"], row["ours_seeds"], row["setfit"], row["floor"], row["reached"]) == (81.5, [81.0, 82.0], 79.0, 60.0, True)
    assert (row["cpu_s"], row["rows_per_cpu_s"], row["method"]) == (40, 385 / 40, "linear-head")
    assert find_ratios([row]) == {
        "floor_banking77_5shot": 81.5 / 60.0,
        "setfit_banking77_5shot": 81.5 / 79.0,
        "setfit_cpu_banking77_5shot": 900 / 40,
    }


def test_clinc_has_a_row_for_each_of_its_targets() -> None:
    rows = make_rows(CLINC, [result("ours", 0, accuracy=97.0) | {"measures": {"accuracy": 97.0, "ECE": 2.5, "AUROC out of scope": 96.0}}])
    assert [(row["metric"], row["ours"], row["reached"]) for row in rows] == [
        ("accuracy", 97.0, True),
        ("AUROC out of scope", 96.0, True),
        ("ECE", 2.5, False),
    ]


def test_the_table_shows_what_was_run_and_marks_published_numbers() -> None:
    rows = make_rows(FIVE_SHOT, [result("ours", 0, 40, accuracy=81.0), result("setfit", 0, 900, accuracy=79.0)])
    heading, _, line = markdown(rows).splitlines()
    assert "published, not run here" in heading
    assert "linear floor" not in heading
    assert line == (
        "| banking77-5shot | 385 | 77 | accuracy | 81.00 (81.00) | 79.00 (79.00), 900 CPU-s | USE+ConveRT 77.8 (issue 3); "
        "CPFT 80.9 (Zhang et al. 2021, arXiv:2109.06349) | >= 78.0, >= SetFit (stretch 81.0) | yes | 1.50 | 0.50 | linear-head | 40 | 9.6 |"
    )
    assert len(aligned(rows).splitlines()) == 2


def test_the_table_of_a_run_without_ours_leaves_its_cells_open() -> None:
    rows = make_rows(FIVE_SHOT, [result("setfit", 0, 900, accuracy=79.0)])
    assert markdown(rows).splitlines()[2].startswith("| banking77-5shot | 385 | 77 | accuracy | - | 79.00 (79.00), 900 CPU-s |")
    assert find_ratios(rows) == {}
    assert json.loads(json.dumps(plain(rows[0])))["reached"] is None


def test_a_classifier_that_does_not_say_what_it_chose_is_shown_so() -> None:
    (row,) = make_rows(FIVE_SHOT, [result("ours", 0) | {"method": None}])
    assert row["method"] is None


def test_systems_take_turns_and_setfit_runs_on_few_shot_sets_alone() -> None:
    found = [(each.name, system, seed) for each, system, seed in accuracy.fits(options("--sets", "snips,banking77-5shot", "--seeds", "2"))]
    assert found == [
        ("banking77-5shot", "floor", 0),
        ("banking77-5shot", "ours", 0),
        ("banking77-5shot", "setfit", 0),
        ("banking77-5shot", "ours", 1),
        ("banking77-5shot", "setfit", 1),
        ("snips", "floor", 0),
        ("snips", "ours", 0),
        ("snips", "ours", 1),
    ]


def test_peers_alone_can_run() -> None:
    found = list(accuracy.fits(options("--sets", "banking77-10shot", "--peers", "setfit", "--without-ours", "--peer-seeds", "1")))
    assert [(system, seed) for _, system, seed in found] == [("setfit", 0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "setfit,bert"], "--peers: expected some of setfit, trainer, floor, found bert"),
        (["--sets", "snips,snap"], "found snap"),
    ],
)
def test_an_unknown_name_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options(*arguments)
    assert message in capsys.readouterr().err


def test_sets_come_in_the_tables_order() -> None:
    assert [each.name for each in choose_sets("snips,banking77")] == ["banking77", "snips"]


def test_a_sample_is_the_same_each_time_and_keeps_the_order() -> None:
    rows = Rows([f"text {n}" for n in range(40)], ["a", "b"] * 20)
    drawn = sample(rows, {"a"}, 5)
    assert drawn == sample(rows, {"a"}, 5)
    assert set(drawn.labels) == {"a"}
    assert [int(text.split()[1]) for text in drawn.texts] == sorted(int(text.split()[1]) for text in drawn.texts)


def test_a_peers_results_outlive_a_change_of_ours_but_not_of_its_settings() -> None:
    of = accuracy.made_by
    assert of(options(), "setfit") == of(options("--threads", "2"), "setfit")
    assert "recipe" not in of(options(), "setfit")
    assert of(options(), "setfit") != of(options("--setfit-iterations", "0"), "setfit")


def test_a_killed_run_goes_on_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "banking77"
    folder.mkdir()
    rows = "".join(json.dumps({"text": f"text {n}", "label": f"label {n % 3}"}) + "\n" for n in range(12))
    for name in ("fewshot_train_5.jsonl", "test.jsonl"):
        (folder / name).write_text(rows)
    asked = ["--sets", "banking77-5shot", "--peers", "floor", "--without-ours", "--data", str(tmp_path)]
    asked += ["--results", str(tmp_path / "results.jsonl"), "--json", str(tmp_path / "out.json")]
    accuracy.main(asked)
    first = json.loads((tmp_path / "out.json").read_text())
    assert first["rows"][0]["floor"] == 100.0
    monkeypatch.setattr(accuracy, "run", lambda *_: pytest.fail("what was kept is run again"))
    accuracy.main([*asked, "--markdown"])
    assert json.loads((tmp_path / "out.json").read_text()) == first
    assert "| banking77-5shot | 12 | 3 | accuracy | - | 100.00 |" in capsys.readouterr().out
