"""The pure parts of the benchmarks; the measurements themselves are run by hand."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    """Import a benchmark's module as its script does: from its own folder."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def found(name: str) -> ModuleType:
        return importlib.import_module(name)

    return found


def row(side: str, precision: str, examples_per_cpu_s: float, examples_per_s: float) -> dict[str, object]:
    return {"side": side, "precision": precision, "examples_per_cpu_s": examples_per_cpu_s, "examples_per_s": examples_per_s}


ROWS = [row("Trainer", "fp32", 10, 5), row("Headgate", "bf16", 95, 60), row("Headgate, bf16 off", "fp32", 35, 20)]


def test_a_cpu_ratio_is_of_examples_per_cpu_second_ours_over_the_trainer(load) -> None:
    assert load("training").find_ratios(ROWS, "cpu") == {"trainer": 9.5, "trainer_fp32": 3.5}


def test_a_gpu_ratio_is_of_the_wall_clock(load) -> None:
    assert load("training").find_ratios(ROWS, "cuda") == {"trainer": 12.0, "trainer_fp32": 4.0}


def test_a_machine_without_bf16_reports_no_bf16_ratio(load) -> None:
    rows = [ROWS[0], row("Headgate", "fp32", 36, 20), ROWS[2]]
    assert load("training").find_ratios(rows, "cpu") == {"trainer_fp32": 3.5}


def test_a_side_is_summed_up_by_the_median_of_its_rounds(load) -> None:
    rounds = [{"examples": 100, "cpu_s": seconds, "precision": "bf16"} for seconds in (10.0, 4.0, 5.0)]
    found = load("training").summary("Headgate", rounds)
    assert found == {
        "side": "Headgate",
        "examples": 100,
        "cpu_s": 5.0,
        "precision": "bf16",
        "examples_per_cpu_s": 20.0,
        "rounds": [10.0, 25.0, 20.0],
    }


def test_quick_means_few_rows_and_accuracy_means_all_of_them(load) -> None:
    parse = load("training").parse
    assert (parse(["--quick"]).rows, parse(["--quick"]).rounds) == (1600, 1)
    assert (parse(["--accuracy"]).rows, parse(["--accuracy"]).rounds) == (0, 1)


def test_a_sample_measures_fine_tuning_and_all_rows_the_default_recipe(load) -> None:
    training = load("training")
    assert training.sides(training.parse([]))["Headgate"] == {"our_options": {"method": "fine-tune"}}
    assert training.sides(training.parse(["--accuracy"]))["Headgate"] == {}


def test_a_gpu_run_also_counts_flops_and_compiles_only_where_asked(load) -> None:
    training = load("training")
    options = training.parse(["--device", "cuda"])
    assert options.flops
    assert "Headgate, torch.compile" not in training.sides(options)
    assert training.sides(training.parse(["--compile"]))["Headgate, torch.compile"]["compile"] is True


def test_the_flop_formula_counts_each_weight_and_each_pair_of_tokens_six_and_twelve_times(load) -> None:
    flops = load("training_flops")
    encoder = flops.Encoder(layers=1, hidden=2, intermediate=3)
    weights, pairs = 4 * 2 * 2 + 2 * 2 * 3, 5 * 5
    assert flops.training_flops(encoder, labels=7, tokens=5, squares=25) == 6 * weights * 5 + 12 * 2 * pairs + 6 * 2 * 7


def test_the_flop_formula_agrees_with_what_torch_counts_in_a_real_step(load, tiny_encoder: Path) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from headgate.model.network import Network, load_base_model

    flops = load("training_flops")
    network = Network(load_base_model(str(tiny_encoder), "eager")[0], labels=3)
    with FlopCounterMode(display=False) as counter:
        network(torch.ones(1, 10, dtype=torch.int64), torch.ones(1, 10, dtype=torch.int64)).sum().backward()
    encoder = flops.Encoder.of(json.loads((tiny_encoder / "config.json").read_text()))
    expected = flops.training_flops(encoder, labels=3, tokens=10, squares=100)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.01)


def test_a_child_runs_with_the_jobs_threads_that_sleep_when_idle(load) -> None:
    environment = load("training_job").environment({"threads": 2, "device": "cpu"})
    assert {name: environment[name] for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES")} == {
        "OMP_NUM_THREADS": "2",
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUDA_VISIBLE_DEVICES": "",
    }


def test_a_failed_child_is_an_error_that_tells_the_end_of_its_output(load, tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text("raise SystemExit('no such model')")
    with pytest.raises(RuntimeError, match=r"^child\.py ended with 1:\nno such model\n$"):
        load("training_job").run_child(Path(sys.executable), script, {"threads": 1, "device": "cpu"})


def test_a_peer_must_be_pinned(load) -> None:
    with pytest.raises(
        ValueError, match=r"^expected package==version, found setfit, torch>=2; pin each, so that a comparison can be repeated$"
    ):
        load("peers").check_pinned(["setfit", "accelerate==1.12.0", "torch>=2"])


def test_a_peer_gets_the_locks_versions_but_for_those_it_pins_itself(load) -> None:
    lock = "numpy==2.4.6 \\\n    --hash=sha256:00\n    # via x\nhuggingface-hub==1.0.0 \\\ntyping-extensions==4.15.0 \\\n"
    assert load("peers").constraints(lock, ["Huggingface_Hub==0.36.0"]) == "numpy==2.4.6\ntyping-extensions==4.15.0\n"


def test_the_peer_runs_the_same_transformers_as_the_project(load) -> None:
    import transformers

    assert load("peers").locked("transformers") == f"transformers=={transformers.__version__}"


def test_help_says_what_is_counted() -> None:
    ran = subprocess.run([sys.executable, str(BENCHMARKS / "training.py"), "--help"], capture_output=True, text=True, check=True)
    assert "examples per CPU-second" in ran.stdout
    assert all(
        option in ran.stdout for option in ("--epochs", "--batch-size", "--rows", "--rounds", "--threads", "--quick", "--device", "--json")
    )
