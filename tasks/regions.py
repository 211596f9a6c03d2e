"""Regions of SageMaker as headgate.toml names them: target, costs, metrics, and the mirror in their Model Registry."""

from collections.abc import Sequence

from prefect.logging import get_run_logger

from deployments.sagemaker import SageMakerTarget
from deployments.sagemaker_archive import archive_address
from deployments.sagemaker_clients import clients_of
from deployments.sagemaker_costs import fleet_of
from deployments.sagemaker_quality import put_quality
from deployments.sagemaker_registry import ModelRegistry
from headgate.errors import HeadgateError
from headgate.evaluation.evidence import Evidence
from headgate.evaluation.evidence_record import Fleet
from headgate.monitoring.quality import Measure
from headgate.release.approval import Decision
from headgate.release.record import Release
from headgate.settings import ModelSettings, SageMakerRegion, load_settings
from tasks.places import endpoint_name, revision_of


def region_target(table: SageMakerRegion) -> SageMakerTarget:
    """The endpoints in one region; models and configurations are kept for as long as some model's rollback may name them."""
    settings = load_settings()
    keep = max((model.rollout.rollback_window_revisions for model in settings.models.values()), default=20)
    return SageMakerTarget(table, clients_of(table), public_key=settings.signing.public_key, keep=keep)


def fleets(model: ModelSettings) -> tuple[Fleet, ...]:
    """What each stage in a region bears, and what a release costs there; the shadow runs in the last stage."""
    regions, stages, shadow = load_settings().sagemaker, model.rollout.stages, model.rollout.shadow
    shadow_s = shadow.max_duration_s if shadow.sampling_percentage else 0
    return tuple(fleet_of(one, regions[one.target], shadow_s if one is stages[-1] else 0) for one in stages if one.target in regions)


def put_metrics_of(model: str, release: str, measures: Sequence[Measure], failed: bool) -> int:
    """Put a look's measures, and whether the judged release failed, of the endpoints that serve it; how many regions took them.

    A region that does not answer is told of, and gets those of the next look.
    """
    settings, told = load_settings(), 0
    for stage in settings.model(model).rollout.stages:
        if region := settings.sagemaker.get(stage.target):
            try:
                target = region_target(region)
                put_quality(target.clients, target.states, endpoint_name(model, stage.environment), release, measures, failed)
                told += 1
            except HeadgateError as fault:
                get_run_logger().warning("no metrics were put in CloudWatch of [sagemaker.%s]: %s", stage.target, fault)
    return told


def mirror_release(release: Release, evidence: Evidence) -> None:
    """Show a tested release in the Model Registry of the regions that want it; a mirror that fails stops no release."""
    for region in _mirrors(release.model):
        try:
            registry, archive = _registry(region), archive_address(region.models, revision_of(release.id)) if region.models else None
            get_run_logger().info("Model Registry: %s", registry.register(release, evidence, archive))
        except HeadgateError as fault:
            get_run_logger().warning("not mirrored in the Model Registry: %s", fault)


def mirror_decision(release: Release, decision: Decision) -> None:
    """Show the answer there too."""
    for region in _mirrors(release.model):
        try:
            _registry(region).decide(release, decision)
        except HeadgateError as fault:
            get_run_logger().warning("the decision is not mirrored in the Model Registry: %s", fault)


def _mirrors(model: str) -> list[SageMakerRegion]:
    settings = load_settings()
    names = dict.fromkeys(stage.target for stage in settings.model(model).rollout.stages)
    return [settings.sagemaker[name] for name in names if name in settings.sagemaker and settings.sagemaker[name].model_registry]


def _registry(region: SageMakerRegion) -> ModelRegistry:
    clients = clients_of(region)
    return ModelRegistry(clients.sagemaker, clients.s3, region)
