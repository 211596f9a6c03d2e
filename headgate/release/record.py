"""The release record: what was built from what, over which evidence. Written once, never changed."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from typing_extensions import override

from headgate.data.version import DataVersion
from headgate.errors import BadInput, NotFound
from headgate.lake import Lake
from headgate.record import Record, canonical
from headgate.release.configuration import Configuration

Starter = Annotated[str, Field(pattern=r"^(person|automation):.+$")]

LATER = ("bundle_signature", "sbom_digest", "image_signature", "configuration")


class Release(Record):
    """One tested bundle with all that a decision about it is bound to."""

    model: str
    candidate: str = Field(description="key of the candidate that was tested")
    bundle_digest: str
    bundle_signature: str | None = Field(None, description="minisign's, where a key is configured")
    sbom_digest: str | None = Field(None, description="sha256 of the bundle's sbom.cdx.json")
    image_digest: str | None = Field(None, description="as the registry has it; none for a target that runs the bundle itself")
    image_signature: str | None = None
    configuration: Configuration | None = Field(None, description="what its servers are told; older releases have none: today's settings")
    data_version: DataVersion
    commit: str
    evidence_digest: str
    verdict: Literal["passed", "failed", "error", "inconclusive"] = Field(
        description="of regression and load test; only passed ones are asked about"
    )
    expected_champion: str | None = Field(description="release that was in production when the evidence was made")
    started_by: Starter
    registered_version: str = Field(description="MLflow model version that holds the bundle")

    @override
    def to_bytes(self) -> bytes:
        """Canonical JSON; fields that older releases did not have are left out where they are empty, so that ids stay."""
        empty = {name for name in LATER if getattr(self, name) is None}
        return canonical(self.model_dump(mode="json", exclude=empty))

    @property
    def provenance(self) -> dict[str, Any]:
        """What every answer of a server of this release says about its model."""
        return {
            "model": self.model,
            "release": self.id,
            "bundle_digest": self.bundle_digest,
            "data_version": self.data_version.model_dump(mode="json"),
        }

    @property
    def id(self) -> str:
        """sha256 of the record."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


class Tested(Record):
    """A release and what its tests said."""

    release: str
    verdict: str


def folder(release_id: str) -> str:
    """Key of the folder that holds everything about a release."""
    return f"releases/{release_id}"


def save_release(lake: Lake, release: Release) -> str:
    """Write the record once and return its id; repeating is harmless."""
    lake.put_same(f"{folder(release.id)}/release.json", release.to_bytes())
    return release.id


def load_release(lake: Lake, release_id: str) -> Release:
    """The record of a release, found by its id or an unambiguous beginning of it; NotFound, or BadInput where it was changed."""
    full = resolve(lake, release_id)
    key = f"{folder(full)}/release.json"
    try:
        found = Release.model_validate_json(lake.read(key))
    except ValidationError as fault:
        raise BadInput(f"{lake.join(key)}: expected a release record, found none that can be read: {fault}") from None
    if found.id != full:
        raise BadInput(f"{lake.join(key)}: expected the record whose sha256 is {full[:12]}, found {found.id[:12]}; it was changed")
    return found


def release_ids(lake: Lake) -> list[str]:
    """Ids of all releases, sorted."""
    return sorted(key.split("/")[1] for key in lake.keys("releases") if key.endswith("/release.json"))


def resolve(lake: Lake, beginning: str) -> str:
    """The one release id that starts so; NotFound says how many do."""
    found = [name for name in release_ids(lake) if beginning and name.startswith(beginning)]
    if len(found) != 1:
        raise NotFound(f"expected one release whose id starts with {beginning!r}, found {len(found)}; see `headgate status`")
    return found[0]
