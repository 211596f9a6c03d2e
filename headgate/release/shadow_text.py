"""How a shadow reads: under way in Prefect and on a terminal, and in one line of the summary. Pure."""

from datetime import datetime

from headgate.release.shadow import told
from headgate.release.shadow_report import ShadowReport

COLUMNS = ("metric", "challenger", "champion", "allowed", "evidence", "verdict")
LABELS_SHOWN = 20


def headline(shadow: ShadowReport) -> str:
    """One line: how it stands, how much was seen, how long it has gone on."""
    state = shadow.verdict or "under way"
    return f"shadow at {shadow.endpoint} {state}: {shadow.sampling_percentage}% mirrored for {shadow.duration_s:.0f} s; {told(shadow)}"


def summary_line(shadow: ShadowReport) -> str:
    """For the summary that whoever approves reads first."""
    if shadow.skipped:
        return f"Shadow: {told(shadow)}"
    most = "; ".join(f"{theirs} became {ours} {count:,} times" for theirs, ours, count in shadow.most_disagreed(3))
    return f"Shadow: {shadow.verdict}, {told(shadow)}{f'; {most}' if most else ''}"


def markdown(shadow: ShadowReport, clock: datetime) -> str:
    """For Prefect's page."""
    lines = [f"**{headline(shadow)}**", "", f"Why: {shadow.reason}", ""]
    if shadow.findings:
        rows = [
            (one.metric, one.value(one.challenger), one.value(one.champion), one.allowed, one.odds, one.verdict) for one in shadow.findings
        ]
        lines += [*_table([COLUMNS, *rows]), ""]
    if shadow.labels:
        lines += [f"{len(shadow.labels)} labels, by champion (rows) and candidate (columns):", "", *_table(_matrix(shadow)), ""]
    return "\n".join([*lines, f"{clock:%Y-%m-%d %H:%M:%S} UTC"])


def _matrix(shadow: ShadowReport) -> list[tuple[str, ...]]:
    names = shadow.labels[:LABELS_SHOWN]
    rows = [(name, *(f"{count:,}" for count in row[: len(names)])) for name, row in zip(names, shadow.matrix, strict=False)]
    return [("", *names), *rows]


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    head, *others = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return [head, f"|{' --- |' * len(rows[0])}", *others]
