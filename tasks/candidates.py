"""What to build, whether it was built already, and how a stopped candidate ends."""

from typing import TYPE_CHECKING

from prefect.logging import get_run_logger

from headgate.checkout import commit
from headgate.data.table import DatasetTable
from headgate.data.version import DataVersion
from headgate.errors import NotFound, Refused
from headgate.evaluation.behaviour import read_behaviour
from headgate.lake import Lake
from headgate.release.candidate import Candidate, Standing, candidate_key, save_outcome, standing
from headgate.release.champion import champion
from headgate.release.record import load_release
from headgate.settings import ModelSettings, load_settings
from tasks.once import once_per_run
from tasks.places import the_lake

if TYPE_CHECKING:
    from data_checks.annotations import DataCheckReport  # loading it takes seconds, which deciding about a training need not wait for


def newest_data(lake: Lake, settings: ModelSettings) -> tuple[DataVersion, DataVersion]:
    """The newest data version and the frozen regression set; NotFound says which one is missing."""
    newest = DatasetTable(lake, settings.dataset).latest()
    if newest is None:
        raise NotFound(f"data set {settings.dataset}: expected a data version, found none; run `headgate ingest FILES`")
    return newest, regression_version(lake, settings)


def regression_version(lake: Lake, settings: ModelSettings) -> DataVersion:
    """The frozen regression set; NotFound if its rows were never frozen."""
    frozen = DatasetTable(lake, settings.regression_set).latest()
    if frozen is None:
        raise NotFound(
            f"regression set {settings.regression_set}: expected frozen rows, found none; "
            "name a file as regression_rows in headgate.toml and run `headgate run`"
        )
    return frozen


def production(settings: ModelSettings) -> str:
    """The environment of the last stage, whose champion everything is compared with."""
    return settings.rollout.stages[-1].environment


@once_per_run("plan candidate")
def plan_candidate(model: str, started_by: str, retest: str | None) -> Candidate:
    """Name the candidate by what it would be made from."""
    lake, settings = the_lake(), load_settings().model(model)
    if settings.behaviour_rows:
        read_behaviour(settings.behaviour_rows)  # a fault in them is told now, not after the training
    data, regression = newest_data(lake, settings)
    key = candidate_key(data, regression, settings)
    if retest:
        data, key = _retested(lake, model, retest)
    live = champion(lake, model, production(settings))
    return Candidate(
        model=model,
        key=key,
        data_version=data,
        regression_set=regression,
        commit=commit(),
        started_by=started_by,
        champion=live.release if live else None,
        retest=retest,
    )


def _retested(lake: Lake, model: str, release: str) -> tuple[DataVersion, str]:
    """Data version and candidate key of a release that is tested again."""
    found = load_release(lake, release)
    if found.model != model:
        raise Refused(f"release {found.id[:12]}: expected one of model {model}, found {found.model}")
    return found.data_version, found.candidate


def note_standing(candidate: Candidate) -> Standing | None:
    """What became of the same candidate before, logged; None if it is new."""
    settings = load_settings().model(candidate.model)
    known = standing(the_lake(), candidate.model, candidate.key, production(settings))
    if known.kind == "new" or (candidate.retest and known.kind not in ("waiting", "live")):
        return None
    get_run_logger().info("did not train: %s", explain(known, candidate.data_version))
    return known


def explain(known: Standing, data: DataVersion) -> str:
    """One sentence on a candidate that is not new."""
    subject = f"release {known.release[:12]}" if known.release else "the candidate"
    verb = {
        "live": "is live",
        "waiting": "is tested",
        "rejected": "was rejected",
        "stopped": "was stopped",
        "rolled_back": "was rolled back",
        "replaced": "was replaced",
    }[known.kind]
    return f"{subject} of data version {data.version} {verb}{f': {known.why}' if known.why else ''}"


@once_per_run("stop candidate")
def finish_stopped(candidate: Candidate, checks: "DataCheckReport") -> None:
    """Record that the data checks stopped the candidate before training."""
    failed = [check for check in checks.checks if not check.passed and check.severity == "critical"]
    reason = "data checks failed: " + "; ".join(f"{check.name}: {check.detail}" for check in failed)
    save_outcome(the_lake(), candidate, release=None, stopped=reason)
    raise Refused(f"{reason}. Mend the rows (`headgate ingest FILES` with the same ids) and run again")
