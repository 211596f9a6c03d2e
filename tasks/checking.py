"""Data checks on the candidate's data version."""

from collections.abc import Sequence

from prefect.logging import get_run_logger

from data_checks.annotations import DataCheckReport, check_annotations
from headgate.data.frozen import load_frozen
from headgate.data.table import DatasetTable
from headgate.release.candidate import Candidate
from headgate.release.record import load_release
from headgate.settings import load_settings
from tasks.once import once_per_run
from tasks.places import keep_folder, the_lake, workplace


def version_before(candidate: Candidate, known: Sequence[int]) -> int | None:
    """The version that new rows are counted from: what production was trained on, so that rows of versions between are judged too.

    The version just before where there is no champion, or none of an older version; None for the first.
    """
    now = candidate.data_version.version
    live = load_release(the_lake(), candidate.champion).data_version.version if candidate.champion else now
    earlier = [version for version in known if version < now]
    return live if live in earlier else max(earlier, default=None)


@once_per_run("check data")
def check_data(candidate: Candidate) -> DataCheckReport:
    """Run the suite against the version before and the regression set; Data Docs are kept as evidence. Seconds for 10,000 rows."""
    lake, settings = the_lake(), load_settings().model(candidate.model)
    table = DatasetTable(lake, settings.dataset)
    data = table.load(candidate.data_version.version)
    number = version_before(candidate, [one.version for one in table.versions()])
    before = None if number is None else table.load(number)
    against = "no version before" if number is None else f"version {number}"
    get_run_logger().info("checking %d rows of data version %d against %s", len(data), candidate.data_version.version, against)
    out = workplace(candidate.key) / "checks"
    regression = load_frozen(lake, settings.regression_set)
    report = check_annotations(data, before, regression, settings.data_checks, settings.labels, out)
    keep_folder(lake, out, f"candidates/{candidate.model}/{candidate.key}/checks")
    for check in report.checks:
        level, word = (20, "ok  ") if check.passed else (40, "FAIL") if check.severity == "critical" else (30, "warn")
        get_run_logger().log(level, "%s %s: %s", word, check.name, check.detail)
    return report
