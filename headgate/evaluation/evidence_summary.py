"""The evidence in words: one sentence, and a summary in Markdown for the approval form."""

from collections.abc import Sequence

from headgate.evaluation.evidence_record import Evidence, heading
from headgate.evaluation.gates import points
from headgate.evaluation.report import Comparison, GateResult, Level
from headgate.release.shadow_text import summary_line


def headline(evidence: Evidence) -> str:
    """The state of the evidence in one sentence."""
    gates = evidence.all_gates
    stopped = [heading(gate.name) for gate in gates if gate.verdict != "passed"]
    start = f"All {len(gates)} gates passed." if not stopped else f"{len(stopped)} of {len(gates)} gates stop it: {', '.join(stopped)}."
    paired = evidence.report.paired
    if paired is None:
        return f"{start} There is no champion yet; the linear floor is what it is compared with."
    return (
        f"{start} Against the champion on {paired.rows:,} rows it loses {paired.harmful:,} right answers and gains {paired.beneficial:,}."
        f"{_unsure(paired)}"
    )


def _unsure(paired: Comparison) -> str:
    """How many labels the rows cannot settle, and the largest fall among them."""
    unsure = [change for change in paired.labels if change.verdict == "inconclusive"]
    if not unsure:
        return ""
    worst = min(unsure, key=lambda change: change.recall.difference)
    told = f" {len(unsure)} of {len(paired.labels)} labels have too few rows to be sure of"
    return f"{told}; the lowest: {worst.label}, recall {points(worst.recall.difference)} on {worst.rows} rows."


def summary_markdown(evidence: Evidence, page: str | None = None) -> str:
    """A summary for the approval form: headline, gates, changes; `page` is the address of the evidence page."""
    subject, changed = evidence.subject, evidence.data_changes
    data = f"version {subject.data.version}, {subject.data.rows:,} rows"
    moved = ", ".join(f"{sum(getattr(change, kind) for change in changed):,} {kind}" for kind in ("added", "corrected", "removed"))
    parts = [
        f"## {evidence.model}: {evidence.verdict}",
        headline(evidence),
        *([f"**[Open the evidence page]({page})**"] if page else []),
        _table(("Gate", "Verdict", "Found", "Expected"), [_gate_cells(gate) for gate in evidence.all_gates]),
        *([_cell(summary_line(evidence.shadow))] if evidence.shadow else []),
        *_warnings(evidence),
        _table(("", "Candidate", *(name for name, _ in compared_with(evidence))), _metric_cells(evidence)),
        f"Data: {subject.data.dataset} {data}" + (f" ({moved} since the champion)" if subject.champion else ""),
        f"Bundle `{subject.bundle_digest[:12]}`, commit `{subject.commit[:12]}`, started by {_cell(subject.started_by)}",
    ]
    return "\n\n".join(parts)


def _warnings(evidence: Evidence) -> list[str]:
    """The data checks that warn, each with what it expected and found, since whoever approves accepts them."""
    warned = [check for check in evidence.data_checks if not check.passed and check.severity == "warning"]
    return [_table(("Warning of the data checks", "What"), [(heading(check.name), check.detail) for check in warned])] if warned else []


def model_card_with_link(card: str, evidence: Evidence, page: str) -> str:
    """The bundle's model card with the verdict and the address of the evidence page, which came after the bundle."""
    return f"{card.rstrip()}\n\n## Evidence\n\n{headline(evidence)} [Evidence page]({page}) (verdict: {evidence.verdict}).\n"


def compared_with(evidence: Evidence) -> list[tuple[str, Level]]:
    """What stands beside the candidate, by name: the champion first, if there is one."""
    named = (("Champion", evidence.report.champion), ("Linear floor", evidence.report.floor))
    return [(name, metrics) for name, metrics in named if metrics is not None]


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{share:.1%}"


def _metric_cells(evidence: Evidence) -> list[tuple[str, ...]]:
    levels = [evidence.report.candidate, *(metrics for _, metrics in compared_with(evidence))]
    return [("Accuracy", *(percent(level.accuracy) for level in levels)), ("Macro-F1", *(percent(level.macro_f1) for level in levels))]


def _gate_cells(gate: GateResult) -> tuple[str, ...]:
    mark = {"passed": "\N{WHITE HEAVY CHECK MARK}", "inconclusive": "\N{WARNING SIGN}"}.get(gate.verdict, "\N{CROSS MARK}")
    return heading(gate.name), f"{mark} {gate.verdict}", gate.found, gate.expected


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that cannot break out of a table's cell or become markup."""
    for character in "\\|`*_<>[]":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
