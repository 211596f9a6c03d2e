"""Everything that was measured becomes a page, and the page becomes part of a release."""

from collections import Counter
from datetime import UTC, datetime

from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from data_checks.annotations import DataCheckReport
from headgate.data.table import DatasetTable
from headgate.errors import Refused
from headgate.evaluation.evidence import DataChange, Evidence, ReleaseSubject, summary_markdown, write_evidence
from headgate.evaluation.load_report import LoadReport
from headgate.evaluation.report import Report
from headgate.model.bundle import open_bundle, signature_beside
from headgate.model.sbom import FILE as SBOM
from headgate.record import Record
from headgate.release.candidate import Candidate, save_outcome
from headgate.release.record import Release, folder, load_release, save_release
from headgate.release.registry import Registered, log_evidence, set_alias
from headgate.settings import load_settings
from tasks.once import once_per_run
from tasks.places import evidence_url, keep_folder, the_lake, workplace


class Tested(Record):
    """A release and what its tests said."""

    release: str
    verdict: str


@once_per_run("record release")
def record_release(candidate: Candidate, registered: Registered, checks: DataCheckReport, regression: Report, load: LoadReport) -> Tested:
    """Write page and release; a release that did not pass is kept with its evidence, and stopped."""
    lake, out = the_lake(), workplace(candidate.key) / "evidence"
    evidence = _evidence(candidate, registered, checks, regression, load)
    release = _release(candidate, registered, evidence, write_evidence(out, evidence))
    summary = summary_markdown(evidence, evidence_url(release.id))
    (out / "summary.md").write_text(summary, encoding="utf-8")
    keep_folder(lake, out, f"{folder(release.id)}/evidence")
    save_release(lake, release)
    log_evidence(registered.run_id, out, _final_metrics(regression))
    create_markdown_artifact(key=f"evidence-{candidate.model}", description=f"Evidence of release {release.id[:12]}", markdown=summary)
    _end(candidate, release, evidence)
    return Tested(release=release.id, verdict=release.verdict)


def _final_metrics(regression: Report) -> dict[str, float]:
    """Quality on the regression rows, of the linear floor too."""
    found = {name: float(getattr(regression.candidate, name)) for name in ("accuracy", "macro_f1", "coverage")}
    floor = regression.floor
    return found | ({"linear_floor.accuracy": floor.accuracy, "linear_floor.macro_f1": floor.macro_f1} if floor else {})


def _end(candidate: Candidate, release: Release, evidence: Evidence) -> None:
    """A passed release is the challenger; any other ends here."""
    stops = [
        f"{gate.name} {gate.verdict} (expected {gate.expected}, found {gate.found})"
        for gate in evidence.all_gates
        if gate.verdict != "passed"
    ]
    if release.verdict == "passed":
        set_alias(candidate.model, "challenger", release.registered_version)
        get_run_logger().info("release %s passed; evidence: %s", release.id[:12], evidence_url(release.id))
    else:
        get_run_logger().error("release %s stopped: %s; evidence: %s", release.id[:12], "; ".join(stops), evidence_url(release.id))
    save_outcome(the_lake(), candidate, release=release.id, stopped=None if release.verdict == "passed" else "; ".join(stops))


def refuse(tested: Tested) -> str:
    """End the run as failed, so that a stopped release is seen as one."""
    raise Refused(f"release {tested.release[:12]} was stopped: its tests {tested.verdict}; evidence: {evidence_url(tested.release)}")


def _release(candidate: Candidate, registered: Registered, evidence: Evidence, digest: str) -> Release:
    bundle = open_bundle(workplace(candidate.key) / "bundle")
    return Release(
        model=candidate.model,
        candidate=candidate.key,
        bundle_digest=evidence.subject.bundle_digest,
        bundle_signature=signature_beside(bundle.path),
        sbom_digest=bundle.manifest["files"].get(SBOM),
        data_version=candidate.data_version,
        commit=candidate.commit,
        evidence_digest=digest,
        verdict=evidence.verdict,
        expected_champion=candidate.champion,
        started_by=candidate.started_by,
        registered_version=registered.version,
    )


def _evidence(candidate: Candidate, registered: Registered, checks: DataCheckReport, regression: Report, load: LoadReport) -> Evidence:
    settings = load_settings().model(candidate.model)
    live = load_release(the_lake(), candidate.champion) if candidate.champion else None
    docs = f"{load_settings().gateway_url}/candidates/{candidate.model}/{candidate.key}/checks/{checks.docs}"
    return Evidence(
        model=candidate.model,
        subject=ReleaseSubject(
            bundle_digest=regression.subject.bundle_digest,
            data=candidate.data_version,
            commit=candidate.commit,
            started_by=candidate.started_by,
            champion=candidate.champion,
            champion_data=live.data_version if live else None,
        ),
        report=regression,
        load=load,
        data_checks=checks.checks,
        data_docs=docs,
        data_changes=_changes(candidate, live),
        provenance={
            "MLflow": f"{candidate.model} version {registered.version}, run {registered.run_id}",
            "Data digest": candidate.data_version.digest,
            "Regression set digest": candidate.regression_set.digest,
            **{name.replace("_", " ").capitalize(): str(value) for name, value in settings.train.model_dump(mode="json").items()},
        },
        gates=settings.gates,
        made_at=datetime.now(UTC),
    )


def _changes(candidate: Candidate, live: Release | None) -> tuple[DataChange, ...]:
    """What changed in the data since the champion's version, by the label that rows have now (removed ones: had)."""
    since = live.data_version.version if live else -1
    if since >= candidate.data_version.version:
        return ()
    dataset = DatasetTable(the_lake(), candidate.data_version.dataset)
    feed = dataset.changes(since, candidate.data_version.version)
    counts = {kind: Counter(feed.loc[feed["_change_type"] == kind, "label"]) for kind in ("insert", "update_postimage", "delete")}
    labels = sorted(set().union(*counts.values()))
    return tuple(
        DataChange(label=label, added=counts["insert"][label], corrected=counts["update_postimage"][label], removed=counts["delete"][label])
        for label in labels
    )
