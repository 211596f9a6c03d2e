"""The gates themselves: how often they stop equally good models, and miss worse ones, beside the gates that most pipelines have.

    python benchmarks/gates.py                     77 labels (BANKING77), load test on its bundle, page and scoring of 100,000 rows
    python benchmarks/gates.py --set replies       the example replies, 326 rows of 9 labels
    python benchmarks/gates.py --quick             few trials, no page and no scoring: a minute
    python benchmarks/gates.py --json out.json     rows and ratios

Seeds are small networks on the untouched encoder (gates_seeds.py); `headgate gates calibrate` trains the classifier itself. No peer
calibrates its gates. What pipelines have instead stands beside ours in each trial: the new accuracy must not be below the old one; it may
be two points below; it must be above a fixed bound. Rates are shares; those of `ratios` are at the recommended margins.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gates_seeds import head_seeds
from peers import CHECKOUT, HOME

from headgate.data.parsing import read_rows
from headgate.evaluation.calibration import Plan, calibrate
from headgate.evaluation.calibration_report import Calibration, Planted
from headgate.evaluation.calibration_run import write_calibration
from headgate.evaluation.calibration_text import markdown
from headgate.evaluation.load_calibrating import EQUALLY_FAST, calibrate_load
from headgate.evaluation.planting import EQUAL
from headgate.evaluation.trained_seeds import SeedRows
from headgate.model.filters import current_reply
from headgate.settings import Gates, LoadTest

SHARED = Path(os.environ.get("HEADGATE_SHARED", CHECKOUT / ".." / "shared"))
REPLIES = CHECKOUT / "examples" / "replies"
BANKING = SHARED / "data" / "banking77"
BUNDLE = HOME / "serving" / "bundle"
WANTED = 0.05
SCORED_ROWS = 3_000
BOUNDS = {
    "false_stop_rate": WANTED,
    "miss_rate_20_percent_flips": 0.05,
    "scoring_over_engine": 1.3,
    "page_seconds_100k_rows": 20.0,
    "page_gib_100k_rows": 1.0,
}
_KEYS = {"%": " percent", "+": ""}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=["banking77", "replies"], default="banking77")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--trials", type=int, default=400, help="with equally good models; half as many of each planted regression")
    parser.add_argument("--quick", action="store_true", help="few trials on the example replies; no load test, page and scoring")
    parser.add_argument("--load", type=Path, metavar="DIR", help="folder of a finished load test, in place of one on BANKING77's bundle")
    parser.add_argument("--without", nargs="*", default=[], choices=["load", "page", "scoring"], help="what is left out")
    parser.add_argument("--out", type=Path, help="folder for tables and pictures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and ratios there")
    options = parser.parse_args(arguments)
    if options.quick:
        options.set, options.seeds, options.trials, options.without = "replies", 3, 40, ["load", "page", "scoring"]
    found = calibrated(options)
    ratios = ratios_of(found) | others(options.without)
    print(markdown(found))
    print(verdicts(ratios))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows_of(found), "ratios": ratios}, indent=2) + "\n")


def calibrated(options: argparse.Namespace) -> Calibration:
    """The whole calibration of one set, with the load gates where they are not left out."""
    answers = head_seeds(set_rows(options.set), options.seeds, HOME / "gates", _tell)
    sizes = () if options.quick else (2.0, 4.0)
    plan = Plan(equal_trials=options.trials, planted_trials=options.trials // 2, sizes=sizes, wanted_false_stops=WANTED)
    found = calibrate(answers, options.set, Gates(), plan, _progress)
    if "load" not in options.without:
        found = found.model_copy(update={"load": load_rates(options.load, options.trials // 4)})
    return write_calibration(found, None, options.out) if options.out else found


def set_rows(name: str) -> SeedRows:
    """Training and frozen rows of a set, as the classifier sees them."""
    files = {
        "banking77": (BANKING / "train.jsonl", BANKING / "test.jsonl"),
        "replies": (REPLIES / "day0.jsonl", REPLIES / "regression.jsonl"),
    }
    train, frozen = (read_rows(file).rows for file in files[name])
    prepare = current_reply if name == "replies" else str
    texts, frozen_texts = ([prepare(row.text) for row in rows] for rows in (train, frozen))
    return SeedRows(texts, [row.label for row in train], frozen_texts, [row.label for row in frozen])


def load_rates(folder: Path | None, trials: int) -> tuple[Planted, ...]:
    """The load gates on a finished load test, or on one of this bundle against itself."""
    if folder is not None:
        return calibrate_load(folder, LoadTest(), trials)
    with tempfile.TemporaryDirectory() as made:
        run_load_test_of_bundle(Path(made))
        return calibrate_load(Path(made), LoadTest(), trials)


def run_load_test_of_bundle(out: Path) -> None:
    """A minute of arrivals on a server of BANKING77's bundle."""
    from scoring import serving

    from headgate.evaluation.load import run_load_test

    texts = [row.text for row in read_rows(BANKING / "test.jsonl").rows]
    _tell("load test of a minute")
    with serving(_bundle(), workers=2) as server:
        run_load_test(server.url, texts, LoadTest(rate_per_s=20, duration_s=60, cached_duration_s=0, stairs_max_steps=0), out)


