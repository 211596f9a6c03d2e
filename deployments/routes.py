"""Where an endpoint's requests go, and which cohort a request belongs to; pure."""

import hashlib

from deployments.target import Split
from headgate.record import Record


class Backend(Record):
    """One server process."""

    release: str
    url: str


class Routes(Record):
    """Where requests go: the content of the routes file."""

    split: Split = Split()
    champion: Backend | None = None
    challenger: Backend | None = None

    def backend(self, cohort: str) -> Backend | None:
        """The server of a cohort; shadow requests go to the challenger."""
        return self.champion if cohort == "champion" else self.challenger

    def urls(self) -> set[str]:
        """Addresses of all servers."""
        return {backend.url for backend in (self.champion, self.challenger) if backend}


def bucket(key: str, salt: str) -> int:
    """A stable number from 0 to 99, even over keys; another salt is independent."""
    return int.from_bytes(hashlib.sha256(f"{salt}\0{key}".encode()).digest()[:8], "big") % 100


def choose(routes: Routes, key: str) -> str:
    """The cohort of a key: raising the challenger's share moves keys to it and none away from it."""
    return "challenger" if routes.challenger and bucket(key, "cohort") < routes.split.challenger else "champion"


def mirrored(routes: Routes, key: str) -> bool:
    """Whether the challenger shall see this key's request too."""
    return routes.challenger is not None and bucket(key, "shadow") < routes.split.shadow
