"""The regression test of a candidate: it and the champion answer the frozen rows through staging."""

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from deployments.target import Cohort, Target
from headgate.data.frozen import load_frozen
from headgate.data.table import DatasetTable
from headgate.evaluation import regression, scoring
from headgate.evaluation.report import Report, Subject
from headgate.model.linear_floor import fit_linear_floor
from headgate.release.candidate import Candidate
from headgate.settings import ModelSettings, load_settings
from tasks.once import once_per_run
from tasks.places import target_named, the_lake, workplace
from tasks.staging import Staging
from tasks.training import training_texts


@once_per_run("regression test")
def run_regression_test(candidate: Candidate, staging: Staging) -> Report:
    """Candidate and champion answer the frozen rows through their endpoints; the linear floor is fitted beside them."""
    settings = load_settings().model(candidate.model)
    rows = load_frozen(the_lake(), settings.regression_set)
    target = target_named("local")
    answers = {}
    cohorts: tuple[Cohort, ...] = ("challenger", "champion") if staging.compared else ("champion",)
    for cohort in cohorts:
        answers[cohort] = scoring.score_through(_invoker(target, staging.endpoint, cohort), rows, progress=_progress(cohort, len(rows)))
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
