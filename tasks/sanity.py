"""The chain on a subset: the same functions as the real one, fewer rows, an endpoint of its own."""

import tempfile
from pathlib import Path

import pandas as pd
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from data_checks.annotations import check_annotations
from deployments.target import Revision
from headgate.checkout import commit
from headgate.data.frozen import load_frozen
from headgate.data.table import DatasetTable
from headgate.errors import Refused
from headgate.evaluation.endpoint import endpoint_test
from headgate.evaluation.regression import measure_frame
from headgate.evaluation.scoring import score_through
from headgate.model.bundle import open_bundle, signature_beside
from headgate.model.classifier import TransformerClassifier
from headgate.model.filters import FilterConfig
from headgate.model.wrapping import wrap
from headgate.record import Record
from headgate.settings import Bound, load_settings
from tasks.candidates import newest_data
from tasks.once import once_per_run
from tasks.places import endpoint_name, local_target, the_lake
from tasks.training import training_texts
from tasks.wrapping import sign_if_configured

REGRESSION_ROWS = 60


class Subset(Record):
    """A few rows of a data version, in a folder of this run."""

    model: str
    rows: int
    folder: Path
    endpoint: str


@once_per_run("take subset")
def take_subset(model: str) -> Subset:
    """The first `sanity_rows` rows by id, with every label, of the newest data version."""
    settings = load_settings().model(model)
    data, _ = newest_data(the_lake(), settings)
    frame = DatasetTable(the_lake(), settings.dataset).load(data.version)
    share = settings.sanity_rows / len(frame)
    subset = (
        frame.sort_values("id")
        .groupby("label", group_keys=False)[frame.columns.tolist()]
        .apply(lambda rows: rows.head(max(2, round(len(rows) * share))))
    )
    folder = Path(tempfile.mkdtemp(prefix="headgate-sanity-"))
    subset.to_parquet(folder / "rows.parquet")
    get_run_logger().info("%d of %d rows of data version %d", len(subset), len(frame), data.version)
    environment = f"{settings.rollout.staging}-sanity-{str(flow_run.id)[:8]}"
    return Subset(model=model, rows=len(subset), folder=folder, endpoint=endpoint_name(model, environment))


def _rows(subset: Subset) -> pd.DataFrame:
    return pd.read_parquet(subset.folder / "rows.parquet")


@once_per_run("check subset")
def check_subset(subset: Subset) -> None:
    """The data checks that make sense for a subset: not its size, its change, or labels that so few rows cannot tell."""
    settings = load_settings().model(subset.model)
    bounds = settings.data_checks.model_copy(update={"min_rows_per_label": 1, "label_errors": Bound(warning=1)})
    report = check_annotations(
        _rows(subset), None, load_frozen(the_lake(), settings.regression_set), bounds, settings.labels, subset.folder / "checks"
    )
    if not report.passed:
        raise Refused("data checks of the subset failed: " + "; ".join(c.name for c in report.checks if not c.passed))


@once_per_run("train subset")
def train_subset(subset: Subset) -> Path:
    """One epoch."""
    settings, rows = load_settings().model(subset.model), _rows(subset)
    classifier = TransformerClassifier(**(settings.train.model_dump() | {"epochs": 1}))
    classifier.fit(training_texts(settings, rows["text"].tolist()), rows["label"].tolist())
    classifier.save(subset.folder / "classifier")
    return subset.folder / "classifier"


@once_per_run("wrap subset")
def wrap_subset(subset: Subset, classifier: Path) -> Path:
    """A real bundle."""
    settings = load_settings().model(subset.model)
    out = subset.folder / "bundle"
    wrap(
        classifier,
        out,
        FilterConfig(**settings.filters.model_dump()),
        {"model": subset.model, "commit": commit(), "purpose": "sanity check"},
        private_packages=settings.bundle.private_packages,
    )
    sign_if_configured(out)
    return out


@once_per_run("deploy subset")
def deploy_subset(subset: Subset, bundle: Path) -> str:
    """A staging endpoint of its own, so that a candidate on staging is left alone."""
    digest = open_bundle(bundle).digest
    revision = Revision(release=f"sanity-{digest[:12]}", bundle_digest=digest, bundle=bundle, signature=signature_beside(bundle))
    status = local_target().deploy(subset.endpoint, revision)
    get_run_logger().info("%s answers at %s", subset.endpoint, status.url)
    return subset.endpoint


@once_per_run("score subset")
def score_subset(subset: Subset, endpoint: str) -> str:
    """Endpoint test, and a few regression rows; a model of one epoch must still beat guessing."""
    settings, target = load_settings().model(subset.model), local_target()
    if found := endpoint_test(lambda body: target.invoke(endpoint, body), subset.folder / "bundle"):
        raise Refused(f"endpoint test: {len(found)} fault(s): {found[0]}")
    rows = load_frozen(the_lake(), settings.regression_set).head(REGRESSION_ROWS)
    answers = score_through(lambda body: target.invoke(endpoint, body), rows)
    metrics = measure_frame(answers)
    guess = 1 / len(set(rows["label"]))
    if metrics.accuracy <= guess:
        raise Refused(f"expected an accuracy above guessing ({guess:.2f}), found {metrics.accuracy:.2f} on {len(rows)} rows")
    verdict = f"sanity check passed: accuracy {metrics.accuracy:.2f} on {len(rows)} rows after one epoch over {subset.rows}"
    get_run_logger().info(verdict)
    return verdict


@once_per_run("clean up")
def clean_up(subset: Subset) -> None:
    """The endpoint goes, whatever happened."""
    local_target().delete(subset.endpoint)
