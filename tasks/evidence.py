"""Everything that was measured becomes a page, and the page becomes part of a release."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from data_checks.annotations import DataCheckReport
from headgate.data.table import DatasetTable
from headgate.errors import Refused
from headgate.evaluation.evidence import BesideFile, CostBasis, DataChange, Evidence, ReleaseSubject, write_evidence
from headgate.evaluation.evidence_record import Fleet
from headgate.evaluation.evidence_summary import headline, model_card_with_link, summary_markdown
from headgate.evaluation.load_report import LoadReport
from headgate.evaluation.report import Report
from headgate.model.bundle import open_bundle, signature_beside
from headgate.model.sbom import FILE as SBOM
from headgate.release.candidate import Candidate, save_outcome
from headgate.release.changes import code_changes, data_changes, flat_settings, setting_changes, settings_of
from headgate.release.configuration import configuration_of
from headgate.release.record import Release, Tested, folder, load_release, save_release
from headgate.release.registry import Registered, link_evidence, log_evidence, set_alias
from headgate.release.shadow_report import ShadowReport
from headgate.settings import ModelSettings, load_settings
from tasks.once import once_per_run
from tasks.places import evidence_url, in_regions, keep_folder, the_lake, workplace

PREDICTIONS, MODEL_CARD = "predictions.parquet", "model_card.md"


@once_per_run("record release")
def record_release(
    candidate: Candidate,
    registered: Registered,
    image: str | None,
    checks: DataCheckReport,
    regression: Report,
    load: LoadReport,
    shadow: ShadowReport,
) -> Tested:
    """Write page and release; a release that did not pass is kept with its evidence, and stopped."""
    lake, out = the_lake(), workplace(candidate.key) / "evidence"
    evidence = _evidence(candidate, registered, checks, regression, load, shadow)
    release = _release(candidate, registered, image, evidence, write_evidence(out, evidence))
    page = evidence_url(release.id)
    summary = summary_markdown(evidence, page)
    (out / "summary.md").write_text(summary, encoding="utf-8")
    (out / MODEL_CARD).write_text(model_card_with_link(_card(candidate), evidence, page), encoding="utf-8")
    keep_folder(lake, out, f"{folder(release.id)}/evidence")
    save_release(lake, release)
    if in_regions(load_settings().model(candidate.model)):
        from tasks.regions import mirror_release

        mirror_release(release, evidence)
    log_evidence(registered.run_id, out, _final_metrics(regression))
    link_evidence(candidate.model, registered, page, f"Evidence: {evidence.verdict}. {headline(evidence)}")
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


def _release(candidate: Candidate, registered: Registered, image: str | None, evidence: Evidence, digest: str) -> Release:
    bundle = open_bundle(workplace(candidate.key) / "bundle")
    return Release(
        model=candidate.model,
        candidate=candidate.key,
        bundle_digest=evidence.subject.bundle_digest,
        bundle_signature=signature_beside(bundle.path),
        image_digest=image,
        sbom_digest=bundle.manifest["files"].get(SBOM),
        configuration=configuration_of(load_settings().model(candidate.model)),
        data_version=candidate.data_version,
        commit=candidate.commit,
        evidence_digest=digest,
        verdict=evidence.verdict,
        expected_champion=candidate.champion,
        started_by=candidate.started_by,
        registered_version=registered.version,
    )


def _evidence(
    candidate: Candidate, registered: Registered, checks: DataCheckReport, regression: Report, load: LoadReport, shadow: ShadowReport
) -> Evidence:
    settings = load_settings().model(candidate.model)
    live = load_release(the_lake(), candidate.champion) if candidate.champion else None
    now, was = flat_settings(settings), settings_of(the_lake(), live.id) if live else None
    return Evidence(
        model=candidate.model,
        subject=_subject(candidate, live, regression.subject.bundle_digest),
        report=regression,
        load=load,
        shadow=shadow,
        data_checks=checks.checks,
        data_docs=f"{load_settings().gateway_url}/candidates/{candidate.model}/{candidate.key}/checks/{checks.docs}",
        data_changes=_data_changes(candidate, live),
        code_changes=code_changes(live.commit, candidate.commit) if live else None,
        setting_changes=setting_changes(was, now),
        settings=now,
        files=_files_beside(workplace(candidate.key) / "evidence"),
        cost=_cost_basis(settings),
        provenance={
            "MLflow": f"{candidate.model} version {registered.version}, run {registered.run_id}",
            "Bundle made from": f"candidate {candidate.key}",
            "Regression set": f"{candidate.regression_set.dataset} version {candidate.regression_set.version}",
        },
        gates=settings.gates,
        made_at=datetime.now(UTC),
    )


def _subject(candidate: Candidate, live: Release | None, bundle: str) -> ReleaseSubject:
    return ReleaseSubject(
        bundle_digest=bundle,
        data=candidate.data_version,
        commit=candidate.commit,
        started_by=candidate.started_by,
        champion=candidate.champion,
        champion_data=live.data_version if live else None,
        champion_commit=live.commit if live else None,
    )


def _files_beside(out: Path) -> tuple[BesideFile, ...]:
    """What the regression test left beside the page; its digests are on the page, and so bound by the page's own."""
    found = [out / name for name in (PREDICTIONS,) if (out / name).is_file()]
    return tuple(BesideFile(name=file.name, sha256=hashlib.sha256(file.read_bytes()).hexdigest()) for file in found)


def _cost_basis(settings: ModelSettings) -> CostBasis:
    """The endpoint of the load test runs on this machine (staging is always here)."""
    wanted = settings.load_test
    fleets: tuple[Fleet, ...] = ()
    if in_regions(settings):
        from tasks import regions

        fleets = regions.fleets(settings)
    return CostBasis(per_hour=wanted.cost_per_hour, currency=wanted.currency, cores=os.cpu_count(), fleets=fleets)


def _card(candidate: Candidate) -> str:
    """The model card of the bundle as it is."""
    return (workplace(candidate.key) / "bundle" / MODEL_CARD).read_text(encoding="utf-8")


def _data_changes(candidate: Candidate, live: Release | None) -> tuple[DataChange, ...]:
    """What changed in the data since the champion's version; all of it where there is no champion."""
    since = live.data_version.version if live else -1
    if since >= candidate.data_version.version:
        return ()
    dataset = DatasetTable(the_lake(), candidate.data_version.dataset)
    return data_changes(dataset.changes(since, candidate.data_version.version))
