"""What a decision about a release rests on, as typed records: the content of the evidence page."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from headgate.data.version import DataVersion
from headgate.evaluation.gates import overall
from headgate.evaluation.load_report import LoadReport
from headgate.evaluation.report import DataCheck, GateResult, Report, Verdict
from headgate.record import Record
from headgate.release.shadow import gates as shadow_gates
from headgate.release.shadow_report import ShadowReport
from headgate.settings import Gates


class ReleaseSubject(Record):
    """What would be released, and the release that is live now, if any."""

    bundle_digest: str
    data: DataVersion
    commit: str
    started_by: str
    champion: str | None = None
    champion_data: DataVersion | None = None
    champion_commit: str | None = None


class DataChange(Record):
    """Rows of one label that changed since the champion's data version, or ever if there is no champion."""

    label: str
    added: int
    corrected: int
    removed: int


class CodeChange(Record):
    """One commit that the candidate has and the champion has not."""

    commit: str
    day: str
    subject: str


class SettingChange(Record):
    """One setting that differs from the champion's; None where the other side does not have it."""

    name: str
    champion: str | None
    candidate: str | None


class BesideFile(Record):
    """A file beside the page, bound to it by its SHA-256."""

    name: str
    sha256: str


class Fleet(Record):
    """The instances of one stage's endpoint where they are billed by the hour, and the instance hours that a release needs besides."""

    environment: str
    place: str
    instance_type: str
    instances: int
    per_hour: float | None = Field(None, description="of one instance")
    currency: str = "USD"
    first_percent: int | None = Field(None, description="of the traffic that the first step moves, where that is more than asked")
    release_hours: float = Field(description="of instances beside the running ones: by the longest waits, without their start")


class CostBasis(Record):
    """What an hour of one instance of the endpoint costs, if that is known, and how many CPU cores the one that was measured has."""

    per_hour: float | None = None
    currency: str = "USD"
    cores: int | None = None
    fleets: tuple[Fleet, ...] = ()


class Evidence(Record):
    """All that the page shows. `data_docs` is a link beside the page; `made_at` is part of the page, and so of its digest.

    `code_changes` and `setting_changes` are None where they cannot be told, and empty where nothing changed. `settings` are the
    candidate's own, which the next candidate is compared with.
    """

    model: str
    subject: ReleaseSubject
    report: Report
    load: LoadReport | None
    shadow: ShadowReport | None = None
    data_checks: tuple[DataCheck, ...]
    data_docs: str | None = None
    data_changes: tuple[DataChange, ...] = ()
    code_changes: tuple[CodeChange, ...] | None = None
    setting_changes: tuple[SettingChange, ...] | None = None
    settings: dict[str, str] = Field(default_factory=dict)
    files: tuple[BesideFile, ...] = ()
    cost: CostBasis = CostBasis()
    provenance: dict[str, str]
    gates: Gates
    made_at: datetime

    @property
    def all_gates(self) -> tuple[GateResult, ...]:
        """Gates of the regression test, the load test, the shadow where one was made, and the data checks."""
        load = self.load.gates if self.load else (_missing("load_test", "a load test"),)
        return (*self.report.gates, *load, *shadow_gates(self.shadow), _data_gate(self.data_checks))

    @property
    def verdict(self) -> Verdict:
        """The worst of all gates; missing evidence is inconclusive."""
        return overall(gate.verdict for gate in self.all_gates)


def heading(name: str) -> str:
    """A gate's or check's name as words."""
    words = name.replace("_", " ").replace("macro f1", "macro-F1")
    return words[:1].upper() + words[1:]


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
