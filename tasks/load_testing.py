"""The load test of a candidate on staging."""

from prefect.logging import get_run_logger

from headgate.data.frozen import load_frozen
from headgate.evaluation import load
from headgate.evaluation.load_report import LoadReport
from headgate.release.candidate import Candidate
from headgate.settings import load_settings
from tasks.once import once_per_run
from tasks.places import the_lake, workplace
from tasks.staging import Staging


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
