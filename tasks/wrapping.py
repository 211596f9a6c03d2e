"""Classifier -> bundle -> MLflow."""

from pathlib import Path

from prefect.logging import get_run_logger

from headgate.checkout import DIRTY
from headgate.model.bundle import open_bundle
from headgate.model.card import model_card
from headgate.model.filters import FilterConfig
from headgate.model.saved import read_record
from headgate.model.signing import sign_bundle
from headgate.model.wrapping import wrap
from headgate.record import Record
from headgate.release.candidate import Candidate
from headgate.release.registering import register
from headgate.release.registry import Registered
from headgate.settings import load_settings
from tasks.once import once_per_run
from tasks.places import workplace
from tasks.training import training_rows


class WrappedBundle(Record):
    """A bundle's place on this machine and its digest."""

    path: Path
    digest: str


@once_per_run("wrap bundle")
def wrap_bundle(candidate: Candidate, classifier: Path) -> WrappedBundle:
    """Make the bundle that serves without torch; a finished one is verified and taken as it is."""
    out = workplace(candidate.key) / "bundle"
    settings = load_settings().model(candidate.model)
    if not out.is_dir():
        provenance = candidate.model_dump(mode="json", include={"model", "commit", "data_version"}) | {
            "dirty": candidate.commit.endswith(DIRTY),
            "train": settings.train.model_dump(mode="json"),
        }
        if settings.feedback.weight != 1:
            provenance["correction_weight"] = settings.feedback.weight
        card = model_card(candidate.model, read_record(classifier), provenance)
        filters = FilterConfig(**settings.filters.model_dump())
        rows = list(zip(*training_rows(candidate), strict=True))
        wrap(classifier, out, filters, provenance, card, private_packages=settings.bundle.private_packages, rows=rows)
    digest = open_bundle(out).digest
    sign_if_configured(out)
    get_run_logger().info("bundle %s in %s", digest[:12], out)
    return WrappedBundle(path=out, digest=digest)


def sign_if_configured(bundle: Path) -> None:
    """Put a signature beside a bundle where headgate.toml names a secret key."""
    if (signing := load_settings().signing).secret_key:
        get_run_logger().info("signed: %s", sign_bundle(bundle, signing).name)


@once_per_run("register in MLflow")
def register_bundle(candidate: Candidate, classifier: Path, bundle: WrappedBundle) -> Registered:
    """Log classifier and bundle, and make the bundle a model version."""
    registered = register(candidate, classifier, bundle.path, bundle.digest)
    get_run_logger().info("MLflow: %s version %s", candidate.model, registered.version)
    return registered
