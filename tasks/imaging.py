"""The serving image of a candidate's bundle, for stages whose targets run images: built and pushed once, and known by its digest."""

import hashlib
from collections.abc import Sequence

from prefect.logging import get_run_logger

from deployments.images import build_and_push, tag_of
from headgate.errors import Refused
from headgate.lake import Lake
from headgate.record import Record
from headgate.release.candidate import Candidate
from headgate.settings import KubernetesNamespace, SageMakerRegion, Settings, load_settings
from tasks.once import once_per_run
from tasks.places import the_lake
from tasks.wrapping import WrappedBundle

Place = KubernetesNamespace | SageMakerRegion
AS_ROOT = ("--build-arg", "RUNTIME_USER=root")


class Pushed(Record):
    """A bundle's image in one repository."""

    repository: str
    digest: str


@once_per_run("push image")
def push_image(candidate: Candidate, bundle: WrappedBundle) -> str | None:
    """The digest of the bundle's image, in the repository of every stage's target; None where all stages run the bundle itself."""
    places = image_places(load_settings(), candidate.model)
    if not places:
        return None
    found = in_repositories(the_lake(), bundle, places)
    get_run_logger().info("image of bundle %s: %s", bundle.digest[:12], ", ".join(f"{one.repository}@{one.digest}" for one in found))
    return found[0].digest


def in_repositories(lake: Lake, bundle: WrappedBundle, places: Sequence[Place]) -> list[Pushed]:
    """The bundle's image in each place's repository; Refused where they differ, and then none of them is kept as the bundle's image.

    What was pushed before stays the bundle's image there, however often it is built.
    """
    variant = variant_of(places)
    keys = {place.repository: _key(bundle, place.repository, variant) for place in places}
    known = {name: entry for name, key in keys.items() if (entry := lake.get(key))}
    found = [
        Pushed.model_validate_json(known[place.repository].data) if place.repository in known else _pushed(bundle, place, variant)
        for place in places
    ]
    agreed(bundle.digest, found)
    for one in found:
        lake.put_if_absent(keys[one.repository], one.to_bytes())
    return found


def image_places(settings: Settings, model: str) -> list[Place]:
    """The targets of a model's stages that run images, one for each repository."""
    tables: dict[str, Place] = {**settings.kubernetes, **settings.sagemaker}
    found = [tables[stage.target] for stage in settings.model(model).rollout.stages if stage.target in tables]
    return list({place.repository: place for place in found}.values())


def variant_of(places: Sequence[Place]) -> tuple[str, ...]:
    """SageMaker wants containers that run as root; a cluster's pods name their user themselves, so that one image does for both."""
    return AS_ROOT if any(isinstance(place, SageMakerRegion) for place in places) else ()


def agreed(bundle_digest: str, found: Sequence[Pushed]) -> str:
    """The one digest of an image in all repositories; Refused where they differ, since a release names one image."""
    first = found[0]
    if others := [one for one in found if one.digest != first.digest]:
        told = ", ".join(f"{one.repository}@{one.digest}" for one in others)
        raise Refused(
            f"bundle {bundle_digest[:12]}: expected the same image in every repository, found {first.repository}@{first.digest} "
            f"and {told}; give these places the same build_options, or one repository, and repeat"
        )
    return first.digest


def _key(bundle: WrappedBundle, repository: str, variant: tuple[str, ...]) -> str:
    told = "\n".join((repository, *variant))
    return f"images/{bundle.digest}/{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"


def _pushed(bundle: WrappedBundle, place: Place, variant: tuple[str, ...]) -> Pushed:
    get_run_logger().info("building the image of bundle %s for %s; the first one takes minutes", bundle.digest[:12], place.repository)
    options = [*variant, *place.build_options]
    if isinstance(place, SageMakerRegion):
        digest = _push_to_region(bundle, place, options)
    else:
        digest = build_and_push(bundle.path, place.repository, options, place.insecure_registry).rpartition("@")[2]
    return Pushed(repository=place.repository, digest=digest)


def _push_to_region(bundle: WrappedBundle, place: SageMakerRegion, options: Sequence[str]) -> str:
    """A tag of ECR can be pushed once: what a killed run pushed is found there."""
    from deployments.ecr import digest_there, login
    from deployments.sagemaker_clients import clients_of

    ecr = clients_of(place).ecr
    if there := digest_there(ecr, place.repository, tag_of(bundle.digest)):
        return there
    with login(ecr) as variables:
        return build_and_push(bundle.path, place.repository, options, login=variables).rpartition("@")[2]
