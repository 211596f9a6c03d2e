"""`headgate why`: where one prediction came from, and whether it can be made again."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.errors import BadInput
from headgate.settings import load_settings

if TYPE_CHECKING:
    from headgate.monitoring.provenance import Places, Provenance, Traced
    from headgate.monitoring.replay import Replay


def why(
    prediction_id: Annotated[str, typer.Argument(help="field prediction_id of an answer", show_default=False)],
    replay: Annotated[bool, typer.Option("--replay", help="score the text again with the same bundle, and compare")] = False,
    text: Annotated[
        str | None, typer.Option(help="the text as it was sent, where the log has only its hash; - reads stdin", show_default=False)
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="a mail header of the message, 'Name: value'; may be repeated", show_default=False)
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="folder of the bundle, where this machine keeps none", exists=True, file_okay=False)
    ] = None,
    log_dir: Annotated[
        list[Path] | None, typer.Option(help="folder of a server's prediction log, beside those of the stack", exists=True, file_okay=False)
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="look only at this model's log in the lake; those of headgate.toml if left out")
    ] = None,
    registry: Annotated[
        str | None, typer.Option(help="MLflow's address: the bundle is fetched from there if it is not here", envvar="MLFLOW_TRACKING_URI")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Tell where a prediction came from: model, bundle, data, filters, approver, release; --replay makes it again.

    Reads the prediction logs of its day, here and in the lake, and the records in the lake; no server is asked. The exit status is 1
    where the records contradict one another or the replay answers something else.

    \b
    headgate why 3f9a1c22-01J0ZQ4Y8V3M7R5T2K9WBDXEHF
    headgate why 3f9a1c22-01J0ZQ4Y8V3M7R5T2K9WBDXEHF --replay --text - < message.txt
    """
    _check(replay, text, header)
    from headgate.lake import open_lake
    from headgate.monitoring.provenance import places_of

    settings = load_settings()
    places = places_of(open_lake(settings.lake), settings.home.absolute(), settings.models, model or (), log_dir or (), bundle)
    traced = _traced(places, prediction_id, registry)
    again = _replayed(traced, text, header or []) if replay else None
    lines = [_json(traced.provenance, again)] if as_json else [*told(traced.provenance), *(told_replay(again) if again else ())]
    typer.echo("\n".join(lines))
    if traced.provenance.faults or (again and not again.same):
        raise typer.Exit(1)


def _check(replay: bool, text: str | None, header: list[str] | None) -> None:
    faults = [f"--header: expected 'Name: value', found {told!r}" for told in header or [] if not told.partition(":")[0].strip(" ")]
    faults += [f"--header: expected 'Name: value', found {told!r}" for told in header or [] if ":" not in told]
    if not replay and (text is not None or header):
        faults.append("--text and --header are for a replay: add --replay")
    if faults:
        raise BadInput("; ".join(faults))


def _traced(places: "Places", prediction_id: str, registry: str | None) -> "Traced":
    """The prediction; its bundle is fetched from MLflow where that is named and this machine has none."""
    from headgate.monitoring.provenance import trace

    traced = trace(places, prediction_id)
    found = traced.provenance
    if traced.bundle or not registry or not (found.model and found.registered_version and found.bundle_digest):
        return traced
    import mlflow

    from headgate.release.registry import fetch_bundle

    mlflow.set_tracking_uri(registry)
    kept = places.home / "bundles" / found.bundle_digest
    kept.parent.mkdir(parents=True, exist_ok=True)
    return trace(places, prediction_id) if fetch_bundle(found.model, found.registered_version, kept) else traced


def _replayed(traced: "Traced", text: str | None, header: list[str]) -> "Replay":
    from headgate.monitoring.replay import replay

    given = sys.stdin.read() if text == "-" else text
    headers = {name.strip(): value.strip() for name, _, value in (told.partition(":") for told in header)}
    return replay(traced, given, headers or None)


def _json(found: "Provenance", again: "Replay | None") -> str:
    content = found.model_dump(mode="json") | ({"replay": again.model_dump(mode="json")} if again else {})
    return json.dumps(content, indent=2, ensure_ascii=False)


def told(found: "Provenance") -> Iterator[str]:
    """What is known, a line each."""
    score = "no score" if found.score is None else f"score {found.score:.4f}"
    yield f"prediction  {found.prediction_id}, {found.predicted_at:%Y-%m-%d %H:%M:%S}.{found.predicted_at.microsecond // 1000:03d} UTC"
    yield f"answer      {found.label or 'no label'}, {score}, {found.outcome}"
    yield f"filters     {f'{found.filter_stage} filter {found.reason}' if found.filter_stage else 'none fired'}"
    yield f"served      cohort {found.cohort}, {_how_fast(found)}"
    yield f"model       {found.model or 'not named'}"
    yield from _told_release(found)
    yield f"bundle      {found.bundle_digest or found.prediction_id[:8]}" + (f", verified in {found.bundle}" if found.bundle else "")
    yield from (f"wheel       {name} sha256 {digest}" for name, digest in found.wheels.items())
    yield f"image       {found.image_digest or 'none: the target runs the bundle itself'}"
    yield f"commit      {found.commit or 'not known'}"
    yield "data        " + ("{dataset}@{version}, digest {digest}".format(**found.data_version) if found.data_version else "not known")
    yield f"found in    {found.found_in}; text kept: {found.text_kept}"
    yield from (f"not known   {line}" for line in found.unknown)
    yield from (f"FAULT       {line}" for line in found.faults)


def _how_fast(found: "Provenance") -> str:
    if found.latency_ms is None:
        return "how fast is not known"
    return f"{'from the cache' if found.cached else 'scored'} in {found.latency_ms:.1f} ms"


def _told_release(found: "Provenance") -> Iterator[str]:
    yield f"release     {found.release or 'none'}" + (f", tests {found.verdict}, started by {found.started_by}" if found.verdict else "")
    if said := found.approval:
        signed = f", signed by {', '.join(said.signed_by)}" if said.signed_by else ""
        yield f"approval    {said.decision} by {said.approver} on {said.decided_at:%Y-%m-%d %H:%M} UTC{signed}: {said.reason}"
    if found.rollout_begun_at:
        yield f"rollout     begun on {found.rollout_begun_at:%Y-%m-%d %H:%M} UTC"
    for place in found.live:
        yield f"champion    in {place.environment} " + (f"since {place.since:%Y-%m-%d %H:%M} UTC" if place.since else "before, not now")


def told_replay(again: "Replay") -> Iterator[str]:
    """How the answer of today compares."""
    score = "no score" if again.score is None else f"score {again.score:.4f}"
    given = "the given text" if again.checked else "the given text, which the log cannot check"
    source = "the logged text" if again.text_from == "log" else given
    verdict = "the same" if again.same else "NOT the same"
    yield f"replay      {verdict}: {again.label or 'no label'}, {score}, {again.outcome}, from {source}"
    yield from (f"differs     {line}" for line in again.differences)
