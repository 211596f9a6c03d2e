from pathlib import Path
from uuid import UUID

import pandas as pd
import pytest
from prefect import flow
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run
from running_server import serving

from deployments.target import Cohort, EndpointStatus, Revision
from headgate.data.version import DataVersion
from headgate.errors import Stale
from headgate.evaluation.chunks import Tally
from headgate.model.bundle import open_bundle
from headgate.model.runtime import Runtime
from headgate.settings import load_settings
from tasks.once import once_per_run
from tasks.scoring_chunks import describe, score_cohorts

ROWS = pd.DataFrame({"id": [f"{n:03d}" for n in range(90)], "text": [f"yes call me at {n}" for n in range(90)], "label": "positive"})
DATA = DataVersion(dataset="replies-regression", version=0, digest="d1", rows=90)


class Deployed:
    """What a target says of an endpoint; the server behind it is real."""

    def __init__(self, url: str, bundle: Path) -> None:
        revision = Revision.adhoc(bundle)
        self.found = EndpointStatus(endpoint="replies-staging", url=url, champion=revision, challenger=revision, ready=True)

    def status(self, endpoint: str) -> EndpointStatus:
        assert endpoint == "replies-staging"
        return self.found


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEADGATE_SCORING__CHUNK_ROWS", "20")
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def score(target: Deployed, folder: Path, cohorts: dict[Cohort, str | None]) -> tuple[UUID, dict[str, list[str]]]:
    """Score in a task of a flow run; the run's id, and what each cohort predicted."""

    @once_per_run("score")
    def scored() -> dict[str, list[str]]:
        found = score_cohorts(target, "replies-staging", cohorts, ROWS, DATA, folder)
        return {cohort: frame["predicted"].tolist() for cohort, frame in found.items()}

    @flow
    def scoring() -> tuple[str, dict[str, list[str]]]:
        return str(flow_run.id), scored()

    run, found = scoring()
    return UUID(run), found


def shown_by(run: UUID) -> Artifact:
    with get_client(sync_client=True) as client:
        (artifact,) = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run])))
    return artifact


def test_both_cohorts_are_scored_with_a_progress_artifact_that_tells_rows_and_rate(bundle: Path, tmp_path: Path) -> None:
    with serving(bundle) as url:
        run, found = score(Deployed(url, bundle), tmp_path, {"challenger": open_bundle(bundle).digest, "champion": None})
    expected = Runtime.load(bundle).predict(ROWS["text"].tolist()).tolist()
    assert found == {"challenger": expected, "champion": expected}
    artifact = shown_by(run)
    assert artifact.data == 100.0
    told = artifact.description or ""
    assert told.startswith("replies-regression through replies-staging (challenger and champion): 180 of 180 rows; ")
    assert told.endswith(" rows/s")


def test_a_run_that_goes_on_says_what_was_kept_and_needs_no_endpoint_for_it(bundle: Path, tmp_path: Path) -> None:
    with serving(bundle) as url:
        _, first = score(Deployed(url, bundle), tmp_path, {"champion": None})
    run, again = score(Deployed(url, bundle), tmp_path, {"champion": None})
    assert again == first
    assert shown_by(run).description == ("replies-regression through replies-staging (champion): 90 of 90 rows, 90 of them before this run")


def test_another_bundle_than_the_expected_one_is_stale(bundle: Path, tmp_path: Path) -> None:
    with (
        serving(bundle) as url,
        pytest.raises(Stale, match=f"expected answers of bundle {'0' * 12}, found {open_bundle(bundle).digest[:12]}"),
    ):
        score(Deployed(url, bundle), tmp_path, {"champion": "0" * 64})
    assert not list(tmp_path.rglob("*.parquet"))


def test_an_endpoint_without_the_cohort_is_told_at_once(tmp_path: Path, bundle: Path) -> None:
    target = Deployed("http://127.0.0.1:9", bundle)
    target.found = target.found.model_copy(update={"challenger": None, "detail": "it was rolled back"})
    with pytest.raises(Stale) as told:
        score(target, tmp_path, {"challenger": None})
    expected = "endpoint replies-staging: expected a challenger to score rows, found none (it was rolled back); deploy it and start again"
    assert str(told.value) == expected


@pytest.mark.parametrize(
    ("tally", "elapsed_s", "expected"),
    [
        (Tally(0, 100_000, 0), 0.0, "x: 0 of 100,000 rows"),
        (Tally(40_000, 100_000, 30_000), 20.0, "x: 40,000 of 100,000 rows, 30,000 of them before this run; 500 rows/s, about 2 min left"),
        (Tally(99_000, 100_000, 0), 198.0, "x: 99,000 of 100,000 rows; 500 rows/s, about 2 s left"),
        (Tally(1_000, 1_001_000, 0), 10.0, "x: 1,000 of 1,001,000 rows; 100 rows/s, about 2.8 h left"),
        (Tally(1_000, 1_000, 0), 2.0, "x: 1,000 of 1,000 rows; 500 rows/s"),
    ],
)
def test_progress_is_told_with_rate_and_time_left(tally: Tally, elapsed_s: float, expected: str) -> None:
    assert describe("x", tally, elapsed_s) == expected
