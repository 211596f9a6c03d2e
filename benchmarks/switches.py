"""Requests through every switch of a release, at 70% of what the endpoint can bear: how many failed, and how slow the slowest were.

    python benchmarks/switches.py                   4 minutes of load on the bundle of serving.py (trained once: 3 CPU-minutes)
    python benchmarks/switches.py --bundle DIR      any other bundle
    python benchmarks/switches.py --json out.json   rows and ratios

A real local endpoint: router, supervisord, one server process a release. Its saturation is found by the stairs of the load test, then
the load test's own generator (Locust, in a process of its own) sends 70% of it with the cache off, at set times whether or not earlier
requests were answered, while the endpoint is deployed to, shifted, promoted, rolled back by itself (the challenger's server is killed
with SIGKILL again and again) and by hand, and back again. A failed request is any that got no 200 within 10 s. A switch's requests are
those whose intended start lies between its begin and 2 s after its end; all others are calm. There is no peer.
"""

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from switches_world import Timed, World, three_releases

from headgate.evaluation.load_run import LoadRun, run_locust
from headgate.evaluation.samples import Samples
from headgate.evaluation.stairs import saturation
from headgate.settings import LoadTest

SHARE = 0.7
AFTER_S = 2.0
STAIRS = LoadTest(rate_per_s=20, duration_s=2, warm_up_s=1, cached_duration_s=0, stairs_max_steps=8, stairs_step_s=2, stairs_factor=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write JSON where asked; exit status 1 if a request failed or the load ended too early."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="default: the one that serving.py serves")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where banking77 lies, for the default bundle")
    parser.add_argument("--seconds", type=float, default=240, help="of load; the switches must fit")
    parser.add_argument(
        "--rate", type=float, metavar="PER_S", help="requests a second; default: 70%% of the saturation that is found first"
    )
    parser.add_argument("--calm", type=float, default=8, metavar="S", help="seconds between two switches")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and ratios there")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped then too
    with tempfile.TemporaryDirectory(prefix="switches-") as folder:
        bundle = options.bundle or default_bundle(options.data)
        found = measure(bundle, Path(folder), options.seconds, options.calm, options.rate)
    print("\n".join(table(found)))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 1 if found["ratios"]["failed_requests"] or not found["ratios"]["load_covered_all"] else 0


def default_bundle(data: Path) -> Path:
    """The bundle of the serving benchmark."""
    from serving_model import default_classifier

    return default_classifier(data)[1]


def measure(bundle: Path, folder: Path, seconds: float, calm_s: float, rate_per_s: float | None) -> dict[str, Any]:
    """Rows and ratios of one run."""
    texts = example_texts(bundle)
    world = World(folder, three_releases(bundle, folder))
    try:
        most = None if rate_per_s else saturation_of(world, texts, made(folder / "stairs"))
        rate = rate_per_s or SHARE * (most or 0)
        print(f"saturation {most}, load {rate:.0f}/s for {seconds:g} s", file=sys.stderr, flush=True)
        run = under_load(world, texts, rate, seconds, calm_s, made(folder / "load"))
        return summary(world, run, most, rate)
    finally:
        world.stop()


def saturation_of(world: World, texts: Sequence[str], out: Path) -> float:
    """Good answers a second where the endpoint gave most, by the load test's stairs."""
    return saturation(run_locust(world.url, texts, {"candidate": None}, STAIRS, out).stairs)["candidate"]


def made(folder: Path) -> Path:
    """The folder, which is there now."""
    folder.mkdir(parents=True)
    return folder


