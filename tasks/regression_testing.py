"""The regression test of a candidate: it and the champion answer the frozen rows through staging."""

import shutil
from pathlib import Path

from prefect.logging import get_run_logger

from deployments.target import Cohort
from headgate.data.frozen import load_frozen
from headgate.data.table import DatasetTable
from headgate.evaluation import behaviour, regression
from headgate.evaluation.report import Behaviour, Report, Subject
from headgate.model.linear_floor import fit_linear_floor
from headgate.release.candidate import Candidate
from headgate.settings import ModelSettings, load_settings
from tasks.once import once_per_run
from tasks.places import local_target, the_lake, workplace
from tasks.scoring_chunks import score_cohorts
from tasks.staging import Staging
from tasks.training import training_texts


@once_per_run("regression test")
def run_regression_test(candidate: Candidate, staging: Staging) -> Report:
    """Candidate and champion answer the frozen rows through their endpoints; the linear floor is fitted beside them."""
    settings = load_settings().model(candidate.model)
    rows = load_frozen(the_lake(), settings.regression_set)
    target = local_target()
    cohorts: dict[Cohort, str | None] = {staging.cohort: staging.bundle.digest} | ({"champion": None} if staging.compared else {})
    chunks = chunk_folder(candidate)
    answers = score_cohorts(target, staging.endpoint, cohorts, rows, candidate.regression_set, chunks)
    report = regression.regression_test(
        Subject(role="candidate", model=candidate.model, bundle_digest=staging.bundle.digest),
        candidate.regression_set,
        rows,
        answers[staging.cohort],
        settings.gates,
        workplace(candidate.key) / "evidence",
        champion=answers["champion"] if staging.compared else None,
        floor=_floor(candidate, settings, rows["text"].tolist()),
        behaviours=_behaviours(candidate, settings, staging, cohorts),
    )
    _log_report(report)
    shutil.rmtree(chunks)
    return report


def chunk_folder(candidate: Candidate) -> Path:
    """Where scored chunks wait for a run that goes on after a crash; a retest has a folder of its own."""
    return workplace(candidate.key) / "scores" / (candidate.retest or "first")


def _behaviours(
    candidate: Candidate, settings: ModelSettings, staging: Staging, cohorts: dict[Cohort, str | None]
) -> tuple[Behaviour, ...]:
    """The behavioural tests of headgate.toml through the same endpoints as the regression rows; none if no file is named."""
    if settings.behaviour_rows is None:
        return ()
    tests = behaviour.read_behaviour(settings.behaviour_rows)
    data = behaviour.behaviour_version(f"{settings.dataset}-behaviour", tests)
    answers = score_cohorts(
        local_target(), staging.endpoint, cohorts, behaviour.texts_to_score(tests), data, chunk_folder(candidate) / "behaviour"
    )
    champion = answers["champion"] if staging.compared else None
    return behaviour.measure_behaviours(tests, answers[staging.cohort], champion, settings.gates.behaviour_tolerance)


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
