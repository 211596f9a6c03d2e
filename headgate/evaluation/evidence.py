"""The evidence page: everything that a decision about a release rests on, in one self-contained HTML file."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from headgate.data.version import DataVersion
from headgate.evaluation import load_pictures, pictures
from headgate.evaluation.gates import label_verdict, overall, points
from headgate.evaluation.load_report import LoadReport
from headgate.evaluation.report import Change, DataCheck, GateResult, LabelMetrics, Level, Report, Verdict
from headgate.record import Record
from headgate.settings import Gates

FLIPS_SHOWN = 100
TEXT_SHOWN = 700

Drawn = dict[str, list[dict[str, Any]]]


class ReleaseSubject(Record):
    """What would be released, and the release that is live now, if any."""

    bundle_digest: str
    data: DataVersion
    commit: str
    started_by: str
    champion: str | None = None
    champion_data: DataVersion | None = None


class DataChange(Record):
    """Rows of one label that changed since the champion's data version, or ever if there is no champion."""

    label: str
    added: int
    corrected: int
    removed: int


class Evidence(Record):
    """All that the page shows. `data_docs` is a link beside the page; `made_at` is part of the page, and so of its digest."""

    model: str
    subject: ReleaseSubject
    report: Report
    load: LoadReport | None
    data_checks: tuple[DataCheck, ...]
    data_docs: str | None = None
    data_changes: tuple[DataChange, ...] = ()
    provenance: dict[str, str]
    gates: Gates
    made_at: datetime

    @property
    def all_gates(self) -> tuple[GateResult, ...]:
        """Gates of the regression test, the load test and the data checks."""
        load = self.load.gates if self.load else (_missing("load_test", "a load test"),)
        return (*self.report.gates, *load, _data_gate(self.data_checks))

    @property
    def verdict(self) -> Verdict:
        """The worst of all gates; missing evidence is inconclusive."""
        return overall(gate.verdict for gate in self.all_gates)


def write_evidence(out: Path, evidence: Evidence) -> str:
    """Write index.html and evidence.json under `out`; returns the SHA-256 of the page, which the same evidence always gets."""
    out.mkdir(parents=True, exist_ok=True)
    page = render(evidence, draw(evidence)).encode()
    (out / "evidence.json").write_bytes(evidence.to_bytes())
    (out / "index.html").write_bytes(page)
    return hashlib.sha256(page).hexdigest()


def draw(evidence: Evidence) -> Drawn:
    """The page's pictures by section, each light and dark; the slow part of a page (seconds)."""
    report, load = evidence.report, evidence.load
    models = [("Candidate", report.candidate), *([("Champion", report.champion)] if report.champion else [])]
    sections = {
        "confusion": [_picture(f"{name}: confusion matrix", pictures.confusion_figure, [(name, one)]) for name, one in models],
        "top": [_picture(f"{name}: first level", pictures.confusion_figure, [(name, one.top)]) for name, one in models if one.top],
        "reliability": [_picture("Reliability of the scores", pictures.reliability_figure, models)],
        "load": [],
    }
    if load:
        sections["load"] = [
            _picture("Latency", load_pictures.latency_figure, load),
            _picture("Latency by second", load_pictures.timeline_figure, load),
        ]
    return sections


