"""What a candidate is made from, and what became of it: how Headgate knows that nothing changed."""

import hashlib
from typing import Any, Literal

from pydantic import Field

from headgate.data.version import DataVersion
from headgate.lake import Lake
from headgate.model.private_packages import sources_digest
from headgate.record import Record, canonical
from headgate.release.approval import decision_of
from headgate.release.champion import champion
from headgate.release.record import Release, Starter, load_release
from headgate.release.rollout import steps
from headgate.settings import ModelSettings


class Candidate(Record):
    """Everything that decides how a candidate comes out, and who asked for it."""

    model: str
    key: str = Field(description="the same for the same data, regression set and settings")
    data_version: DataVersion
    regression_set: DataVersion
    commit: str
    started_by: Starter
    champion: str | None = Field(description="release in production when the work began")
    retest: str | None = Field(None, description="release whose bundle is tested again, without training")


class Outcome(Record):
    """How the work on a candidate ended: with a release, or stopped before one."""

    candidate: str
    release: str | None
    stopped: str | None


class Standing(Record):
    """Where a candidate is now."""

    kind: Literal["new", "stopped", "waiting", "rejected", "rolled_back", "live", "replaced"]
    release: str | None = None
    why: str = ""


def candidate_key(data: DataVersion, regression: DataVersion, settings: ModelSettings) -> str:
    """16 hex digits over all that training and testing depend on: data, frozen and behavioural rows, settings, private packages."""
    parts: dict[str, Any] = {"data": data.digest, "regression": regression.digest}
    parts |= settings.model_dump(mode="json", include={"train", "filters", "gates", "labels", "data_checks"})
    if packages := settings.bundle.private_packages:
        parts["private_packages"] = sources_digest(packages)
    if settings.behaviour_rows is not None:
        parts["behaviour_rows"] = sources_digest([settings.behaviour_rows])
    if settings.feedback.weight != 1:
        parts["correction_weight"] = settings.feedback.weight
    return hashlib.sha256(canonical(parts)).hexdigest()[:16]


def _outcomes(model: str, key: str) -> str:
    return f"candidates/{model}/{key}/outcomes"


def save_outcome(lake: Lake, candidate: Candidate, release: str | None, stopped: str | None) -> None:
    """Write how it ended. A first test's first ending stays; each retest adds one."""
    folder = _outcomes(candidate.model, candidate.key)
    number = len(lake.keys(folder)) if candidate.retest else 0
    outcome = Outcome(candidate=candidate.key, release=release, stopped=stopped)
    lake.put_if_absent(f"{folder}/{number:04d}.json", outcome.to_bytes())


def note_release(lake: Lake, release: Release) -> None:
    """Add that a candidate's newest release is this one; harmless where it already is."""
    known = latest_outcome(lake, release.model, release.candidate)
    if known is None or known.release != release.id:
        number = len(lake.keys(_outcomes(release.model, release.candidate)))
        outcome = Outcome(candidate=release.candidate, release=release.id, stopped=None)
        lake.put_if_absent(f"{_outcomes(release.model, release.candidate)}/{number:04d}.json", outcome.to_bytes())


def latest_outcome(lake: Lake, model: str, key: str) -> Outcome | None:
    """The newest ending of a candidate, or None while it is new."""
    known = lake.keys(_outcomes(model, key))
    return Outcome.model_validate_json(lake.read(known[-1])) if known else None


def standing(lake: Lake, model: str, key: str, environment: str) -> Standing:
    """Where a candidate is now; `environment` is the last stage, production."""
    crowned = champion(lake, model, environment)
    outcome = latest_outcome(lake, model, key)
    if outcome is None:
        return Standing(kind="new")
    if outcome.release is None or outcome.stopped:
        return Standing(kind="stopped", release=outcome.release, why=outcome.stopped or "")
    if crowned and outcome.release == crowned.release:
        return Standing(kind="live", release=outcome.release)
    if crowned and outcome.release in crowned.previous:
        return Standing(kind="replaced", release=outcome.release, why=f"release {crowned.release[:12]} is live")
    return _open(lake, outcome.release, crowned.release if crowned else None)


def _open(lake: Lake, release_id: str, live: str | None) -> Standing:
    """A tested release that never was champion: rejected, rolled back, overtaken, or still waiting for its answer."""
    decision = decision_of(lake, release_id)
    if decision and decision.decision == "reject":
        return Standing(kind="rejected", release=release_id, why=f"{decision.approver}: {decision.reason}")
    if undone := [step.action.reason for step in steps(lake, release_id) if step.action.kind == "roll_back"]:
        return Standing(kind="rolled_back", release=release_id, why=undone[-1])
    if load_release(lake, release_id).expected_champion != live:
        return Standing(kind="replaced", release=release_id, why="its evidence compares with a champion that is no longer live")
    return Standing(kind="waiting", release=release_id, why="approved, not rolled out yet" if decision else "waits for approval")
