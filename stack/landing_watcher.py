"""Watches the landing folders of a lake that is a folder, and emits `headgate.landing.arrived` for files that are whole.

It is told by the file system and looks every few seconds as well, since network file systems tell nothing. What it could not announce it
announces at the next look, and after a restart it looks at everything that no ingest has finished: nothing depends on its being up.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from watchfiles import watch

from headgate.data.landing import unread
from headgate.data.notifications import DATASET
from headgate.data.settling import Settling
from headgate.errors import BadSettings, HeadgateError, Unavailable
from headgate.lake import FolderLake
from headgate.settings import Arrivals, Settings, load_settings
from tasks.places import the_lake

log = logging.getLogger("headgate.watcher")
NAMED = 5
Announce = Callable[[str, Sequence[str]], None]


class LandingWatcher:
    """One look at a time over every data set's landing folder."""

    def __init__(self, lake: FolderLake, announce: Announce, arrivals: Arrivals) -> None:
        self.lake, self.announce, self.arrivals = lake, announce, arrivals
        self._settling: dict[str, Settling] = {}
        self._warned: set[str] = set()

    def look(self, datasets: set[str], now: float) -> dict[str, list[str]]:
        """Announce what is whole; says what was announced, by data set. What the server does not take is kept for the next look."""
        told = {}
        for dataset in self._folders(datasets):
            settling = self._settling.setdefault(dataset, Settling(self.arrivals.settle_s))
            if not (whole := settling.whole(unread(self.lake, dataset), now)):
                continue
            uris = [self.lake.join(one.key) for one in whole]
            try:
                self.announce(dataset, uris)
            except Unavailable as fault:
                log.warning("%s file(s) of %s wait: %s", len(uris), dataset, fault)
                continue
            settling.announced(whole)
            told[dataset] = uris
        return told

    def is_waiting(self) -> bool:
        """Whether a file is not announced yet, so that the next look should come soon."""
        return any(settling.is_waiting() for settling in self._settling.values())

    def _folders(self, datasets: set[str]) -> list[str]:
        """The data sets with a landing folder; a folder that belongs to none is told once."""
        there = {path.name for path in (self.lake.root / "landing").iterdir() if path.is_dir() and not path.name.startswith(".")}
        for unknown in sorted(there - datasets - self._warned):
            log.warning("landing/%s/: expected a data set that a model of headgate.toml reads, found none that does", unknown)
            self._warned.add(unknown)
        return sorted(name for name in there & datasets if DATASET.fullmatch(name))


def wakes(folder: Path, arrivals: Arrivals) -> Iterator[bool]:
    """Yields when something changed in the folder (True), and at least once in `settle_s`; by time alone where the system tells nothing."""
    wait_s = min(arrivals.settle_s, arrivals.look_every_s)
    yield True
    try:
        for changes in watch(folder, watch_filter=None, rust_timeout=int(wait_s * 1000), yield_on_timeout=True, step=200, debounce=2000):
            yield bool(changes)
    except (OSError, RuntimeError) as fault:  # no inotify left, or none on this file system
        log.warning("the file system cannot tell about %s (%s); looking every %s s", folder, fault, wait_s)
    while True:
        time.sleep(wait_s)
        yield False


def is_due(prompted: bool, since_s: float, took_s: float, look_every_s: float) -> bool:
    """Whether to look again so long after the last look. A look costs more with every file: unprompted ones get a twentieth of the time."""
    return since_s >= (took_s if prompted else max(look_every_s, 20 * took_s))


def run(watcher: LandingWatcher, settings: Callable[[], Settings], clock: Callable[[], float] = time.monotonic) -> None:
    """Look whenever there may be something to see, until stopped; headgate.toml is read again at each look."""
    folder = watcher.lake.root / "landing"
    folder.mkdir(parents=True, exist_ok=True)
    ended, took, changed = float("-inf"), 0.0, False
    for told in wakes(folder, watcher.arrivals):
        changed = changed or told
        if not is_due(changed or watcher.is_waiting(), clock() - ended, took, watcher.arrivals.look_every_s):
            continue
        begun, changed = clock(), False
        _look(watcher, settings, begun)
        ended = clock()
        took = ended - begun


def _look(watcher: LandingWatcher, settings: Callable[[], Settings], now: float) -> None:
    """One look; whatever goes wrong is told, and the next look tries again."""
    try:
        told = watcher.look({model.dataset for model in settings().models.values()}, now)
    except (HeadgateError, OSError) as fault:
        log.warning("could not look: %s", fault)
        return
    for dataset, uris in told.items():
        log.info("announced %s file(s) of %s: %s", len(uris), dataset, some_names(uris))


def some_names(uris: Sequence[str]) -> str:
    """The names of the first files, and how many more there are."""
    names = ", ".join(Path(uri).name for uri in uris[:NAMED])
    return names + (f" and {len(uris) - NAMED} more" if len(uris) > NAMED else "")


def main() -> None:
    """Watch until stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    settings, lake = load_settings(), the_lake()
    if not isinstance(lake, FolderLake):
        raise BadSettings(f"expected a lake in a folder, found {lake.uri}; a bucket notifies a queue instead: docs/arrivals.md")
    run(LandingWatcher(lake, _announce, settings.arrivals), _fresh_settings)


def _announce(dataset: str, uris: Sequence[str]) -> None:
    """Prefect's client takes seconds to import: the watching begins before it is needed."""
    from tasks.announcing import announce_arrival

    announce_arrival(dataset, uris)


def _fresh_settings() -> Settings:
    load_settings.cache_clear()
    return load_settings()


if __name__ == "__main__":
    main()
