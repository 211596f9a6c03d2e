"""Ships the prediction logs and corrections of this machine's endpoints to the lake, as `headgate ship-log` does for one server.

Staging is left out: what it answers are the texts of the regression test.
"""

import logging
import time
from pathlib import Path

from headgate.errors import HeadgateError
from headgate.lake import open_lake
from headgate.monitoring.shipping import Shipped, ship_once
from headgate.settings import Settings, load_settings

PAUSE_S = 20.0
KEEP_DAYS = 7.0
log = logging.getLogger("headgate.shipping")


def log_folders(settings: Settings) -> list[Path]:
    """The log folder of every release at every endpoint but those of staging."""
    staging = {f"{name}-{model.rollout.staging}" for name, model in settings.models.items()}
    found = settings.home.absolute().glob("predictions/*/*")
    return sorted(folder for folder in found if folder.is_dir() and folder.parent.name not in staging)


def ship_all(settings: Settings) -> Shipped:
    """Ship what every endpoint wrote since the last time."""
    lake, done = open_lake(settings.lake), Shipped()
    for folder in log_folders(settings):
        done += ship_once(lake, folder, KEEP_DAYS)
    return done


def main() -> None:
    """Ship every few seconds until stopped; a line is shipped once, however often this is killed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    while True:
        try:
            load_settings.cache_clear()  # a model may have come
            if (done := ship_all(load_settings())) != Shipped():
                log.info("%s", done)
        except (HeadgateError, OSError) as fault:
            log.warning("not shipped, tried again in %g s: %s", PAUSE_S, fault)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
