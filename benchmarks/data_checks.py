"""Planted faults: how often the data checks find each, and how often they cry wolf on clean batches of the public sets.

    python benchmarks/data_checks.py                              every set, 3 seeds: 20 CPU-seconds or so for a set and seed
    python benchmarks/data_checks.py --sets banking77 --seeds 1   one of them
    python benchmarks/data_checks.py --rows 100000                what one run costs, in place of the faults
    python benchmarks/data_checks.py --from a.json b.json         tables of earlier runs
    python benchmarks/data_checks.py --json out.json              rows and ratios

A version of at most 1,000 rows, then one with a batch of 200 more, drawn at random from the same file; the regression set is rows of the
set's test file. Exact copies that a set has between its two files are taken out first. A fault is planted in the batch alone, but for a
dropped label. It is found where one of its checks fails that did not fail on the clean batch of the same seed, and stopped where that is
critical. What is measured is kept as numbers and held against the default bounds when the tables are made. To save time Great Expectations
itself runs on clean batches and for faults that are for its checks of single rows, and labels are judged on clean batches and for faults
of labels. No peer checks annotations like this; the ratio `found` is over all faults, `false_stops` over all clean batches.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd

sys.path.append(sys.path.pop(0))  # this script has the name of the room that it measures, which must be found first

from data_checks_faults import FAULTS, SUSPECTS, Trial, clean
from peers import CHECKOUT

from data_checks.annotations import check_annotations
from data_checks.measures import BOUNDS, measures
from data_checks.signs import signs_of
from headgate.data.rows import normalised, split_of
from headgate.model.label_errors import Judged, suspected_labels
from headgate.settings import Bound, DataChecks

SHARED = Path(os.environ.get("HEADGATE_SHARED", CHECKOUT / ".." / "shared")) / "data"
REPLIES = CHECKOUT / "examples" / "replies"
CHOSEN_ON = ("banking77", "sms_spam", "replies")  # what the bounds were chosen on; the other sets were kept for the table
SETS = {
    "banking77": (SHARED / "banking77" / "train.jsonl", SHARED / "banking77" / "test.jsonl"),
    "sms_spam": (SHARED / "sms_spam" / "train.jsonl", SHARED / "sms_spam" / "test.jsonl"),
    "replies": (REPLIES / "day0.jsonl", REPLIES / "regression.jsonl"),
    "clinc150": (SHARED / "clinc150" / "train.jsonl", SHARED / "clinc150" / "valid.jsonl"),
    "snips": (SHARED / "snips" / "train.jsonl", SHARED / "snips" / "test.jsonl"),
    "bitext_support": (SHARED / "bitext_support" / "train.jsonl", SHARED / "bitext_support" / "test.jsonl"),
    "email_intent": (SHARED / "email_intent_parakweet" / "train.jsonl", SHARED / "email_intent_parakweet" / "test.jsonl"),
}
BEFORE, BATCH, REGRESSION = 1_000, 200, 400
ROW_CHECKS = {"labels_vanished", "label_shares", "regression_rows", "conflicts_rare", "conflicts"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Plant, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS), help="comma-separated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=10, help="0 to 9 were used to choose the bounds")
    parser.add_argument("--rows", type=int, help="measure one run over so many rows of BANKING77, repeated with numbers in them")
    parser.add_argument("--from", dest="earlier", nargs="+", type=Path, metavar="FILE", help="JSON of earlier runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and ratios there")
    options = parser.parse_args(arguments)
    if options.rows:
        return _cost(options.rows)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    earlier = [row for file in options.earlier or () for row in json.loads(file.read_text())["rows"]]
    rows = _judged(earlier or list(_trials(options.sets.split(","), seeds, options.json)))
    ratios = _ratios(rows)
    print("\n".join(["", *_fault_table(rows), "", *_alarm_table(rows), "", *(f"{name}: {value:.3f}" for name, value in ratios.items())]))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "ratios": ratios}, indent=1) + "\n")
    return None


def _trials(sets: Sequence[str], seeds: Sequence[int], out: Path | None) -> Iterator[dict[str, Any]]:
    """One row for the clean batch of a set and seed, and one for each fault; what is done is kept if the run is stopped."""
    done: list[dict[str, Any]] = []
    for seed, name in product(seeds, sets):
        started, trial = time.process_time(), _trial(name, seed)
        done.append({"set": name, "seed": seed, "fault": "none", **_looked_at(trial, clean(trial), set())})
        for fault, (plant, checks) in FAULTS.items():
            done.append({"set": name, "seed": seed, "fault": fault, **_looked_at(trial, plant(trial), set(checks))})
        print(f"{name}, seed {seed}: {time.process_time() - started:.0f} CPU-s", flush=True)
        if out:
            out.write_text(json.dumps({"rows": done}))
    yield from done


def _trial(name: str, seed: int) -> Trial:
    train, held = (_read(path) for path in SETS[name])
    texts = set(held["text"].map(normalised))
    train = train[~train["text"].map(normalised).isin(texts)].sample(frac=1, random_state=seed, ignore_index=True)
    before = train.iloc[: min(BEFORE, len(train) - BATCH)]
    batch, left = train.iloc[len(before) :][:BATCH], train.iloc[len(before) + BATCH :]
    batch = batch[batch["label"].isin(before["label"])]
    regression = held.sample(min(REGRESSION, len(held)), random_state=seed)
    plain = [part.reset_index(drop=True) for part in (before, batch, regression, left if len(left) else before.iloc[:0])]
    return Trial(*plain, _german(), random.Random(seed))


def _read(path: Path) -> pd.DataFrame:
    rows = pd.DataFrame([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])
    rows["group_id"] = rows["group_id"] if "group_id" in rows else rows["id"]
    return rows[["id", "text", "label", "group_id"]].assign(split=rows["group_id"].map(split_of))


def _german() -> list[str]:
    rows = map(json.loads, (SHARED / "xsid_mixed" / "train.jsonl").read_text(encoding="utf-8").splitlines())
    return [row["text"] for row in rows if row["lang"] == "de" and len(row["text"]) > 35]


def _looked_at(trial: Trial, frame: pd.DataFrame, checks: set[str]) -> dict[str, Any]:
    """The value of each measure, and the failed checks of single rows; what `checks` (none: all) do not ask for is left out."""
    frame = frame.assign(id=[f"r{number}" for number in range(len(frame))])
    kept = trial.before.assign(id=[f"r{number}" for number in range(len(trial.before))])
    settings, rows = DataChecks(min_rows_per_label=1), {}
    if not checks or checks & ROW_CHECKS:
        with tempfile.TemporaryDirectory() as out:
            report = check_annotations(frame, kept, trial.regression, settings, (), Path(out))
        rows = {check.name: check.severity for check in report.checks if not check.passed and check.name in ROW_CHECKS}
    judges = suspected_labels if not checks or checks & set(SUSPECTS) else lambda *_, **__: Judged(suspects=(), ids=())
    with patch("data_checks.signs.suspected_labels", judges):
        found = measures(signs_of(frame, kept, trial.regression, settings.phone_regions), settings)
    return {"rows": rows, "values": {one.name: one.value for one in found}}


def _judged(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The failed checks of each trial by today's bounds, and what of its fault was told that the clean batch did not have."""
    bounds = BOUNDS | {name: bound for name, bound in DataChecks() if isinstance(bound, Bound)}
    for row in rows:
        row["failed"] = row["rows"] | {name: _severity(value, bounds[name]) for name, value in row["values"].items()}
        row["failed"] = {name: severity for name, severity in row["failed"].items() if severity}
    usual = {(row["set"], row["seed"]): row["failed"] for row in rows if row["fault"] == "none"}
    for row in rows:
        named = FAULTS.get(row["fault"], (None, ()))[1]
        before = usual[row["set"], row["seed"]]
        row["told"] = {name: severity for name, severity in row["failed"].items() if name in named and before.get(name) != severity}
    return list(rows)


