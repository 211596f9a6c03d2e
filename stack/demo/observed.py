"""What the lake says about a release: quality, gates, rollout, decisions. Read only."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from headgate.lake import Lake
from headgate.record import Record
from headgate.release.approval import decision_of
from headgate.release.audit import AuditEntry, entries
from headgate.release.candidate import latest_outcome
from headgate.release.record import Release, load_release, release_ids
from headgate.release.retraining import Decision, newest_decisions
from headgate.release.rollout import Step, steps
from headgate.release.shadow import told as shadow_told
from headgate.release.shadow_report import ShadowReport
from stack.demo.place import MODEL


class Quality(Record):
    """How a candidate and the champion did on the same frozen rows."""

    rows: int
    accuracy: float
    macro_f1: float
    champion_accuracy: float | None = None
    champion_macro_f1: float | None = None

    def __str__(self) -> str:
        """For a reader."""
        beside = f" (champion {self.champion_accuracy:.3f} and {self.champion_macro_f1:.3f})" if self.champion_accuracy is not None else ""
        return f"accuracy {self.accuracy:.3f}, macro-F1 {self.macro_f1:.3f}{beside} on {self.rows} rows"


class Told(Record):
    """One release with all that became of it."""

    release: Release
    quality: Quality
    shadow: str = ""
    stopped: str = ""
    decided: str = ""
    reason: str = ""
    moves: tuple[Step, ...] = ()


def report_of(lake: Lake, release: str) -> dict[str, Any]:
    """The regression test's report."""
    found: dict[str, Any] = json.loads(lake.read(f"releases/{release}/evidence/report.json"))
    return found


def quality_of(lake: Lake, release: str) -> Quality:
    """Accuracy and macro-F1 of a release's report."""
    report = report_of(lake, release)
    mine, was = report["candidate"], report["champion"] or {}
    return Quality(
        rows=mine["rows"],
        accuracy=mine["accuracy"],
        macro_f1=mine["macro_f1"],
        champion_accuracy=was.get("accuracy"),
        champion_macro_f1=was.get("macro_f1"),
    )


def question_of(lake: Lake, release: str) -> tuple[str, str]:
    """A short text that a release answers rightly and its champion does not, and the right label; from its evidence."""
    flips = sorted(report_of(lake, release)["beneficial"], key=lambda flip: len(flip["text"]))
    return (flips[0]["text"], flips[0]["label"]) if flips else ("Not before autumn, sorry.", "objection/timing")


def latencies_of(lake: Lake, release: str) -> dict[str, float]:
    """p95 of the load test on staging by role, in ms."""
    load = json.loads(lake.read(f"releases/{release}/evidence/evidence.json"))["load"]
    return {side["role"]: side["p95_ms"] for side in load["sides"] if not side["cache"]}


def shadow_of(lake: Lake, release: str) -> ShadowReport | None:
    """How the release's shadow went; None where the evidence knows none."""
    found = json.loads(lake.read(f"releases/{release}/evidence/evidence.json")).get("shadow")
    return ShadowReport.model_validate(found) if found else None


def releases_of(lake: Lake) -> list[Told]:
    """Every release of the demo, in the order of MLflow's version numbers."""
    found = [_told(lake, load_release(lake, name)) for name in release_ids(lake)]
    return sorted(found, key=lambda told: int(told.release.registered_version))


def _told(lake: Lake, release: Release) -> Told:
    outcome, decision = latest_outcome(lake, MODEL, release.candidate), decision_of(lake, release.id)
    shadow = shadow_of(lake, release.id)
    return Told(
        release=release,
        quality=quality_of(lake, release.id),
        shadow=f"shadow {shadow.verdict or 'not made'}: {shadow_told(shadow)}" if shadow else "",
        stopped=(outcome.stopped or "") if outcome else "",
        decided=f"{decision.decision} by {decision.approver}" if decision else "",
        reason=decision.reason if decision else "",
        moves=moves_of(lake, release.id),
    )


def moves_of(lake: Lake, release: str) -> tuple[Step, ...]:
    """The steps of a rollout that came to their outcome."""
    return tuple(step for step in steps(lake, release) if step.phase == "outcome")


def rolled_back(moves: Sequence[Step]) -> Step | None:
    """The step that took a release back, if any."""
    return next((step for step in reversed(moves) if step.action.kind == "roll_back"), None)


def seconds_at_share(lake: Lake, release: str, environment: str) -> float | None:
    """From the first share of the requests to the end of the watch, in one environment; None where it did not come to that."""
    done = [step for step in moves_of(lake, release) if step.environment == environment]
    began: list[datetime] = [step.at for step in done if step.action.kind == "shift"]
    ended = [step.at for step in done if step.action.kind in ("promote", "roll_back")]
    return (ended[0] - began[0]).total_seconds() if began and ended else None


def audit_of(lake: Lake) -> list[AuditEntry]:
    """Who decided what."""
    return entries(lake)


def decisions_of(lake: Lake) -> list[Decision]:
    """The ledger's decisions, oldest first."""
    return list(reversed(newest_decisions(lake, MODEL, 100)))