def others(without: Sequence[str]) -> dict[str, float]:
    """What the neighbouring benchmarks measure: the page of 100,000 rows, and scoring over the engine alone."""
    found: dict[str, float] = {}
    if "scoring" not in without:
        import scoring

        _tell(f"scoring {SCORED_ROWS:,} rows through a server and by the engine alone")
        found |= scoring.measure(_bundle(), SCORED_ROWS)["ratios"]
    if "page" not in without:
        import page

        _tell("statistics and page of 100,000 rows of 150 labels")
        found |= page.measure_page()
    return found


def _bundle() -> Path:
    if not BUNDLE.is_dir():
        sys.exit(f"gates.py: expected a bundle of BANKING77 at {BUNDLE}, found none; `python benchmarks/serving.py` makes it")
    return BUNDLE


def ratios_of(found: Calibration) -> dict[str, float]:
    """False stops and misses at the recommended margins, by name; at the present ones where nothing is recommended.

    `false_stop_rate` is the larger of two: trials of exactly equal models, and real pairs of seeds on the rows as they are.
    """
    rows = [*(found.at_recommended or found.at_present), *found.load]
    named = {f"miss_rate_{_key(row.name)}": row.missed for row in rows if not row.equal}
    stops = {row.name: row.overall.share for row in rows if row.equal}
    real = found.as_they_are.share if found.as_they_are else 0.0
    ratios = {
        "false_stop_rate": max(stops[EQUAL], real),
        "false_stop_rate_equal_models": stops[EQUAL],
        "false_stop_rate_seeds": real,
        **named,
    }
    return ratios | ({"load_false_stop_rate": stops[EQUALLY_FAST]} if EQUALLY_FAST in stops else {})


def rows_of(found: Calibration) -> list[dict[str, Any]]:
    """One row for each planted regression: our gates and the naive ones, shares of the trials that each stopped."""
    return [
        {"name": row.name, "kind": row.kind, "trials": row.overall.trials, "all_gates": row.overall.share}
        | {f"gate {gate}": rate.share for gate, rate in row.gates.items()}
        | {f"naive {gate}": rate.share for gate, rate in row.naive.items()}
        for row in (*(found.at_recommended or found.at_present), *found.load)
    ]


def verdicts(ratios: dict[str, float]) -> str:
    """One line a number, with its bound where it has one."""
    lines = []
    for name, value in ratios.items():
        bound = BOUNDS.get(name)
        told = "" if bound is None else f"  required at most {bound:g}: {'reached' if value <= bound else 'NOT REACHED'}"
        lines.append(f"{name:45} {value:8.3f}{told}")
    return "\n".join(lines)


def _key(name: str) -> str:
    """'20% of a label flipped' as 20_percent_flips, others by their own words."""
    if name.endswith(" of a label flipped"):
        return f"{name.split('%')[0]}_percent_flips"
    for sign, word in _KEYS.items():
        name = name.replace(sign, word)
    return re.sub(r"\W+", "_", name.split(" (")[0]).strip("_").lower()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _progress(done: int, total: int) -> None:
    if done == total or done % 400 < 20:
        _tell(f"{done:,} of {total:,} trials")


if __name__ == "__main__":
    main()
