"""A bundle on an endpoint without a release: for trying, never for production."""

from pathlib import Path

from deployments.processes import Processes
from deployments.target import Cohort, Revision, Split, Target
from headgate.errors import Refused
from headgate.evaluation.endpoint import endpoint_test
from headgate.settings import load_settings
from tasks.places import endpoint_name, target_named


def deploy_bundle(model: str, bundle: Path, environment: str, target_name: str) -> str:
    """Serve a bundle with all of the endpoint's traffic; Refused where it takes releases, and after a failed endpoint test."""
    settings = load_settings()
    guarded = {stage.environment for stage in settings.model(model).rollout.stages}
    if environment in guarded:
        raise Refused(
            f"{environment} takes approved releases only; expected another endpoint such as {settings.model(model).rollout.staging}"
        )
    Processes(settings.home.absolute()).ensure_running()
    target, endpoint = target_named(target_name), endpoint_name(model, environment)
    revision = Revision.adhoc(bundle)
    status = target.deploy(endpoint, revision)
    beside = status.champion is not None and status.champion.bundle_digest != revision.bundle_digest
    _require_recorded_answers(target, endpoint, revision, "challenger" if beside else "champion")
    if beside:
        status = target.set_split(endpoint, Split(champion=0, challenger=100))
    return f"bundle {revision.bundle_digest[:12]} passed its endpoint test and answers at {status.url}"


def _require_recorded_answers(target: Target, endpoint: str, revision: Revision, cohort: Cohort) -> None:
    """The endpoint test; a challenger that fails it leaves again and had no traffic, a first bundle stays for a look at it."""
    faults = endpoint_test(lambda body: target.invoke(endpoint, body, cohort=cohort), revision.bundle)
    if not faults:
        return
    if cohort == "challenger":
        target.rollback(endpoint)
    what = "it was taken away again" if cohort == "challenger" else "it still serves there, alone"
    raise Refused(f"{endpoint}: expected the bundle's recorded answers, found {len(faults)} fault(s); {what}: {'; '.join(faults[:5])}")
