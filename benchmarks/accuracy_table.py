"""The table of `accuracy.py`: what was reached, from results alone."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from accuracy_results import Result
from accuracy_sets import BenchmarkSet, Target

Row = dict[str, Any]
HEADINGS = {
    "set": "set",
    "rows": "rows",
    "labels": "labels",
    "metric": "metric",
    "ours": "ours, mean (each seed)",
    "floor": "linear floor",
    "setfit": "SetFit, same encoder",
    "trainer": "stock Trainer",
    "published": "published, not run here",
    "target": "target",
    "reached": "reached",
    "ece": "ECE",
    "temperature": "temperature",
    "method": "chosen method",
    "cpu_s": "CPU s of fit",
    "rows_per_cpu_s": "rows per CPU-s",
}


def make_rows(each: BenchmarkSet, results: Sequence[Result]) -> list[Row]:
    """One row for each target of a set, numbers in percent and seconds; what was not run is None."""
    by_system = {name: [r for r in results if r["system"] == name] for name in ("ours", "floor", "setfit", "trainer")}
    return [_row(each, target, by_system, first=target is each.targets[0]) for target in each.targets]


def _row(each: BenchmarkSet, target: Target, by_system: dict[str, list[Result]], first: bool) -> Row:
    ours = by_system["ours"]
    known = next((r for found in by_system.values() for r in found), None)
    row: Row = {
        "set": each.name,
        "rows": known["rows"] if known else None,
        "labels": known["labels"] if known else None,
        "metric": target.metric,
        "target": target,
        "published": each.published if first else (),
        "ece": _mean(ours, "ECE"),
        "temperature": mean(r["temperature"] for r in ours) if ours else None,
        "method": ", ".join(sorted({r["method"] for r in ours if r["method"]})) or None,
        "cpu_s": _cpu_s(ours),
        "rows_per_cpu_s": mean(r["rows"] for r in ours) / mean(r["cpu_s"] for r in ours) if ours else None,
    }
    for name, found in by_system.items():
        row |= {name: _mean(found, target.metric), f"{name}_seeds": _seeds(found, target.metric)}
        row[f"{name}_cpu_s"] = _cpu_s(found)
    return row | {"reached": reached(target, row)}


def reached(target: Target, row: Row) -> bool | None:
    """Whether the mean over seeds is what the target asks; None while a number that it needs is missing. Nothing is rounded."""
    ours = row["ours"]
    if ours is None or (target.setfit and row["setfit"] is None) or (target.floor and row["floor"] is None):
        return None
    if target.metric == "ECE":
        return bool(ours <= (target.value or 0.0))
    if target.floor:
        return bool(ours > max(row["floor"], target.value or 0.0))
    return bool(ours >= max(row["setfit"] if target.setfit else 0.0, target.value or 0.0))


def find_ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Ours over each peer on the set's own metric (`setfit_SET`), and the peer's CPU seconds over ours (`setfit_cpu_SET`)."""
    found: dict[str, float] = {}
    for row in (row for row in rows if row["metric"] in ("accuracy", "macro-F1") and row["ours"]):
        name = row["set"].replace("-", "_")
        for peer in ("floor", "setfit", "trainer"):
            if row[peer]:
                found[f"{peer}_{name}"] = row["ours"] / row[peer]
            if row[peer] and peer != "floor":
                found[f"{peer}_cpu_{name}"] = row[f"{peer}_cpu_s"] / row["cpu_s"]
    return found


def plain(row: Row) -> Row:
    """The row as JSON takes it."""
    target: Target = row["target"]
    told = {"target": target.value, "stretch": target.stretch, "target_text": _target(target)}
    published = [{"model": p.model, "value": p.value, "source": p.source} for p in row["published"]]
    return {**row, **told, "published": published}


def markdown(rows: Sequence[Row]) -> str:
    """The table; a column that nothing was measured for is left out."""
    shown = [name for name in HEADINGS if name not in ("floor", "setfit", "trainer") or any(row[name] is not None for row in rows)]
    lines = ["| " + " | ".join(HEADINGS[name] for name in shown) + " |", "|" + "---|" * len(shown)]
    return "\n".join([*lines, *("| " + " | ".join(cells(row)[name] for name in shown) + " |" for row in rows)])


def aligned(rows: Sequence[Row]) -> str:
    """The same for a terminal: columns padded, sources left to the Markdown."""
    grid = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in markdown(rows).splitlines() if not line.startswith("|--")]
    widths = [max(len(line[column]) for line in grid) for column in range(len(grid[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in grid)


def cells(row: Row) -> dict[str, str]:
    """One row as text."""
    return {
        **{name: str(row[name]) if row[name] is not None else "-" for name in ("set", "rows", "labels", "metric", "method")},
        **{name: _measured(row, name) for name in ("ours", "floor", "setfit", "trainer")},
        "published": "; ".join(f"{p.model} {p.value} ({p.source})" for p in row["published"]) or "-",
        "target": _target(row["target"]),
        "reached": {True: "yes", False: "no", None: "-"}[row["reached"]],
        "ece": _number(row["ece"], 2),
        "temperature": _number(row["temperature"], 2),
        "cpu_s": _number(row["cpu_s"], 0),
        "rows_per_cpu_s": _number(row["rows_per_cpu_s"], 1),
    }


def _measured(row: Row, name: str) -> str:
    if row[name] is None:
        return "-"
    seeds = row[f"{name}_seeds"]
    each = f" ({', '.join(f'{value:.2f}' for value in seeds)})" if name != "floor" else ""
    cost = f", {row[f'{name}_cpu_s']:.0f} CPU-s" if name in ("setfit", "trainer") else ""
    return f"{row[name]:.2f}{each}{cost}"


def _target(target: Target) -> str:
    if target.metric == "ECE":
        return f"<= {target.value}"
    words = f"> floor, {target.value}" if target.floor else f">= {target.value}"
    words += ", >= SetFit" if target.setfit else ""
    return words + (f" (stretch {target.stretch})" if target.stretch else "")


def _seeds(results: Sequence[Result], metric: str) -> list[float]:
    found = sorted(results, key=lambda r: int(r["seed"]))
    return [r["measures"][metric] for r in found if metric in r["measures"]]


def _mean(results: Sequence[Result], metric: str) -> float | None:
    found = _seeds(results, metric)
    return mean(found) if found else None


def _cpu_s(results: Sequence[Result]) -> float | None:
    return mean(r["cpu_s"] for r in results) if results else None


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
