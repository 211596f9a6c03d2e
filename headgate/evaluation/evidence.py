"""The evidence page: everything that a decision about a release rests on, in one self-contained HTML file."""

import base64
import hashlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from headgate.evaluation import evidence_rows as rows
from headgate.evaluation.confusion import confusion
from headgate.evaluation.evidence_cost import costs, fleet_costs
from headgate.evaluation.evidence_pictures import Drawn, draw
from headgate.evaluation.evidence_record import (
    BesideFile,
    CodeChange,
    CostBasis,
    DataChange,
    Evidence,
    ReleaseSubject,
    SettingChange,
    heading,
)
from headgate.evaluation.evidence_summary import headline, percent, summary_markdown
from headgate.evaluation.gates import points

__all__ = [
    "BesideFile",
    "CodeChange",
    "CostBasis",
    "DataChange",
    "Drawn",
    "Evidence",
    "ReleaseSubject",
    "SettingChange",
    "draw",
    "headline",
    "render",
    "summary_markdown",
    "write_evidence",
]

BIDIRECTIONAL = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
INVISIBLE = {code: f"\\u{code:04x}" for code in (*range(9), 11, 12, *range(14, 32), 127, *BIDIRECTIONAL)}


def write_evidence(out: Path, evidence: Evidence) -> str:
    """Write index.html and evidence.json under `out`; returns the SHA-256 of the page, which the same evidence always gets."""
    out.mkdir(parents=True, exist_ok=True)
    page = render(evidence, draw(evidence)).encode()
    (out / "evidence.json").write_bytes(evidence.to_bytes())
    (out / "index.html").write_bytes(page)
    return hashlib.sha256(page).hexdigest()


def render(evidence: Evidence, drawn: Drawn) -> str:
    """The page as HTML, with the pictures of `draw`; it asks for nothing outside itself, and runs its one script only."""
    report, (against, paired) = evidence.report, rows.compared(evidence)
    models = [("Candidate", report.candidate), *([("Champion", report.champion)] if report.champion else [])]
    style, script = beside("evidence.css"), beside("evidence.js")
    return (
        environment()
        .get_template("evidence.html")
        .render(
            e=evidence,
            report=report,
            champion=report.champion,
            headline=headline(evidence),
            gates=sorted(evidence.all_gates, key=lambda gate: gate.verdict == "passed"),
            tiles=rows.tiles(evidence),
            against=against,
            paired=paired,
            labels=rows.label_rows(evidence),
            slices=rows.slice_rows(evidence),
            confusion=confusion([(name, one) for name, one in models]),
            top=confusion([(name, one.top) for name, one in models if one.top]),
            reliability=rows.reliability(evidence),
            confusions=rows.confusions(evidence),
            pictures=drawn,
            flips=rows.flip_groups(evidence) if report.paired else [],
            cases_shown=rows.CASES_SHOWN,
            costs=costs(evidence.load, evidence.cost),
            fleets=fleet_costs(evidence.load, evidence.cost),
            changed={kind: sum(getattr(change, kind) for change in evidence.data_changes) for kind in ("added", "corrected", "removed")},
            style=Markup(style),  # noqa: S704  # our own file
            script=Markup(script),  # noqa: S704  # our own file
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


@cache
def environment() -> Environment:
    """What fills in the pages: everything is escaped, and what a template does not know is a fault."""
    found = Environment(
        loader=PackageLoader("headgate.evaluation", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    found.filters |= {
        "utc": _utc,
        "percent": percent,
        "points": points,
        "heading": heading,
        "clip": rows.clip,
        "p": rows.p_value,
        "count": lambda number: f"{number:,}",
        "sparkline": rows.sparkline,
    }
    return found


def _visible(value: Any) -> Any:
    """Characters that turn the text after them around, or that HTML cannot hold, as escapes; everything else as it is."""
    return value.translate(INVISIBLE) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def beside(name: str) -> str:
    """A part of the page that lies beside this module: ours, so that it needs no escaping."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
