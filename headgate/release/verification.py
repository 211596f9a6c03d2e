"""What an endpoint says about itself, compared field by field with the release record; pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from headgate.record import Record
from headgate.release.record import Release


class Running(Record):
    """What a cohort's server says about itself, read from it now; None for what it does not say."""

    model: str | None = None
    release: str | None = None
    bundle_digest: str | None = None
    data_version: dict[str, Any] | None = None
    configuration: dict[str, Any] = Field(default_factory=dict)
    cache_namespace: str | None = Field(None, description="what the keys of its cache are made with")
    image_digest: str | None = Field(None, description="None only where the target runs the bundle itself")


class Check(Record):
    """One field as the record has it, and as it was found."""

    name: str
    expected: str
    found: str

    @property
    def passed(self) -> bool:
        """Whether it is as expected."""
        return self.expected == self.found

    def __str__(self) -> str:
        """For a reader."""
        return f"{self.name}: expected {self.expected}, found {self.found}"


class Verification(Record):
    """A release in one environment, compared with what serves there."""

    environment: str
    release: str
    checks: tuple[Check, ...]
    took_s: float

    @property
    def faults(self) -> tuple[str, ...]:
        """What is not as expected."""
        return tuple(str(check) for check in self.checks if not check.passed)

    def __str__(self) -> str:
        """For a reader: what was compared, and how long that took."""
        names = ", ".join(check.name for check in self.checks if check.passed)
        return f"{len(self.checks) - len(self.faults)} of {len(self.checks)} as recorded in {self.took_s:.1f} s: {names}"


def running_of(ping: Mapping[str, Any], image_digest: str | None = None) -> Running:
    """Read a server's answer to GET /ping; what is missing or of another kind is None."""
    model, serving = _table(ping.get("model")), _table(ping.get("serving"))
    data = model.get("data_version")
    return Running(
        model=_text(model.get("name")),
        release=_text(model.get("release")),
        bundle_digest=_text(model.get("bundle_digest")),
        data_version=data if isinstance(data, dict) else None,
        configuration={name: value for name, value in serving.items() if name != "cache_namespace"},
        cache_namespace=_text(serving.get("cache_namespace")),
        image_digest=image_digest,
    )


def compare(release: Release, running: Running) -> tuple[Check, ...]:
    """Each field of the record beside what the server says; a record without configuration (older releases) asks for none.

    An image is compared unless the target runs the bundle itself; one that runs where the record has none is a fault.
    """
    expected: dict[str, Any] = {**release.provenance, "cache_namespace": release.bundle_digest}
    found: dict[str, Any] = {name: getattr(running, name) for name in expected}
    if release.configuration:
        told = release.configuration.model_dump(mode="json")
        expected |= {f"configuration.{name}": value for name, value in told.items()}
        found |= {f"configuration.{name}": running.configuration.get(name) for name in told}
    if running.image_digest:
        expected["image_digest"], found["image_digest"] = release.image_digest, running.image_digest
    return tuple(check(name, expected[name], found[name]) for name in expected)


def check(name: str, expected: object, found: object) -> Check:
    """One comparison, with both values in the same words."""
    return Check(name=name, expected=_told(expected), found=_told(found))


def faults_told(faults: Sequence[str]) -> str:
    """All faults, one a line."""
    return "".join(f"\n  {fault}" for fault in faults)


def _told(value: object) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
