"""A bundle on an endpoint without a release: for trying, never for production."""

from pathlib import Path

from deployments.processes import Processes
from deployments.target import Revision, Split
from headgate.errors import Refused
from headgate.settings import load_settings
from tasks.places import endpoint_name, target_named


def deploy_bundle(model: str, bundle: Path, environment: str, target_name: str) -> str:
    """Serve a bundle with all of the endpoint's traffic; Refused for an environment that takes releases."""
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
    if status.champion and status.champion.bundle_digest != revision.bundle_digest:
        status = target.set_split(endpoint, Split(champion=0, challenger=100))
    return f"bundle {revision.bundle_digest[:12]} answers at {status.url}"
