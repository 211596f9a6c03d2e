"""Ships the prediction logs and corrections of all endpoints to the lake, as `headgate ship-log` does for one server.

What servers on a cluster logged is copied to this machine first. Staging is left out: what it answers are the texts of the regression test.
"""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from headgate.errors import HeadgateError, NotFound
from headgate.lake import open_lake
from headgate.monitoring.shipping import Shipped, ship_once
from headgate.settings import Settings, load_settings
from tasks.places import endpoint_name

PAUSE_S = 20.0
KEEP_DAYS = 7.0
log = logging.getLogger("headgate.shipping")


def log_folders(settings: Settings) -> list[Path]:
    """The log folder of every release at every endpoint but those of staging."""
    staging = tuple(f"{name}-{model.rollout.staging}" for name, model in settings.models.items())
    found = [folder for place in ("predictions", "cluster_logs") for folder in settings.home.absolute().glob(f"{place}/*/*")]
    return sorted(folder for folder in found if folder.is_dir() and not _is_staging(folder.parent.name, staging))


def _is_staging(endpoint: str, staging: Sequence[str]) -> bool:
    """Staging, and the endpoints that sanity checks have for themselves."""
    return any(endpoint == name or endpoint.startswith(f"{name}-sanity-") for name in staging)


def ship_all(settings: Settings) -> Shipped:
    """Ship what every endpoint wrote since the last time."""
    lake, done = open_lake(settings.lake), Shipped()
    for folder in log_folders(settings):
        done += ship_once(lake, folder, KEEP_DAYS)
    return done


def collect_all(settings: Settings) -> None:
    """Copy what the servers on every cluster logged; one that does not answer is told of and left for the next time.

    A file that was not written to for longer than it is kept here is not copied again.
    """
    since = datetime.now(UTC) - timedelta(days=KEEP_DAYS - 1)
    for model, table in settings.models.items():
        for stage in table.rollout.stages:
            if namespace := settings.kubernetes.get(stage.target):
                from tasks.clusters import cluster_target  # its client takes a while to load

                try:
                    cluster_target(namespace).collect(endpoint_name(model, stage.environment), since)
                except NotFound:  # no release was there yet
                    continue
                except HeadgateError as fault:
                    log.warning("not copied from [kubernetes.%s], tried again in %g s: %s", stage.target, PAUSE_S, fault)


def main() -> None:
    """Ship every few seconds until stopped; a line is shipped once, however often this is killed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    while True:
        try:
            load_settings.cache_clear()  # a model may have come
            collect_all(load_settings())
            if (done := ship_all(load_settings())) != Shipped():
                log.info("%s", done)
        except (HeadgateError, OSError) as fault:
            log.warning("not shipped, tried again in %g s: %s", PAUSE_S, fault)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
