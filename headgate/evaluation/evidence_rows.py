"""The evidence as rows of the page's tables: tiles, labels, slices, confusions, flips, memory. Pure."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from headgate.evaluation.evidence_record import Evidence
from headgate.evaluation.evidence_summary import compared_with, percent
from headgate.evaluation.gates import points
from headgate.evaluation.report import Change, Comparison, Flip, LabelMetrics, Level, Metrics

FLIPS_SHOWN = 1500
TEXT_SHOWN = 600
CONFUSIONS_SHOWN = 10
CASES_SHOWN = 20

Row = dict[str, Any]
Tile = tuple[str, str, str, str]


def compared(evidence: Evidence) -> tuple[str, Comparison | None]:
    """What the candidate is compared with row by row, by name: the champion, or the linear floor where there is none."""
    report = evidence.report
    return ("champion", report.paired) if report.paired or report.champion else ("linear floor", report.paired_floor)


def tiles(evidence: Evidence) -> list[Tile]:
    """The few numbers at the top: name, value, what it is compared with, and how that looks (good, bad or plain)."""
    report, load = evidence.report, evidence.load
    found = [_quality_tile(evidence, "accuracy", "Accuracy"), _quality_tile(evidence, "macro_f1", "Macro-F1")]
    abstained = f"{report.candidate.abstained:,} abstained, {report.candidate.skipped:,} skipped"
    found.append(("Coverage", percent(report.candidate.coverage), abstained, "plain"))
    if load:
        now, was = load.candidate, load.side("champion")
        against = f"champion {was.p95_ms:,.0f} ms" if was else f"at {load.rate_per_s:g} requests a second"
        found.append(("Latency p95", f"{now.p95_ms:,.0f} ms", against, "plain"))
        found.append(("Errors", f"{now.error_rate:.2%}", f"{now.errors:,} of {now.requests:,} requests", "bad" if now.errors else "plain"))
    return found


def label_rows(evidence: Evidence) -> list[Row]:
    """One row a label: the candidate's metrics, and the changes with a drawing of the interval."""
    report, (_, paired) = evidence.report, compared(evidence)
    was = {one.label: one for one in _other_labels(evidence)}
    changes = {one.label: one for one in paired.labels} if paired else {}
    margin = evidence.gates.max_label_recall_drop
    scale = _scale([one.recall for one in changes.values()], margin)
    return [
        {
            "now": now,
            "f1_change": _signed(now.f1 - was[now.label].f1) if now.label in was else "",
            "change": (change := changes.get(now.label)),
            "bar": _interval(change.recall, margin, scale) if change else "",
        }
        for now in report.candidate.labels
    ]


def slice_rows(evidence: Evidence) -> list[Row]:
    """One row a slice, with a drawing of the interval."""
    _, paired = compared(evidence)
    slices = paired.slices if paired else ()
    margin = evidence.gates.max_slice_accuracy_drop
    scale = _scale([one.accuracy for one in slices], margin)
    return [{"one": one, "bar": _interval(one.accuracy, margin, scale)} for one in slices]


def confusions(evidence: Evidence) -> list[Row]:
    """The most frequent mistakes of the candidate: true label, answer, rows, share of the label's rows, the champion's rows."""
    mistakes = _mistakes(evidence.report.candidate)
    champion = _mistakes(evidence.report.champion) if evidence.report.champion else {}
    support = {one.label: one.support for one in evidence.report.candidate.labels}
    worst = sorted(mistakes, key=lambda pair: (-mistakes[pair], pair))[:CONFUSIONS_SHOWN]
    return [
        {"label": t, "called": p, "rows": mistakes[t, p], "share": mistakes[t, p] / support[t], "champion": champion.get((t, p), 0)}
        for t, p in worst
    ]


