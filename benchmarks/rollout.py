"""The canary analysis in simulated rollouts: how often a good challenger goes back, a bad one is promoted, and how many it harmed.

    python benchmarks/rollout.py                   1,000 good rollouts and 200 of each fault, at 20, 50 and 100 requests a second
    python benchmarks/rollout.py --quick           50 of each at 50 requests a second
    python benchmarks/rollout.py --json out.json   rows and ratios

The machine and the analysis are the shipped ones, at the default policy; the traffic is made up (rollout_world.py). Beside them, on the
same counts at the same looks, stands what canary rules usually are: go back as soon as a value is beyond its limit, from the same minimum
of requests on. A rollout that ends undecided counts as not promoted. Every request that the challenger answers until it goes back counts
as harmed. The ratios without a rate in their name are those at 50 requests a second.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rollout_world import FAULTS, GOOD, Fault, World

from headgate.release.canary import DOUBT, Tally, evidence, needed
from headgate.release.rollout import Analysis, Finding, Situation, next_action, watch
from headgate.settings import AutoRollback, Stage

STAGE = Stage(environment="production")
PERCENT = STAGE.traffic_routing.shares[0]
LOOK_EVERY_S = 10.0
HEADLINE_RATE = 50
BOUNDS = {
    "false_rollback_rate": 0.01,
    "worst_miss_rate": 0.05,
    "worst_harmed_share": PERCENT / 100 * 1.02,
}  # the share itself, and what chance adds


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[20, HEADLINE_RATE, 100], help="requests a second, of both cohorts together"
    )
    parser.add_argument("--good", type=int, default=1000, help="rollouts of a challenger equal to the champion")
    parser.add_argument("--bad", type=int, default=200, help="rollouts of each fault")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and ratios there")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rates, options.good, options.bad = [HEADLINE_RATE], 50, 50
    rows = [wrong_bundle()]
    for rate in options.rates:
        for fault in (GOOD, *FAULTS):
            rows.append(simulate(fault, rate, options.good if fault is GOOD else options.bad, options.seed))
            print(line(rows[-1]), file=sys.stderr, flush=True)
    ratios = ratios_of(rows)
    print("\n".join([HEAD, *map(line, rows), "", *told(ratios)]))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "ratios": ratios}, indent=1))


def simulate(fault: Fault, rate: float, rollouts: int, seed: int) -> dict[str, Any]:
    """Take so many rollouts to their ends; one row of the table."""
    policy = STAGE.auto_rollback
    world = World(fault, rate, PERCENT, rollouts, LOOK_EVERY_S, seed, policy.correction_wait_s)
    wanted = needed(policy, 1, len(world.names))
    at_work, ends, naive = np.arange(rollouts), [""] * rollouts, np.zeros(rollouts, dtype=bool)
    seconds, seen, others = np.zeros(rollouts), np.zeros(rollouts), np.zeros(rollouts)
    elapsed = 0.0
    while len(at_work):
        elapsed += LOOK_EVERY_S
        world.after(elapsed)
        ours, theirs = world.counts["challenger"], world.counts["champion"]
        if elapsed <= STAGE.bake_time_s:
            naive[at_work] |= beyond(policy, ours, theirs)
        found = evidence(policy, ours, theirs)
        still = np.ones(len(at_work), dtype=bool)
        for place, rollout in enumerate(at_work):
            action = watch(STAGE, _situation(found, wanted, ours, theirs, place), elapsed)
            if action.kind in ("promote", "roll_back"):
                ends[rollout], still[place] = action.verdict or "promoted", False
                seconds[rollout], seen[rollout] = elapsed, ours.requests[place]
                others[rollout] = theirs.requests[place]
        at_work = at_work[still]
        world.keep(still)
    back = np.array([end != "promoted" for end in ends])
    return {
        "fault": fault.name,
        "rate_per_s": rate,
        "rollouts": rollouts,
        "promoted": 1 - float(back.mean()),
        "inconclusive": ends.count("inconclusive") / rollouts,
        "by_limits_at_each_look": 1 - float(naive.mean()),
        "seconds_median": float(np.median(seconds)),
        "canary_requests_median": float(np.median(seen)),
        "canary_requests_p95": float(np.quantile(seen, 0.95)),
        "harmed_share": float(seen[back].sum() / (seen + others)[back].sum()) if back.any() and fault is not GOOD else 0.0,
    }


def beyond(policy: AutoRollback, ours: Tally, theirs: Tally) -> NDArray[np.bool_]:
    """The usual rule: some value is beyond its limit now."""

    def shares(counts: Tally) -> list[NDArray[np.float64]]:
        answered = np.maximum(counts.requests - counts.errors, 1)
        return [counts.errors / np.maximum(counts.requests, 1), counts.abstained / answered, counts.doubts / answered]

    def quantile(counts: Tally, share: float) -> NDArray[np.float64]:
        cumulated = np.cumsum(counts.latency_ms, -1)
        return 1.0 * (cumulated < share * cumulated[:, -1:]).sum(-1)

    (errors, abstained, doubts), (usual_errors, usual_abstained, usual_doubts) = shares(ours), shares(theirs)
    mix = np.abs(ours.labels / ours.labels.sum(-1, keepdims=True).clip(1) - theirs.labels / theirs.labels.sum(-1, keepdims=True).clip(1))
    places = {share: 96 * np.log10(ratio) for share, ratio in ((0.95, policy.max_p95_ratio), (0.99, policy.max_p99_ratio))}
    found = [
        errors > policy.max_error_rate,
        errors > usual_errors + policy.max_error_rate_increase,
        *(quantile(ours, share) - quantile(theirs, share) > most for share, most in places.items()),
        (mix > policy.max_label_share_change).any(-1),
        np.abs(abstained - usual_abstained) > policy.max_abstention_change,
        doubts - usual_doubts > policy.max_confidence_drop,
        (ours.corrected / ours.heard.clip(1) > theirs.corrected / theirs.heard.clip(1) + policy.max_correction_rate_increase)
        & (ours.heard >= policy.min_requests),
    ]
    return np.any(found, axis=0) & (ours.requests >= policy.min_requests)


def wrong_bundle() -> dict[str, Any]:
    """The endpoint test stops it before any traffic: asked of the machine itself."""
    now = Situation(release="new", champion="old", challenger="new", challenger_percent=0, faults=("example 0: another bundle answered",))
    from datetime import UTC, datetime

    assert next_action(STAGE, now, datetime.now(UTC)).kind == "roll_back"
    nothing = dict.fromkeys(("promoted", "inconclusive", "by_limits_at_each_look", "seconds_median"), 0.0)
    none = dict.fromkeys(("canary_requests_median", "canary_requests_p95", "harmed_share"), 0.0)
    return {"fault": "wrong bundle (endpoint test)", "rate_per_s": 0.0, "rollouts": 1} | nothing | none


def _situation(found: dict[str, Any], wanted: dict[str, float], ours: Tally, theirs: Tally, place: int) -> Situation:
    """What the machine sees of one rollout; metrics within their limits are left out, which decide nothing."""
    findings = []
    for metric, weights in found.items():
        weight = float(np.max(weights[place]))
        if weight > np.log(DOUBT) + 1e-9:
            verdict = "failed" if weight >= wanted[metric] else "in doubt"
            findings.append(_finding(metric, weight, wanted[metric], verdict))
    seen = Analysis.model_construct(
        requests=int(ours.requests[place]),
        errors=int(ours.errors[place]),
        champion_requests=int(theirs.requests[place]),
        findings=tuple(findings),
    )
    return Situation.model_construct(challenger_percent=PERCENT, analysis=seen, warned=0)


def _finding(metric: str, weight: float, wanted: float, verdict: str) -> Finding:
    return Finding.model_construct(
        metric=metric, challenger=None, champion=None, limit=0.0, unit="more", evidence=weight, needed=wanted, verdict=verdict
    )


def ratios_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The rates at the headline's traffic, and each by its own."""
    found = {}
    for rate in sorted({row["rate_per_s"] for row in rows} - {0.0}):
        here = [row for row in rows if row["rate_per_s"] == rate]
        good, bad = here[0], here[1:]
        found |= {
            f"false_rollback_rate_{rate:g}_per_s": 1 - good["promoted"],
            f"worst_miss_rate_{rate:g}_per_s": max(row["promoted"] for row in bad),
            f"worst_harmed_share_{rate:g}_per_s": max(row["harmed_share"] for row in bad),
            f"limits_false_rollback_rate_{rate:g}_per_s": 1 - good["by_limits_at_each_look"],
        }
    names = ("false_rollback_rate", "worst_miss_rate", "worst_harmed_share", "limits_false_rollback_rate")
    return {name: found[f"{name}_{HEADLINE_RATE}_per_s"] for name in names if f"{name}_{HEADLINE_RATE}_per_s" in found} | found