def render(evidence: Evidence, drawn: Drawn) -> str:
    """The page as HTML, with the pictures of `draw`; it asks for nothing outside itself."""
    environment = Environment(
        loader=PackageLoader("headgate.evaluation", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"utc": _utc, "percent": _percent, "points": points, "heading": heading, "clip": _clip}
    report = evidence.report
    return environment.get_template("evidence.html").render(
        e=evidence,
        report=report,
        champion=report.champion,
        headline=headline(evidence),
        gates=sorted(evidence.all_gates, key=lambda gate: gate.verdict == "passed"),
        tiles=_tiles(evidence),
        labels=_label_rows(evidence),
        pictures=drawn,
        flips=(
            ("Harmful", "only the champion was right", report.harmful),
            ("Beneficial", "only the candidate is right", report.beneficial),
        ),
        flips_shown=FLIPS_SHOWN,
        changed={kind: sum(getattr(change, kind) for change in evidence.data_changes) for kind in ("added", "corrected", "removed")},
    )


def headline(evidence: Evidence) -> str:
    """The state of the evidence in one sentence."""
    gates = evidence.all_gates
    stopped = [heading(gate.name) for gate in gates if gate.verdict != "passed"]
    start = f"All {len(gates)} gates passed." if not stopped else f"{len(stopped)} of {len(gates)} gates stop it: {', '.join(stopped)}."
    paired = evidence.report.paired
    if paired is None:
        return f"{start} There is no champion yet; the linear floor is what it is compared with."
    return f"{start} Against the champion on {paired.rows} rows it loses {paired.harmful} right answers and gains {paired.beneficial}."


def summary_markdown(evidence: Evidence, page: str | None = None) -> str:
    """A summary for the approval form: headline, gates, changes; `page` is the address of the evidence page."""
    subject, changed = evidence.subject, evidence.data_changes
    data = f"version {subject.data.version}, {subject.data.rows:,} rows"
    moved = ", ".join(f"{sum(getattr(change, kind) for change in changed):,} {kind}" for kind in ("added", "corrected", "removed"))
    parts = [
        f"## {evidence.model}: {evidence.verdict}",
        headline(evidence),
        *([f"**[Open the evidence page]({page})**"] if page else []),
        _markdown_table(("Gate", "Verdict", "Found", "Expected"), [_gate_cells(gate) for gate in evidence.all_gates]),
        _markdown_table(("", "Candidate", *(name for name, _ in _others(evidence))), _metric_cells(evidence)),
        f"Data: {subject.data.dataset} {data}" + (f" ({moved} since the champion)" if subject.champion else ""),
        f"Bundle `{subject.bundle_digest[:12]}`, commit `{subject.commit[:12]}`, started by {_cell(subject.started_by)}",
    ]
    return "\n\n".join(parts)


def heading(name: str) -> str:
    """A gate's or check's name as words."""
    words = name.replace("_", " ").replace("macro f1", "macro-F1")
    return words[:1].upper() + words[1:]


def _others(evidence: Evidence) -> list[tuple[str, Level]]:
    named = (("Champion", evidence.report.champion), ("Linear floor", evidence.report.floor))
    return [(name, metrics) for name, metrics in named if metrics is not None]


def _metric_cells(evidence: Evidence) -> list[tuple[str, ...]]:
    levels = [evidence.report.candidate, *(metrics for _, metrics in _others(evidence))]
    return [
        ("Accuracy", *(_percent(level.accuracy) for level in levels)),
        ("Macro-F1", *(_percent(level.macro_f1) for level in levels)),
    ]


def _gate_cells(gate: GateResult) -> tuple[str, ...]:
    mark = {"passed": "\N{WHITE HEAVY CHECK MARK}", "inconclusive": "\N{WARNING SIGN}"}.get(gate.verdict, "\N{CROSS MARK}")
    return heading(gate.name), f"{mark} {gate.verdict}", gate.found, gate.expected


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that cannot break out of a table's cell or become markup."""
    for character in "\\|`*_<>[]":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _tiles(evidence: Evidence) -> list[tuple[str, str, str, str]]:
    """The few numbers at the top: name, value, what it is compared with, and how that looks (good, bad or plain)."""
    report, load = evidence.report, evidence.load
    tiles = [_quality_tile(evidence, "accuracy", "Accuracy"), _quality_tile(evidence, "macro_f1", "Macro-F1")]
    abstained = f"{report.candidate.abstained} abstained, {report.candidate.skipped} skipped"
    tiles.append(("Coverage", _percent(report.candidate.coverage), abstained, "plain"))
    if load:
        tiles.append(("Latency p95", f"{load.p95_ms:,.0f} ms", f"at {load.rate_per_s:g} requests a second", "plain"))
        tiles.append(
            ("Errors", f"{load.error_rate:.2%}", f"{load.errors} of {load.requests:,} requests", "bad" if load.errors else "plain")
        )
    return tiles


def _quality_tile(evidence: Evidence, field: str, name: str) -> tuple[str, str, str, str]:
    value = getattr(evidence.report.candidate, field)
    others = _others(evidence)
    if not others:
        return name, _percent(value), "nothing to compare with", "plain"
    against, level = others[0]
    difference = value - getattr(level, field)
    look = "plain" if abs(difference) < 0.0005 else "good" if difference > 0 else "bad"
    return name, _percent(value), f"{points(difference)} vs {against.lower()}", look


def _label_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """One row a label: the candidate's metrics, and the changes against the champion with a drawing of the interval."""
    report, margin = evidence.report, evidence.gates.max_label_recall_drop
    was = {one.label: one for one in report.champion.labels} if report.champion else {}
    changes = {one.label: one for one in report.paired.labels} if report.paired else {}
    scale = max([margin, *(max(-one.recall.low, one.recall.high) for one in changes.values())])
    rows = []
    for now in report.candidate.labels:
        change = changes.get(now.label)
        verdict = label_verdict(change, margin) if change else None
        bar = _interval(change.recall, margin, scale) if change else ""
        rows.append({"now": now, "f1_change": _f1_change(now, was), "verdict": verdict, "bar": bar})
    return rows


def _f1_change(now: LabelMetrics, was: dict[str, LabelMetrics]) -> str:
    return points(now.f1 - was[now.label].f1).removesuffix(" points") if now.label in was else ""


def _interval(change: Change, margin: float, scale: float) -> Markup:
    """A drawing from -scale to +scale: the interval, the difference, zero and the margin."""
    low, middle, high, bound = (f"{80 + 76 * value / scale:.1f}" for value in (change.low, change.difference, change.high, -margin))
    return Markup(
        '<svg class="interval" viewBox="0 0 160 16" role="img" aria-label="{}"><line class="zero" x1="80" x2="80" y1="0" y2="16"/>'
        '<line class="margin" x1="{}" x2="{}" y1="0" y2="16"/><line class="range" x1="{}" x2="{}" y1="8" y2="8"/>'
        '<circle cx="{}" cy="8" r="3.5"/></svg>'
    ).format(f"{points(change.low)} to {points(change.high)}", bound, bound, low, high, middle)


def _picture(shows: str, figure: Callable[[Any, pictures.Theme], Figure], subject: Any) -> dict[str, Any]:
    """Data URIs of one picture in both themes, and the width in CSS pixels at which its text is as large as the page's small text."""
    light, dark = pictures.png(figure(subject, "light")), pictures.png(figure(subject, "dark"))
    width = int.from_bytes(light[16:20]) * 80 // pictures.DPI
    return {"shows": shows, "light": _data_uri(light), "dark": _data_uri(dark), "width": width}


def _data_uri(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def _data_gate(checks: Sequence[DataCheck]) -> GateResult:
    if not checks:
        return _missing("data_checks", "data checks")
    failed = [check.name for check in checks if not check.passed and check.severity == "critical"]
    warned = [check.name for check in checks if not check.passed and check.severity == "warning"]
    return GateResult(
        name="data_checks",
        verdict="failed" if failed else "passed",
        expected="no critical check failed",
        found=f"{len(checks) - len(failed) - len(warned)} of {len(checks)} passed, {len(warned)} with a warning",
        detail=", ".join(heading(name) for name in (*failed, *warned)),
    )


def _missing(name: str, what: str) -> GateResult:
    return GateResult(name=name, verdict="inconclusive", expected=what, found="none", detail="missing evidence stops a release")


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _clip(text: str) -> str:
    return text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]} ... ({len(text):,} characters)"