def _severity(value: float, bound: Bound) -> str | None:
    if value <= bound.warning:
        return None
    return "warning" if bound.critical is None or value <= bound.critical else "critical"


def _fault_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Found and stopped of each fault: the sets that were kept, then those that the bounds were chosen on."""
    lines = [
        "| fault in the batch | checks | kept sets: found | stopped | chosen on: found | stopped | missed on |",
        "|---|---|---|---|---|---|---|",
    ]
    for fault, (_, checks) in FAULTS.items():
        mine = [row for row in rows if row["fault"] == fault]
        parts = [[row for row in mine if (row["set"] in CHOSEN_ON) is chosen] for chosen in (False, True)]
        cells = [cell for part in parts for cell in (_rate(part, bool), _rate(part, lambda told: "critical" in told.values()))]
        missed = sorted({row["set"] for row in mine if not row["told"]})
        lines.append(f"| {fault} | {', '.join(f'`{check}`' for check in checks)} | {' | '.join(cells)} | {', '.join(missed) or '-'} |")
    return lines


def _rate(rows: Sequence[dict[str, Any]], holds: Any) -> str:
    return f"{sum(bool(holds(row['told'])) for row in rows)} of {len(rows)}" if rows else "-"


def _alarm_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What fails on clean batches, by check."""
    cleaned = [row for row in rows if row["fault"] == "none"]
    alarms: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in cleaned:
        for check, severity in row["failed"].items():
            alarms[check, severity].append(row["set"])
    lines = [f"| check that fails on a clean batch ({len(cleaned)} batches) | severity | batches | sets |", "|---|---|---|---|"]
    lines += [
        f"| `{check}` | {severity} | {len(sets)} | {', '.join(sorted(set(sets)))} |" for (check, severity), sets in sorted(alarms.items())
    ]
    return lines


def _ratios(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    planted = [row for row in rows if row["fault"] != "none" and row["set"] not in CHOSEN_ON] or [
        row for row in rows if row["fault"] != "none"
    ]
    cleaned = [row for row in rows if row["fault"] == "none"]
    return {
        "found": sum(bool(row["told"]) for row in planted) / max(1, len(planted)),
        "false_stops": sum("critical" in row["failed"].values() for row in cleaned) / max(1, len(cleaned)),
    }


def _cost(rows: int) -> None:
    base = _read(SETS["banking77"][0])
    many = pd.concat(
        [base.assign(text=base["text"] + f" {chr(97 + n % 26)}{chr(97 + n // 26)} " * 6) for n in range(-(-rows // len(base)))]
    )[:rows]
    many = many.assign(id=[f"r{n}" for n in range(len(many))], group_id=[f"g{n}" for n in range(len(many))]).reset_index(drop=True)
    started, clock = time.process_time(), time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        check_annotations(many, many.iloc[: int(rows * 0.98)], _read(SETS["banking77"][1]), DataChecks(), (), Path(out))
    print(f"{rows} rows: {time.process_time() - started:.1f} CPU-s, {time.perf_counter() - clock:.1f} s")


if __name__ == "__main__":
    main()
