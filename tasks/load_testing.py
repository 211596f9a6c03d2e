"""The load test of a candidate on staging."""

from prefect.logging import get_run_logger

from headgate.data.frozen import load_frozen
from headgate.evaluation import load
from headgate.evaluation.load_report import LoadReport
from headgate.evaluation.load_run import Cohorts
from headgate.release.candidate import Candidate
from headgate.settings import LoadTest, load_settings
from tasks.once import once_per_run
from tasks.places import the_lake, workplace
from tasks.staging import Staging


@once_per_run("load test")
def run_load_test(candidate: Candidate, staging: Staging) -> LoadReport:
    """Arrivals at a set rate against staging, in turn to candidate and champion."""
    settings = load_settings().model(candidate.model)
    texts = load_frozen(the_lake(), settings.regression_set)["text"].tolist()
    cohorts = _cohorts(staging)
    get_run_logger().info("load test of %s: %s", " and ".join(cohorts), _told(settings.load_test))
    report = load.run_load_test(staging.url, texts, settings.load_test, workplace(candidate.key) / "evidence", cohorts)
    for side in report.sides:
        told = "on" if side.cache else "off", side.requests, side.p50_ms, side.p95_ms, side.p99_ms, side.errors
        get_run_logger().info("%s, cache %s: %d requests, p50 %.0f ms, p95 %.0f ms, p99 %.0f ms, %d errors", side.role, *told)
    for role, most in report.saturation_per_s.items():
        get_run_logger().info("%s: at most %.0f good answers a second", role, most)
    get_run_logger().info("load test %s", report.verdict)
    return report


def _cohorts(staging: Staging) -> Cohorts:
    """By which cohort each model answers on staging; before the first release the candidate is there alone."""
    alone: Cohorts = {"candidate": staging.cohort}
    return {**alone, "champion": "champion"} if staging.compared else alone


def _told(wanted: LoadTest) -> str:
    steps = f", then at most {wanted.stairs_max_steps} steps of rising rate" if wanted.stairs_max_steps else ""
    return f"{wanted.rate_per_s:g} requests/s each for {wanted.duration_s:g} s{steps}"
