"""Which release is live in an environment: the one truth, changed only by compare-and-swap."""

from datetime import datetime

from headgate.errors import Stale
from headgate.lake import Lake
from headgate.record import Record


class Champion(Record):
    """The live release of a model in one environment, and those before it, newest first."""

    model: str
    environment: str
    release: str
    previous: tuple[str, ...] = ()
    since: datetime


def _key(model: str, environment: str) -> str:
    return f"champions/{model}/{environment}.json"


def champion(lake: Lake, model: str, environment: str) -> Champion | None:
    """The live release, or None before the first."""
    entry = lake.get(_key(model, environment))
    return Champion.model_validate_json(entry.data) if entry else None


def crown(lake: Lake, model: str, environment: str, release: str, expected: str | None, now: datetime) -> Champion:
    """Make a release the champion if `expected` still is; Stale if another one is, harmless if it already happened."""
    entry = lake.get(_key(model, environment))
    found = Champion.model_validate_json(entry.data) if entry else None
    if found and found.release == release:
        return found
    if (found.release if found else None) != expected:
        raise Stale(f"{model} in {environment}: expected champion {_short(expected)}, found {_short(found.release if found else None)}")
    before = (found.release, *found.previous) if found else ()
    new = Champion(model=model, environment=environment, release=release, previous=_without(before, release), since=now)
    lake.compare_and_swap(_key(model, environment), new.to_bytes(), entry.tag if entry else None)
    return new


def _without(releases: tuple[str, ...], gone: str) -> tuple[str, ...]:
    return tuple(name for name in releases if name != gone)[:20]


def _short(release: str | None) -> str:
    return release[:12] if release else "none"
