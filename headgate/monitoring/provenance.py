"""Where one prediction came from: its log line, the bundle that made it, the release, its approval, and where that is live.

A prediction id is `<first 8 of bundle digest>-<ulid>`: it tells the bundle and the time, and so the day whose logs are read.
What cannot be told is listed with the reason; what contradicts itself is a fault.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from headgate.errors import BadBundle, BadInput, NotFound
from headgate.lake import Lake
from headgate.model.bundle import Bundle, open_bundle
from headgate.monitoring.local_log import Looked, find_here
from headgate.monitoring.prediction_log import find_lines, predicted_at
from headgate.record import Record
from headgate.release.approval import decision_of
from headgate.release.binding import use_of
from headgate.release.champion import champion
from headgate.release.record import Release, folder, load_release, release_ids
from headgate.serving.identifiers import is_prediction_id

STAGES = {"skipped": "pre-score", "abstained": "post-score"}


class Live(Record):
    """That a release is, or was, champion somewhere."""

    environment: str
    now: bool
    since: datetime | None = None


class Approved(Record):
    """Who let a release out, when and why."""

    approver: str
    reason: str
    decision: Literal["approve", "reject"]
    decided_at: datetime
    signed_by: tuple[str, ...] = ()


class Provenance(Record):
    """All that is known about one prediction; None where it is not, and then `unknown` says why."""

    prediction_id: str
    predicted_at: datetime
    found_in: str
    model: str | None
    release: str | None
    cohort: str | None
    label: str | None
    score: float | None
    outcome: str
    reason: str | None
    filter_stage: Literal["pre-score", "post-score"] | None
    cached: bool | None
    latency_ms: float | None
    traceparent: str | None
    text_kept: Literal["full", "hash", "none"]
    bundle_digest: str | None
    bundle: str | None
    wheels: dict[str, str]
    filters: dict[str, Any] | None
    commit: str | None
    data_version: dict[str, Any] | None
    image_digest: str | None
    evidence_digest: str | None
    registered_version: str | None
    started_by: str | None
    verdict: str | None
    approval: Approved | None
    rollout_begun_at: datetime | None
    live: tuple[Live, ...]
    unknown: tuple[str, ...]
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Traced:
    """A prediction with what a replay needs: its log line, and its bundle where that is at hand."""

    provenance: Provenance
    line: dict[str, Any]
    bundle: Bundle | None


@dataclass(frozen=True)
class Places:
    """Where predictions and bundles are looked for."""

    lake: Lake
    home: Path
    models: tuple[str, ...]
    log_dirs: tuple[Path, ...] = ()
    bundle: Path | None = None


def trace(places: Places, prediction_id: str) -> Traced:
    """Everything about one prediction; BadInput for what is no id, NotFound where no log has it, BadBundle for a wrong --bundle."""
    if not is_prediction_id(prediction_id):
        raise BadInput(
            f"expected a prediction id, such as 3f9a1c22-01J0ZQ4Y8V3M7R5T2K9WBDXEHF, found {prediction_id!r}; "
            "it is the field prediction_id of an answer"
        )
    line = find_line(places, prediction_id)
    release = _release(places.lake, line.get("release"))
    unknown: list[str] = []
    bundle = _bundle(places, prediction_id, release, unknown)
    return Traced(_told(places.lake, prediction_id, line, release, bundle, unknown), line, bundle)


def find_line(places: Places, prediction_id: str) -> dict[str, Any]:
    """The log line of a prediction: first the logs of this machine, then those in the lake; NotFound says what was looked through."""
    looked = find_here(places.home, places.log_dirs, prediction_id)
    if looked.line:
        return looked.line
    for model in places.models:
        if found := find_lines(places.lake, model, {prediction_id}):
            return found[prediction_id]
    raise NotFound(_not_found(places, prediction_id, looked))


def _not_found(places: Places, prediction_id: str, looked: Looked) -> str:
    at, start = predicted_at(prediction_id), prediction_id[:8]
    parts = {model: len(places.lake.keys(f"predictions/{model}/date={at:%Y-%m-%d}")) for model in places.models}
    in_lake = ", ".join(f"{count} part(s) of {model}" for model, count in parts.items()) or "nothing, since no model is named"
    known = [f"{release.id[:12]} of {release.model}" for release in _releases_of(places.lake, start)]
    made = f"that of release {', '.join(known)}" if known else "which no release in the lake has"
    return (
        f"prediction {prediction_id} is in no log. By its id it was made on {at:%Y-%m-%d %H:%M:%S} UTC by bundle {start}, {made}. "
        f"Looked through {looked.told()}, and in {places.lake.join('predictions')} for {at:%Y-%m-%d}: {in_lake}. "
        "If it was answered on another machine, run `headgate ship-log --log-dir DIR --to LAKE --once` there; for a server started by hand "
        "name its folder with --log-dir DIR, for a model that headgate.toml does not have --model NAME. "
        "A server without --log-dir keeps no log."
    )


def _release(lake: Lake, name: str | None) -> Release | None:
    """The record of a release, where there is one."""
    return load_release(lake, name) if name and lake.get(f"{folder(name)}/release.json") else None


def _releases_of(lake: Lake, start: str) -> list[Release]:
    return [release for name in release_ids(lake) if (release := load_release(lake, name)).bundle_digest.startswith(start)]


def _bundle(places: Places, prediction_id: str, release: Release | None, unknown: list[str]) -> Bundle | None:
    """The bundle, verified: the folder that was given, or the one that this machine keeps."""
    start = prediction_id[:8]
    if places.bundle:
        found = open_bundle(places.bundle)
        if not found.digest.startswith(start):
            raise BadBundle(f"prediction {prediction_id} was made by bundle {start}, found bundle {found.digest[:8]} in {places.bundle}")
        return found
    kept = places.home / "bundles"
    for folder_ in sorted(kept.glob(f"{release.bundle_digest if release else f'{start}*'}")):
        try:
            return open_bundle(folder_)
        except BadBundle as fault:
            unknown.append(f"bundle: {fault}")
            return None
    unknown.append(f"bundle {start}: not in {kept}; name its folder with --bundle DIR, or MLflow's address with --registry URI")
    return None


def _told(
    lake: Lake, prediction_id: str, line: dict[str, Any], release: Release | None, bundle: Bundle | None, unknown: list[str]
) -> Provenance:
    decision = decision_of(lake, release.id) if release else None
    use = use_of(lake, release.id) if release else None
    if release is None:
        unknown.append(_no_release(lake, prediction_id, line.get("release")))
    elif decision is None:
        unknown.append(f"approval: nobody decided about release {release.id[:12]} (yet); see `headgate status`")
    made_from = bundle.provenance if bundle else {}
    digest = release.bundle_digest if release else bundle.digest if bundle else None
    return Provenance(
        prediction_id=prediction_id,
        predicted_at=predicted_at(prediction_id),
        found_in=str(line["_origin"]),
        filter_stage=STAGES.get(line["outcome"]),
        text_kept="full" if "text" in line else "hash" if "hash" in line else "none",
        bundle_digest=digest,
        bundle=str(bundle.path) if bundle else None,
        wheels=wheels_of(bundle) if bundle else {},
        filters=dict(bundle.read_json("filters.json")) if bundle else None,
        commit=release.commit if release else made_from.get("commit"),
        data_version=release.data_version.model_dump() if release else made_from.get("data_version"),
        image_digest=release.image_digest if release else None,
        evidence_digest=release.evidence_digest if release else None,
        registered_version=release.registered_version if release else None,
        started_by=release.started_by if release else None,
        verdict=release.verdict if release else None,
        approval=Approved(**{name: getattr(decision, name) for name in Approved.model_fields}) if decision else None,
        rollout_begun_at=use.begun_at if use else None,
        live=live_of(lake, release) if release else (),
        unknown=tuple(unknown),
        faults=tuple(_faults(prediction_id, line, release, bundle)),
        **{name: line.get(name) for name in _OF_LINE},
    )


_OF_LINE = ("model", "release", "cohort", "label", "score", "outcome", "reason", "cached", "latency_ms", "traceparent")


def wheels_of(bundle: Bundle) -> dict[str, str]:
    """The sha256 of each wheel that a bundle carries."""
    files = bundle.manifest["files"]
    return {name.removeprefix("wheels/"): digest for name, digest in sorted(files.items()) if name.startswith("wheels/")}


def live_of(lake: Lake, release: Release) -> tuple[Live, ...]:
    """Where a release is champion now, and where it was before."""
    environments = [Path(key).stem for key in lake.keys(f"champions/{release.model}")]
    found = [(name, champion(lake, release.model, name)) for name in environments]
    return tuple(
        Live(environment=name, now=state.release == release.id, since=state.since if state.release == release.id else None)
        for name, state in found
        if state and release.id in (state.release, *state.previous)
    )


def _no_release(lake: Lake, prediction_id: str, named: str | None) -> str:
    """Why nothing is known of a release, and which ones have the same bundle."""
    same = [release.id[:12] for release in _releases_of(lake, prediction_id[:8])]
    found = f"; the same bundle is that of {', '.join(same)}" if same else ""
    served = "it was served by hand or for a test" if named else "the server was told no release"
    return f"release: expected the record of {named or 'a release'} in {lake.join('releases')}, found none: {served}{found}"


def _faults(prediction_id: str, line: dict[str, Any], release: Release | None, bundle: Bundle | None) -> list[str]:
    """What contradicts itself in the records."""
    found = []
    start = prediction_id[:8]
    if release and not release.bundle_digest.startswith(start):
        found.append(f"release {release.id[:12]} has bundle {release.bundle_digest[:8]}, but bundle {start} made the prediction")
    if release and line.get("model") not in (None, release.model):
        found.append(f"release {release.id[:12]} is of model {release.model}, but the log names {line['model']}")
    if release and bundle:
        made_from = bundle.provenance
        told = {"commit": release.commit, "data_version": release.data_version.model_dump()}
        found += [
            f"{name}: the release names {mine}, the bundle {made_from[name]}"
            for name, mine in told.items()
            if made_from.get(name) is not None and not _same(mine, made_from[name])
        ]
    return found


def _same(mine: Any, other: Any) -> bool:
    """Equal, as far as both tell: older bundles name fewer fields of a data version."""
    if isinstance(mine, dict) and isinstance(other, dict):
        return all(mine[name] == other[name] for name in mine.keys() & other.keys())
    return bool(mine == other)


def places_of(
    lake: Lake, home: Path, known: Collection[str], named: Sequence[str], log_dirs: Sequence[Path], bundle: Path | None
) -> Places:
    """Where to look: the models that were named, else all that are known."""
    return Places(lake, home, tuple(named) or tuple(known), tuple(log_dirs), bundle)
