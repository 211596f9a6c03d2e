"""Data checks on the candidate's data version."""

from prefect.logging import get_run_logger

from data_checks.annotations import DataCheckReport, check_annotations
from headgate.data.frozen import load_frozen
from headgate.data.table import DatasetTable
from headgate.release.candidate import Candidate
from headgate.settings import load_settings
from tasks.once import once_per_run
from tasks.places import keep_folder, the_lake, workplace


@once_per_run("check data")
def check_data(candidate: Candidate) -> DataCheckReport:
    """Run the suite against the version before and the regression set; Data Docs are kept as evidence."""
    lake, settings = the_lake(), load_settings().model(candidate.model)
    table = DatasetTable(lake, settings.dataset)
    data = table.load(candidate.data_version.version)
    earlier = [one.version for one in table.versions() if one.version < candidate.data_version.version]
    before = table.load(earlier[-1]) if earlier else None
    out = workplace(candidate.key) / "checks"
    regression = load_frozen(lake, settings.regression_set)
    report = check_annotations(data, before, regression, settings.data_checks, settings.labels, out)
    keep_folder(lake, out, f"candidates/{candidate.model}/{candidate.key}/checks")
    for check in report.checks:
        get_run_logger().log(20 if check.passed else 40, "%s %s: %s", "ok  " if check.passed else "FAIL", check.name, check.detail)
    return report