def reliability(evidence: Evidence) -> Row:
    """Rows and share right in each tenth of the scores, and the expected calibration error (Naeini et al. 2015) of each model."""
    report = evidence.report
    models = [("Candidate", report.candidate), *([("Champion", report.champion)] if report.champion else [])]
    bins = [{round(one.low, 1): one for one in metrics.calibration} for _, metrics in models]
    lows = sorted({low for of_model in bins for low in of_model})
    return {
        "names": [(name, _calibration_error(metrics)) for name, metrics in models],
        "rows": [(f"{low:.1f} to {low + 0.1:.1f}", [of_model.get(low) for of_model in bins]) for low in lows],
    }


def flip_groups(evidence: Evidence) -> list[Row]:
    """Harmful and beneficial flips: what they are called, what they mean, how many there are, and those that are shown."""
    report = evidence.report
    found: tuple[tuple[str, str, tuple[Flip, ...]], ...] = (
        ("Harmful", "only the champion was right", report.harmful),
        ("Beneficial", "only the candidate is right", report.beneficial),
    )
    return [
        {"name": name, "key": name.lower(), "meaning": meaning, "total": len(flips), "rows": flips[:FLIPS_SHOWN]}
        for name, meaning, flips in found
    ]


def sparkline(samples: Sequence[float], width: int = 220, height: int = 36) -> Markup:
    """Samples over time as a small line from 0 to the largest."""
    kept = samples[:: max(1, len(samples) // width)]
    top = max(kept, default=0.0) or 1.0
    step = width / max(1, len(kept) - 1)
    dots = " ".join(f"{i * step:.1f},{height - 2 - (height - 4) * value / top:.1f}" for i, value in enumerate(kept))
    return Markup('<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}"><polyline points="{}"/></svg>').format(
        width, height, f"{len(samples)} samples", dots
    )


def clip(text: str, most: int = TEXT_SHOWN) -> str:
    """A text of at most so many characters, with the length of a longer one."""
    return text if len(text) <= most else f"{text[:most]} ... ({len(text):,} characters)"


def p_value(value: float | None) -> str:
    """A p value as readers expect it; a dash where there is none."""
    return "\N{EN DASH}" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def _quality_tile(evidence: Evidence, field: str, name: str) -> Tile:
    value = getattr(evidence.report.candidate, field)
    others = compared_with(evidence)
    if not others:
        return name, percent(value), "nothing to compare with", "plain"
    against, level = others[0]
    difference = value - getattr(level, field)
    look = "plain" if abs(difference) < 0.0005 else "good" if difference > 0 else "bad"
    return name, percent(value), f"{points(difference)} vs {against.lower()}", look


def _other_labels(evidence: Evidence) -> tuple[LabelMetrics, ...]:
    others = compared_with(evidence)
    return others[0][1].labels if others else ()


def _calibration_error(metrics: Metrics) -> float:
    rows = sum(one.rows for one in metrics.calibration)
    return sum(one.rows * abs(one.score - one.accuracy) for one in metrics.calibration) / rows if rows else 0.0


def _mistakes(level: Level) -> dict[tuple[str, str], int]:
    names = level.label_names
    return {(names[i], names[j]): count for i, row in enumerate(level.confusion) for j, count in enumerate(row) if count and i != j}


def _signed(difference: float) -> str:
    return points(difference).removesuffix(" points")


def _scale(changes: Sequence[Change], margin: float) -> float:
    return max([margin, 0.01, *(max(-one.low, one.high) for one in changes)])


def _interval(change: Change, margin: float, scale: float) -> Markup:
    """A drawing from -scale to +scale: the interval, the difference, zero and the margin."""
    low, middle, high, bound = (f"{80 + 76 * value / scale:.1f}" for value in (change.low, change.difference, change.high, -margin))
    return Markup(
        '<svg class="interval" viewBox="0 0 160 16" role="img" aria-label="{}"><line class="zero" x1="80" x2="80" y1="0" y2="16"/>'
        '<line class="margin" x1="{}" x2="{}" y1="0" y2="16"/><line class="range" x1="{}" x2="{}" y1="8" y2="8"/>'
        '<circle cx="{}" cy="8" r="3.5"/></svg>'
    ).format(f"{points(change.low)} to {points(change.high)}", bound, bound, low, high, middle)
