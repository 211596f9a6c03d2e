"""Regions of SageMaker as headgate.toml names them."""

from deployments.sagemaker import SageMakerTarget
from deployments.sagemaker_clients import clients_of
from headgate.settings import SageMakerRegion, load_settings


def region_target(table: SageMakerRegion) -> SageMakerTarget:
    """The endpoints in one region; models and configurations are kept for as long as some model's rollback may name them."""
    settings = load_settings()
    keep = max((model.rollout.rollback_window_revisions for model in settings.models.values()), default=20)
    return SageMakerTarget(table, clients_of(table), public_key=settings.signing.public_key, keep=keep)