HEAD = (
    f"{'fault':<32}{'/s':>5}{'rollouts':>9}{'promoted':>10}{'undecided':>10}{'limits':>8}{'seconds':>9}"
    f"{'canary requests, p95':>21}{'harmed':>8}"
)


def line(row: dict[str, Any]) -> str:
    """One row for a reader; `limits`: share that the usual rule lets pass."""
    requests = f"{row['canary_requests_median']:,.0f}, {row['canary_requests_p95']:,.0f}"
    shares = f"{row['promoted']:>10.1%}{row['inconclusive']:>10.1%}{row['by_limits_at_each_look']:>8.1%}"
    counts = f"{row['fault']:<32}{row['rate_per_s']:>5g}{row['rollouts']:>9,}"
    return f"{counts}{shares}{row['seconds_median']:>9.0f}{requests:>21}{row['harmed_share']:>8.1%}"


def told(ratios: dict[str, float]) -> list[str]:
    """One line a number, with its bound where it has one."""
    lines = []
    for name, value in ratios.items():
        bound = BOUNDS.get(name)
        verdict = "" if bound is None else f"  required at most {bound:g}: {'reached' if value <= bound else 'NOT REACHED'}"
        lines.append(f"{name:44} {value:8.4f}{verdict}")
    return lines


if __name__ == "__main__":
    main()
