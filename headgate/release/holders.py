"""Who needs a data version to stay loadable: releases, and registered models."""

from collections import defaultdict

from headgate.errors import Unavailable
from headgate.lake import Lake
from headgate.release.record import load_release, release_ids

Holders = dict[int, list[str]]


def held_by_releases(lake: Lake, dataset: str) -> Holders:
    """The versions of a data set that a release names, each with those releases; BadInput where a record cannot be trusted."""
    held: Holders = defaultdict(list)
    for release_id in release_ids(lake):
        release = load_release(lake, release_id)
        if release.data_version.dataset == dataset:
            held[release.data_version.version].append(f"release {release_id[:12]} of model {release.model} names it")
    return dict(held)


def held_by_models(registry: str, dataset: str) -> Holders:
    """The versions of a data set that a model version in the MLflow registry at this address names; Unavailable if it does not answer."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    held: Holders = defaultdict(list)
    client, token = MlflowClient(registry, registry), None
    while True:
        try:
            page = client.search_model_versions(max_results=1000, page_token=token)
        except MlflowException as fault:
            raise Unavailable(f"expected MLflow's registry at {registry}, which answered: {fault}; nothing was removed") from fault
        for found in page:
            name, _, version = found.tags.get("headgate.data_version", "").rpartition("@")
            if name == dataset:
                held[int(version)].append(f"model {found.name} version {found.version} in {registry} names it")
        if not (token := page.token):
            return dict(held)


def together(*parts: Holders) -> Holders:
    """All holders in one."""
    held: Holders = defaultdict(list)
    for part in parts:
        for version, names in part.items():
            held[version] += names
    return dict(held)
