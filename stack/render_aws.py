"""`headgate render iam`: the policies of the flows in a region of SageMaker."""

import json

from deployments.sagemaker_policies import FLOWS, place_of, policy
from headgate.errors import BadInput, NotFound
from headgate.settings import load_settings


def render_iam(place: str, flow: str | None) -> str:
    """JSON of the policy of one flow in a region of SageMaker, or of all by their names; for the models with a stage there."""
    settings = load_settings()
    if (region := settings.sagemaker.get(place)) is None:
        known = ", ".join(sorted(settings.sagemaker)) or "none"
        raise NotFound(f"expected the name of a table [sagemaker.NAME] in headgate.toml, which has {known}; found {place!r}")
    models = sorted(name for name, model in settings.models.items() if any(stage.target == place for stage in model.rollout.stages))
    if not models:
        raise BadInput(f"expected a model with a stage whose target is {place}, found none; name it in [[models.MODEL.rollout.stages]]")
    names = place_of(region, models, settings.lake)
    found = policy(flow, names) if flow else {one: policy(one, names) for one in FLOWS}
    return json.dumps(found, indent=2) + "\n"
