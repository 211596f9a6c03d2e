"""The staging endpoint: the candidate beside the champion, tested through HTTP."""

from prefect.logging import get_run_logger

from deployments.target import Cohort, Revision, Split, Target
from headgate.errors import Refused
from headgate.evaluation.endpoint import endpoint_test
from headgate.model.bundle import signature_beside
from headgate.record import Record
from headgate.release.candidate import Candidate
from headgate.release.configuration import configuration_of
from headgate.settings import load_settings
from tasks.once import once_per_run
from tasks.places import endpoint_name, local_target, revision_of
from tasks.wrapping import WrappedBundle


class Staging(Record):
    """Where the candidate answers, and as which cohort."""

    endpoint: str
    url: str
    cohort: Cohort
    bundle: WrappedBundle
    compared: bool


@once_per_run("deploy to staging")
def deploy_to_staging(candidate: Candidate, bundle: WrappedBundle) -> Staging:
    """Start the candidate beside the production champion's bundle, or alone before the first release."""
    endpoint = endpoint_name(candidate.model, load_settings().model(candidate.model).rollout.staging)
    target = local_target()
    _align(target, endpoint, candidate, bundle)
    status = target.deploy(endpoint, candidate_revision(candidate, bundle))
    alone = status.champion is not None and status.champion.bundle_digest == bundle.digest
    if not alone:
        target.set_split(endpoint, Split(champion=0, challenger=100))
    get_run_logger().info("staging endpoint %s answers at %s", endpoint, status.url)
    assert status.url is not None
    cohort: Cohort = "champion" if alone else "challenger"
    return Staging(endpoint=endpoint, url=status.url, cohort=cohort, bundle=bundle, compared=not alone)


def candidate_revision(candidate: Candidate, bundle: WrappedBundle, image: str | None = None) -> Revision:
    """The candidate's bundle before it has a release, served as a release made now would be; on staging and as a shadow."""
    return Revision(
        release=f"candidate-{candidate.key}",
        bundle_digest=bundle.digest,
        bundle=bundle.path,
        signature=signature_beside(bundle.path),
        model=candidate.model,
        configuration=configuration_of(load_settings().model(candidate.model)),
        image_digest=image,
    )


def _align(target: Target, endpoint: str, candidate: Candidate, bundle: WrappedBundle) -> None:
    """Make staging's champion that of production, so that both answer the same rows; nothing else may stay there."""
    status = target.status(endpoint)
    if candidate.champion is None:
        if status.champion and status.champion.bundle_digest != bundle.digest:
            target.delete(endpoint)
        return
    live = revision_of(candidate.champion)
    if status.champion is None:
        target.deploy(endpoint, live)
    elif status.champion.bundle_digest != live.bundle_digest:
        target.rollback(endpoint, to=live)


@once_per_run("test staging endpoint")
def test_staging_endpoint(staging: Staging) -> None:
    """The bundle's own examples get their recorded answers."""
    target = local_target()
    found = endpoint_test(lambda body: target.invoke(staging.endpoint, body, cohort=staging.cohort), staging.bundle.path)
    if found:
        raise Refused(
            f"endpoint {staging.endpoint}: expected the bundle's recorded answers, found {len(found)} fault(s): {'; '.join(found[:5])}"
        )
    get_run_logger().info("endpoint test passed: recorded examples answered the same")


@once_per_run("leave staging")
def leave_staging(staging: Staging) -> None:
    """Take a stopped candidate off staging again."""
    target = local_target()
    if staging.compared:
        target.rollback(staging.endpoint)
    else:
        target.delete(staging.endpoint)
