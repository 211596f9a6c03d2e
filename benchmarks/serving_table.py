"""The table and the ratios of `serving.py`, from what each round measured."""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from serving_servers import OURS, SAME_ENGINE

Found = dict[str, Any]
Row = dict[str, Any]
MEASURED = ("rps", "per_cpu_s", "cores", "p50_ms", "p99_ms")
ALIKE = 1.3
HEADINGS = (
    "server",
    "requests/CPU-s",
    "requests/s",
    "cores had",
    "p50 ms",
    "p99 ms",
    "half repeats: requests/s",
    "start s (CPU s)",
    "largest process MB",
    "all MB (PSS)",
    "labels as ours",
    "errors",
)
BASIS = {
    "best_stock_peer_cpu": "requests per CPU-second at 64 connections over the best stock peer's; required 10",
    "best_stock_peer_rps_16": "requests/s at 16 connections over the best stock peer's; required 6",
    "best_stock_peer_rps_64": "requests/s at 64 connections over the best stock peer's; required 9",
    "p99_share_16": "p99 over the lowest of a stock peer at 16 connections; required at most 0.33",
    "p99_share_64": "the same at 64",
    "litserve_same_engine": "requests per CPU-second at 64 connections; required 2.5",
    "litserve_same_engine_rps": "requests/s at 64 connections",
    "engine_share": "requests per CPU-second at 64 connections over texts per CPU-second of the engine alone; required 0.8",
    "start_up": "the fastest start of any peer, LitServe with our engine among them, over ours; required 10",
    "start_up_cpu": "the same by CPU-seconds until the first answer",
    "start_up_stock": "as start_up, stock peers alone",
    "cache_hits_of_ceiling": "requests/s of one process, all hits, over those of a server that does nothing; required 0.6",
}


def summarise(rounds: Sequence[Found], stock: Sequence[str]) -> list[Row]:
    """One row a server: medians over its rounds; errors are added up and the least agreement counts."""
    names = list(dict.fromkeys(found["server"] for found in rounds))
    return [_row(name, [found for found in rounds if found["server"] == name], name in stock) for name in names]


def _row(name: str, found: Sequence[Found], stock: bool) -> Row:
    loads = {key: {each: median(one["loads"][key][each] for one in found) for each in MEASURED} for key in found[0]["loads"]}
    return {
        "server": name,
        "stock": stock,
        "rounds": len(found),
        **{each: median(one[each] for one in found) for each in ("start_s", "start_cpu_s", "largest_rss_mb", "pss_mb", "processes")},
        "agreement": min(one["agreement"] for one in found),
        "errors": sum(load["errors"] for one in found for load in one["loads"].values()),
        "loads": loads,
    }


def find_ratios(rows: Sequence[Row], engine: float, hits_rps: float, ceiling_rps: float) -> dict[str, float]:
    """Ours over the peers, by the names of `BASIS`; what was not measured is left out.

    engine: texts per CPU-second of the engine alone. A peer with errors is no peer to be compared with.
    """
    by_name = {row["server"]: row for row in rows}
    ours, peers = by_name[OURS], [row for row in rows if row["server"] != OURS and not row["errors"]]
    stock, same = [row for row in peers if row["stock"]], [row for row in peers if row["server"] == SAME_ENGINE]
    at_64 = _load(ours, 64, "per_cpu_s")
    found = {
        "best_stock_peer_cpu": _over(at_64, [_load(row, 64, "per_cpu_s") for row in stock]),
        **{f"best_stock_peer_rps_{n}": _over(_load(ours, n, "rps"), [_load(row, n, "rps") for row in stock]) for n in (16, 64)},
        **{f"p99_share_{n}": _over(_load(ours, n, "p99_ms"), [_load(row, n, "p99_ms") for row in stock], best=min) for n in (16, 64)},
        "litserve_same_engine": _over(at_64, [_load(row, 64, "per_cpu_s") for row in same]),
        "litserve_same_engine_rps": _over(_load(ours, 64, "rps"), [_load(row, 64, "rps") for row in same]),
        "engine_share": _over(at_64, [engine]),
        "start_up": min((row["start_s"] for row in peers), default=0.0) / ours["start_s"] or None,
        "start_up_cpu": min((row["start_cpu_s"] for row in peers), default=0.0) / ours["start_cpu_s"] or None,
        "start_up_stock": min((row["start_s"] for row in stock), default=0.0) / ours["start_s"] or None,
        "cache_hits_of_ceiling": _over(hits_rps, [ceiling_rps]),
    }
    return {name: value for name, value in found.items() if value is not None}


def _load(row: Row, connections: int, each: str) -> float | None:
    load = row["loads"].get(f"distinct {connections}")
    return load[each] if load else None


def _over(ours: float | None, others: Sequence[float | None], best: Any = max) -> float | None:
    known = [other for other in others if other]
    return ours / best(known) if ours and known else None


def unlike(rows: Sequence[Row]) -> str | None:
    """A warning where the machine gave the servers unlike shares of its cores at 64 connections: requests/s then say nothing."""
    had = {row["server"]: cores for row in rows if (cores := _load(row, 64, "cores"))}
    if not had or max(had.values()) <= ALIKE * min(had.values()):
        return None
    least, most = min(had, key=lambda name: had[name]), max(had, key=lambda name: had[name])
    told = f"{least} had {had[least]:.2f} cores and {most} {had[most]:.2f} at 64 connections"
    return f"BUSY MACHINE: {told}; do not compare requests/s, latency and start, only what is by CPU-second"


def markdown(rows: Sequence[Row], failed: dict[str, str], connections: Sequence[int]) -> str:
    """The table; a peer that could not be run has a line that says why."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(cells(row, connections)) + " |" for row in rows]
    dashes = " | ".join("-" for _ in HEADINGS[2:])
    lines += [f"| {name} | not measured: {' '.join(why.split())[:160]} | {dashes} |" for name, why in failed.items()]
    return "\n".join(lines)


def cells(row: Row, connections: Sequence[int]) -> list[str]:
    """One row as text; rates are at each number of connections, least first."""
    told = [" / ".join(_numbers(row, "distinct", each, connections)) for each in ("per_cpu_s", "rps", "cores", "p50_ms", "p99_ms")]
    return [
        row["server"],
        *told,
        " / ".join(_numbers(row, "repeats", "rps", connections)),
        f"{row['start_s']:.2f} ({row['start_cpu_s']:.2f})",
        f"{row['largest_rss_mb']:.0f}",
        f"{row['pss_mb']:.0f} in {row['processes']:.0f}",
        f"{row['agreement']:.0%}",
        str(row["errors"]),
    ]


def _numbers(row: Row, texts: str, each: str, connections: Sequence[int]) -> Iterator[str]:
    for number in connections:
        value = row["loads"][f"{texts} {number}"][each]
        yield f"{value:,.0f}" if value >= 20 else f"{value:.1f}" if each != "cores" else f"{value:.2f}"
