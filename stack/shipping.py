"""Ships the prediction logs and corrections of all endpoints to the lake, as `headgate ship-log` does for one server.

What servers on a cluster logged, and what SageMaker captured of its endpoints' answers, is copied to this machine first. Staging is left
out: what it answers are the texts of the regression test.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from headgate.errors import HeadgateError, NotFound
from headgate.lake import open_lake
from headgate.monitoring.shipping import Shipped, ship_once
from headgate.settings import KubernetesNamespace, SageMakerRegion, Settings, load_settings
from tasks.places import endpoint_name

PAUSE_S = 20.0
REGIONS_EVERY = 3  # rounds; captures come minutes late anyway, and each look at a region is some lists of a bucket
KEEP_DAYS = 7.0
REGIONS = "region_logs"  # a file for each capture, which S3 keeps: deleted as soon as it is shipped
PLACES = ("predictions", "cluster_logs", REGIONS)
log = logging.getLogger("headgate.shipping")


def log_folders(settings: Settings) -> list[Path]:
    """The log folder of every release at every endpoint but those of staging."""
    staging = tuple(f"{name}-{model.rollout.staging}" for name, model in settings.models.items())
    found = [folder for place in PLACES for folder in settings.home.absolute().glob(f"{place}/*/*")]
    return sorted(folder for folder in found if folder.is_dir() and not _is_staging(folder.parent.name, staging))


def _is_staging(endpoint: str, staging: Sequence[str]) -> bool:
    """Staging, and the endpoints that sanity checks have for themselves."""
    return any(endpoint == name or endpoint.startswith(f"{name}-sanity-") for name in staging)


def ship_all(settings: Settings) -> Shipped:
    """Ship what every endpoint wrote since the last time."""
    lake, done = open_lake(settings.lake), Shipped()
    for folder in log_folders(settings):
        done += ship_once(lake, folder, 0 if folder.parent.parent.name == REGIONS else KEEP_DAYS)
    return done


def collect_all(settings: Settings, regions: bool = True) -> None:
    """Copy what the servers on every cluster logged; one that does not answer is told of and left for the next time.

    A file that was not written to for longer than it is kept here is not copied again. regions: those of SageMaker too.
    """
    since = datetime.now(UTC) - timedelta(days=KEEP_DAYS - 1)
    for model, table in settings.models.items():
        for stage in table.rollout.stages:
            endpoint = endpoint_name(model, stage.environment)
            try:
                if namespace := settings.kubernetes.get(stage.target):
                    _collect_pods(namespace, endpoint, since)
                elif regions and (region := settings.sagemaker.get(stage.target)):
                    _collect_captures(region, endpoint, since, settings.home.absolute() / REGIONS)
            except HeadgateError as fault:
                log.warning("%s: what %s answered was not copied, the next look tries again: %s", endpoint, stage.target, fault)


def _collect_pods(namespace: KubernetesNamespace, endpoint: str, since: datetime) -> None:
    from tasks.clusters import cluster_target  # its client takes a while to load

    with suppress(NotFound):  # no release was there yet
        cluster_target(namespace).collect(endpoint, since)


def _collect_captures(region: SageMakerRegion, endpoint: str, since: datetime, home: Path) -> None:
    from deployments.sagemaker import SageMakerTarget  # and so does AWS's
    from deployments.sagemaker_clients import clients_of

    SageMakerTarget(region, clients_of(region)).collect(endpoint, since, home)


def main() -> None:
    """Ship every few seconds until stopped; a line is shipped once, however often this is killed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for number in count():
        try:
            load_settings.cache_clear()  # a model may have come
            collect_all(load_settings(), regions=number % REGIONS_EVERY == 0)
            if (done := ship_all(load_settings())) != Shipped():
                log.info("%s", done)
        except (HeadgateError, OSError) as fault:
            log.warning("not shipped, tried again in %g s: %s", PAUSE_S, fault)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
