"""The staging endpoint: the candidate beside the champion, tested through HTTP."""

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from deployments.target import Cohort, Revision, Split, Target
from headgate.data.frozen import load_frozen
from headgate.data.table import DatasetTable
from headgate.errors import Refused
from headgate.evaluation import load, regression
from headgate.evaluation.endpoint import endpoint_test
from headgate.evaluation.report import LoadReport, Report, Subject
from headgate.model.bundle import signature_beside
from headgate.model.linear_floor import fit_linear_floor
from headgate.record import Record
from headgate.release.candidate import Candidate
from headgate.settings import ModelSettings, load_settings
from tasks.once import once_per_run
from tasks.places import endpoint_name, revision_of, target_named, the_lake, workplace
from tasks.training import training_texts
from tasks.wrapping import WrappedBundle


class Staging(Record):
    """Where the candidate answers, and as which cohort."""

    endpoint: str
    url: str
    cohort: Cohort
    bundle: WrappedBundle
    compared: bool


@once_per_run("deploy to staging")
def deploy_to_staging(candidate: Candidate, bundle: WrappedBundle) -> Staging:
    """Start the candidate beside the production champion's bundle, or alone before the first release."""
    endpoint = endpoint_name(candidate.model, load_settings().model(candidate.model).rollout.staging)
    target = target_named("local")
    _align(target, endpoint, candidate, bundle)
    status = target.deploy(
        endpoint,
        Revision(
            release=f"candidate-{candidate.key}",
            bundle_digest=bundle.digest,
            bundle=bundle.path,
            signature=signature_beside(bundle.path),
            model=candidate.model,
        ),
    )
    alone = status.champion is not None and status.champion.bundle_digest == bundle.digest
    if not alone:
        target.set_split(endpoint, Split(champion=0, challenger=100))
    get_run_logger().info("staging endpoint %s answers at %s", endpoint, status.url)
    assert status.url is not None
    cohort: Cohort = "champion" if alone else "challenger"
    return Staging(endpoint=endpoint, url=status.url, cohort=cohort, bundle=bundle, compared=not alone)


def _align(target: Target, endpoint: str, candidate: Candidate, bundle: WrappedBundle) -> None:
    """Make staging's champion that of production, so that both answer the same rows; nothing else may stay there."""
    status = target.status(endpoint)
    if candidate.champion is None:
        if status.champion and status.champion.bundle_digest != bundle.digest:
            target.delete(endpoint)
        return
    live = revision_of(candidate.champion)
    if status.champion is None:
        target.deploy(endpoint, live)
    elif status.champion.bundle_digest != live.bundle_digest:
        target.rollback(endpoint, to=live)


@once_per_run("test staging endpoint")
def test_staging_endpoint(staging: Staging) -> None:
    """The bundle's own examples get their recorded answers."""
    target = target_named("local")
    found = endpoint_test(lambda body: target.invoke(staging.endpoint, body, cohort=staging.cohort), staging.bundle.path)
    if found:
        raise Refused(
            f"endpoint {staging.endpoint}: expected the bundle's recorded answers, found {len(found)} fault(s): {'; '.join(found[:5])}"
        )
    get_run_logger().info("endpoint test passed: recorded examples answered the same")


@once_per_run("regression test")
def run_regression_test(candidate: Candidate, staging: Staging) -> Report:
    """Candidate and champion answer the frozen rows through their endpoints; the linear floor is fitted beside them."""
    settings = load_settings().model(candidate.model)
    rows = load_frozen(the_lake(), settings.regression_set)
    target = target_named("local")
    answers = {}
    cohorts: tuple[Cohort, ...] = ("challenger", "champion") if staging.compared else ("champion",)
    for cohort in cohorts:
        answers[cohort] = regression.score_through(_invoker(target, staging.endpoint, cohort), rows, progress=_progress(cohort, len(rows)))
    report = regression.regression_test(
        Subject(role="candidate", model=candidate.model, bundle_digest=staging.bundle.digest),
        candidate.regression_set,
        rows,
        answers[staging.cohort],
        settings.gates,
        workplace(candidate.key) / "evidence",
        champion=answers["champion"] if staging.compared else None,
        floor=_floor(candidate, settings, rows["text"].tolist()),
    )
    _log_report(report)
    return report


def _invoker(target: Target, endpoint: str, cohort: Cohort) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda body: target.invoke(endpoint, body, cohort=cohort)


def _progress(cohort: str, rows: int) -> Callable[[int, int], None]:
    """A progress artifact in the Prefect UI."""
    artifact = cast(
        UUID, create_progress_artifact(0.0, key=f"regression-{cohort}", description=f"{rows} rows through the {cohort}'s endpoint")
    )

    def show(done: int, total: int) -> None:
        update_progress_artifact(artifact, 100.0 * done / total)

    return show


def _floor(candidate: Candidate, settings: ModelSettings, texts: list[str]) -> list[str]:
    """What a TF-IDF + linear model of the same training rows says to the regression rows."""
    frame = DatasetTable(the_lake(), settings.dataset).load(candidate.data_version.version)
    floor = fit_linear_floor(training_texts(settings, frame["text"].tolist()), frame["label"].tolist())
    return [str(label) for label in floor.predict(training_texts(settings, texts))]


def _log_report(report: Report) -> None:
    logger = get_run_logger()
    for name, metrics in (("candidate", report.candidate), ("champion", report.champion), ("linear floor", report.floor)):
        if metrics:
            logger.info("%s: accuracy %.3f, macro-F1 %.3f, coverage %.3f", name, metrics.accuracy, metrics.macro_f1, metrics.coverage)
    for gate in report.gates:
        logger.info("gate %s: %s (expected %s, found %s)", gate.name, gate.verdict, gate.expected, gate.found)


@once_per_run("load test")
def run_load_test(candidate: Candidate, staging: Staging) -> LoadReport:
    """Arrivals at a set rate against staging."""
    settings = load_settings().model(candidate.model)
    texts = load_frozen(the_lake(), settings.regression_set)["text"].tolist()
    wanted = settings.load_test
    get_run_logger().info("load test: %g requests/s for %g s", wanted.rate_per_s, wanted.duration_s)
    report = load.run_load_test(staging.url, texts, wanted, workplace(candidate.key) / "evidence")
    get_run_logger().info(
        "%s: %d requests, p50 %.0f ms, p95 %.0f ms, p99 %.0f ms, %d errors",
        report.verdict,
        report.requests,
        report.p50_ms,
        report.p95_ms,
        report.p99_ms,
        report.errors,
    )
    return report


@once_per_run("leave staging")
def leave_staging(staging: Staging) -> None:
    """Take a stopped candidate off staging again."""
    target = target_named("local")
    if staging.compared:
        target.rollback(staging.endpoint)
    else:
        target.delete(staging.endpoint)
