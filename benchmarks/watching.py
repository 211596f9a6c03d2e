"""How often watch_production raises an alarm on simulated traffic: on stable traffic, and after a fault is planted.

    python benchmarks/watching.py                   100 windows of each kind of stable traffic, each fault 10 times
    python benchmarks/watching.py --quick           30 and 10
    python benchmarks/watching.py --json out.json   rows and ratios

The judgement is the shipped one at the default settings, but that stable windows are judged at 5% for all columns together (the default is
0.25%), since rarer alarms would need more windows to be counted; the traffic is made up (watching_world.py). Stable traffic comes in
four kinds: every hour
alike; shares and volume by the hour of the day; campaigns on top, which move one label for hours; days that differ from one another.
Beside it, on the
same windows, stands what drift tools usually do: the textbook p of each column, corrected by Holm, and PSI above 0.2. Faults are planted
in the daily traffic
and looked for as the flow does, each time a quarter of a window is complete.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from watching_world import COLUMNS, FAULTS, KINDS, World

from headgate.monitoring.calibrated_drift import BLOCKS, Block, judge
from headgate.settings import Watch

WATCH = Watch()
SHARE = WATCH.false_alarm_share
PER_HOUR, WINDOWS_AFTER = (20, 200), 3
HEAD = f"{'traffic':<22}{'answers/h':>10}{'history':>9}{'windows':>9}  {'found':<44}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stable", type=int, default=100, help="windows of each kind of stable traffic")
    parser.add_argument("--planted", type=int, default=10, help="times that each fault is planted")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and ratios there")
    options = parser.parse_args(arguments)
    if options.quick:
        options.stable, options.planted = 10, 2
    rows = [stable(kind, rate, days, options.stable) for kind in KINDS for rate, days in ((20, 7), (200, 28))]
    rows += [planted(fault, rate, options.planted) for fault in FAULTS for rate in PER_HOUR]
    ratios = {
        "worst_share_at_5_percent": max(row["p_at_most_0.05"] for row in rows if "textbook_p" in row),
        "worst_found_share": min(row["found"] for row in rows if "found" in row),
    }
    print("\n".join([HEAD, *map(line, rows), "", *(f"{name}: {value:.3f}" for name, value in ratios.items())]))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "ratios": ratios}, indent=1))


def stable(kind: str, per_hour: float, days: int, windows: int) -> dict[str, Any]:
    """Windows after histories of so many days, nothing planted: shares of them with an alarm, and with each textbook rule's."""
    found = []
    for seed in range(windows):
        blocks = World(kind, per_hour, seed).blocks(days * BLOCKS + BLOCKS)
        drifts = _judged(blocks[:-BLOCKS], blocks[-BLOCKS:], 0.05, 999)
        shifts = [drift.shift for drift in drifts if drift.shift]
        found.append(
            (
                min(drift.p for drift in drifts) <= 0.05,
                any(drift.drifted for drift in drifts),
                min(shift.p for shift in shifts) * len(shifts) <= 0.05,
                max(shift.psi for shift in shifts) >= 0.2,
            )
        )
    names = ("p_at_most_0.05", "and_psi", "textbook_p", "psi_0.2")
    row = {"traffic": kind, "per_hour": per_hour, "days": days, "windows": windows}
    row |= dict(zip(names, np.mean(found, axis=0).tolist(), strict=True))
    print(line(row), file=sys.stderr, flush=True)
    return row


def planted(fault: str, per_hour: float, times: int) -> dict[str, Any]:
    """A fault from one moment on: how often it is found within three windows, and after how many answers."""
    history, answers = 14 * BLOCKS, []
    for seed in range(times):
        blocks = World("by the hour of day", per_hour, seed, fault, planted_from=history).blocks(history + WINDOWS_AFTER * BLOCKS)
        for end in range(history + 1, len(blocks) + 1):
            if any(drift.drifted for drift in _judged(blocks[: end - BLOCKS], blocks[end - BLOCKS : end], SHARE)):
                answers.append(sum(sum(block.counts["label"].values()) for block in blocks[history:end]))
                break
    row = {"traffic": fault, "per_hour": per_hour, "days": 14, "windows": times, "found": len(answers) / times}
    row |= {"answers_median": float(np.median(answers)) if answers else None}
    print(line(row), file=sys.stderr, flush=True)
    return row


def _judged(history: list[Block], window: list[Block], share: float, draws: int | None = None) -> Any:
    whole = history[len(history) % BLOCKS :]
    return judge(dict.fromkeys(COLUMNS, whole), dict.fromkeys(COLUMNS, window), share, WATCH.min_psi, draws)


def line(row: dict[str, Any]) -> str:
    """A row for a reader."""
    if "found" in row:
        told = f"found {row['found']:.0%}" + (f", after {row['answers_median']:,.0f} answers (median)" if row["answers_median"] else "")
    else:
        told = (
            f"p at most 5%: {row['p_at_most_0.05']:.1%}, and PSI {WATCH.min_psi:g}: {row['and_psi']:.1%}; "
            f"textbook p at most 5%: {row['textbook_p']:.1%}; PSI above 0.2: {row['psi_0.2']:.1%}"
        )
    return f"{row['traffic']:<22}{row['per_hour']:>10g}{row['days']:>8}d{row['windows']:>9}  {told}"


if __name__ == "__main__":
    main()