def example_texts(bundle: Path, count: int = 2000) -> list[str]:
    """Distinct texts: the bundle's own examples and variations of them."""
    own = [json.loads(line)["input"]["text"] for line in (bundle / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
    return [f"{own[number % len(own)]} {number}" for number in range(count)]


def under_load(world: World, texts: Sequence[str], rate_per_s: float, seconds: float, calm_s: float, out: Path) -> LoadRun:
    """The load from a thread of its own, while the world goes through its switches."""
    settings = LoadTest(rate_per_s=rate_per_s, duration_s=seconds, warm_up_s=0, cached_duration_s=0, stairs_max_steps=0)
    runs: list[LoadRun] = []
    load = threading.Thread(target=lambda: runs.append(run_locust(world.url, texts, {"candidate": None}, settings, out)))
    load.start()
    wait_for_samples(out / "load_samples.bin", load)
    world.go_through(calm_s, lambda told: print(told, file=sys.stderr, flush=True))
    load.join()
    return runs[0]


def wait_for_samples(file: Path, load: threading.Thread) -> None:
    """Return once the first requests were answered; RuntimeError if the load ended before."""
    while not (file.exists() and file.stat().st_size):
        if not load.is_alive():
            raise RuntimeError("expected the load to begin, found it ended: Locust said why above")
        time.sleep(0.05)


def summary(world: World, run: LoadRun, most: float | None, rate: float) -> dict[str, Any]:
    """A row for each switch, one for the calm between them, and one for all."""
    at = run.samples["offset_s"].to_numpy() + run.began[0]
    inside = np.zeros(len(at), dtype=bool)
    rows = []
    for one in world.done:
        mask = (at >= one.began) & (at <= one.ended + AFTER_S)
        inside |= mask
        rows.append(row(one.name, run.samples[mask], one))
    rows += [row("calm", run.samples[~inside]), row("all", run.samples)]
    return {"rows": rows, "ratios": ratios(rows, world, float(at.max())) | {"saturation_per_s": most, "rate_per_s": rate}}


def row(name: str, samples: Samples, switch: Timed | None = None) -> dict[str, Any]:
    """Requests, failures and latencies from the intended start."""
    latency = samples["latency_ms"].to_numpy()
    failed = samples["fault"].notna()
    p50, p99 = np.percentile(latency, [50, 99]) if len(latency) else (float("nan"),) * 2
    faults = samples["fault"][failed].value_counts()
    return {
        "name": name,
        "took_s": switch.took_s if switch else None,
        "requests": len(samples),
        "failed": int(failed.sum()),
        "faults": {str(fault): int(count) for fault, count in faults.items()},
        "p50_ms": float(p50),
        "p99_ms": float(p99),
    }


def ratios(rows: Sequence[dict[str, Any]], world: World, last: float) -> dict[str, Any]:
    """What the run comes down to."""
    calm, everything = rows[-2:]
    beside = sum(one["requests"] for one in rows[:-2])
    verdict = world.verdict_at or float("nan")
    return {
        "requests": everything["requests"],
        "requests_beside_switches": beside,
        "failed_requests": everything["failed"],
        "verdict_to_all_weight_s": (world.weightless_at or float("nan")) - verdict,
        "verdict_to_last_answer_s": world.last_answer_s(),
        "worst_p99_over_calm": max(one["p99_ms"] for one in rows[:-2]) / calm["p99_ms"],
        "load_covered_all": last >= world.done[-1].ended,
        "rolled_back_because": world.reason,
    }


def table(found: dict[str, Any]) -> list[str]:
    """For a reader, the ratios last."""
    lines = [f"{'switch':44} {'took':>7} {'requests':>9} {'failed':>7} {'p50':>8} {'p99':>9}"]
    for one in found["rows"]:
        took = f"{one['took_s']:.1f} s" if one["took_s"] is not None else ""
        lines.append(f"{one['name']:44} {took:>7} {one['requests']:9,} {one['failed']:7} {one['p50_ms']:5.1f} ms {one['p99_ms']:6.1f} ms")
        lines += [f"    {count} x {fault}" for fault, count in one["faults"].items() if one["name"] != "all"]
    told = (f"{name} {value:,.3f}" if isinstance(value, float) else f"{name} {value}" for name, value in found["ratios"].items())
    return [*lines, "", *told]


if __name__ == "__main__":
    sys.exit(main())
