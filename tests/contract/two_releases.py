"""Two real bundles of one tiny classifier that answer differently, and their release records: the second abstains from everything."""

from pathlib import Path

from made_up_release import made_up

from deployments.target import Revision
from headgate.data.version import DataVersion
from headgate.model.filters import FilterConfig
from headgate.model.wrapping import wrap
from headgate.release.configuration import Configuration
from headgate.release.record import Release

DATA = DataVersion(dataset="replies", version=0, digest="d" * 32, rows=700)
TEXT = "yes please call me thursday"
OUTCOMES = ("scored", "abstained")
CONFIGURATIONS = (Configuration(log_text="full", max_cached=50), Configuration(log_text="none", max_cached=70))


def two_releases(classifier: Path, folder: Path) -> tuple[tuple[Release, Path], ...]:
    """Each record with its bundle's folder; answers to TEXT have the outcome at the same place of OUTCOMES."""
    made = []
    for number, (least, configuration) in enumerate(zip((0.0, 1.0), CONFIGURATIONS, strict=True)):
        provenance = {"model": "replies", "commit": str(number) * 40, "data_version": DATA.model_dump(mode="json")}
        filters = FilterConfig(min_confidence=least, out_of_scope_share=0.0)
        bundle = wrap(classifier, folder / f"bundle{number}", filters, provenance)
        release = made_up(
            candidate=f"{number:016x}",
            bundle_digest=bundle.digest,
            configuration=configuration,
            commit=str(number) * 40,
            evidence_digest=str(number) * 64,
            registered_version=str(number + 1),
        )
        made.append((release, bundle.path))
    return tuple(made)


def revision(release: Release, bundle: Path) -> Revision:
    """What a target needs to run the release."""
    return Revision(
        release=release.id, bundle_digest=release.bundle_digest, bundle=bundle, model=release.model, configuration=release.configuration
    )
