"""`headgate data`: what the data sets hold, what changed, and how to take a change back."""

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.errors import BadInput, NotFound
from headgate.quarantine_commands import app as quarantine_app
from headgate.settings import Settings, load_settings
from headgate.suspects_command import write_suspects

if TYPE_CHECKING:
    from headgate.data.history import MadeVersion, RowChange
    from headgate.data.retention import VacuumPlan
    from headgate.data.table import DatasetTable
    from headgate.release.holders import Holders

app = typer.Typer(
    help="Look at data sets: versions, labels, what changed, rows in quarantine; go back to an old version.", no_args_is_help=True
)
app.add_typer(quarantine_app, name="quarantine")
app.command("suspects")(write_suspects)

SHOWN_TEXT = 72
Model = Annotated[str | None, typer.Option(help="table of headgate.toml; may be left out where there is one only", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]


@app.command("list")
def list_versions(
    model: Annotated[str | None, typer.Argument(help="table of headgate.toml; all of them if left out", show_default=False)] = None,
) -> None:
    """Each model's data set with its newest version; of one model every version, with its rows by label and when it was made.

    \b
    headgate data list
    headgate data list replies
    """
    from headgate.data.history import versions_made

    settings = load_settings()
    if model is None:
        for name in sorted(settings.models):
            found = _table(settings, name).latest()
            state = f"version {found.version}, {found.rows} rows" if found else "no version yet: `headgate ingest FILES` makes one"
            typer.echo(f"{settings.model(name).dataset} (model {name}): {state}")
        return
    table = _table(settings, model)
    made = versions_made(table)
    for version in made:
        typer.echo(_version_line(version))
        typer.echo(f"    {', '.join(f'{label} {count}' for label, count in version.labels.items())}")
    if not made:
        typer.echo(f"{table.dataset}: no version yet: `headgate ingest FILES` makes one")


@app.command()
def diff(
    old: Annotated[int, typer.Argument(help="a data version", show_default=False)],
    new: Annotated[int, typer.Argument(help="another one", show_default=False)],
    model: Model = None,
    examples: Annotated[int, typer.Option(min=0, help="rows shown of each kind of change and label")] = 2,
) -> None:
    """The rows added, corrected and removed from one data version to another, by label, with examples.

    \b
    headgate data diff 3 4
    headgate data diff 0 12 --model replies --examples 5
    """
    from headgate.data.history import difference

    table = _table(load_settings(), model)
    changes = difference(table, old, new)
    counts = Counter((change.kind, change.label) for change in changes)
    totals = Counter(change.kind for change in changes)
    told = ", ".join(f"{totals[kind]} {kind}" for kind in ("added", "corrected", "removed"))
    typer.echo(f"{table.dataset}, version {old} -> {new}: {told}")
    for (kind, label), count in sorted(counts.items()):
        typer.echo(f"{kind:9} {count:7d}  {label}")
        for change in [one for one in changes if (one.kind, one.label) == (kind, label)][:examples]:
            typer.echo(f"    {_change_line(change)}")


@app.command()
def show(
    row_id: Annotated[str, typer.Argument(help="id of a row", show_default=False, metavar="ID")],
    history: Annotated[bool, typer.Option("--history", help="everything that it has been")] = False,
    model: Model = None,
) -> None:
    """One row as it is now; with --history each annotation that it ever had: label, annotator, time, and the version that it came in.

    \b
    headgate data show 3f9a1c20b7d45e66
    headgate data show 3f9a1c20b7d45e66 --history
    """
    from headgate.data.history import row_history

    found = row_history(_table(load_settings(), model), row_id)
    for past in found if history else found[-1:]:
        typer.echo(_history_line(past))
        if not past["removed"]:
            typer.echo(f"    {clipped(past['text'], SHOWN_TEXT if history else None)}")


@app.command()
def restore(
    version: Annotated[int, typer.Argument(help="the data version to go back to", show_default=False)],
    model: Model = None,
    yes: Yes = False,
) -> None:
    """Make a new data version with the content of an old one. History stays as it is: what is taken back can be restored in turn.

    \b
    headgate data restore 3
    headgate data restore 3 --model replies --yes
    """
    from headgate.data.history import difference

    table = _table(load_settings(), model)
    newest = table.latest()
    if newest is None:
        raise NotFound(f"data set {table.dataset}: no rows yet; ingest a file first")
    totals = Counter(change.kind for change in difference(table, newest.version, version))
    told = ", ".join(f"{totals[kind]} rows {kind}" for kind in ("added", "corrected", "removed"))
    typer.echo(f"{table.dataset}, version {newest.version} -> content of version {version}: {told}")
    if not yes and totals:
        typer.confirm("make this a new version?", abort=True)
    made = table.restore(version, newest)
    if made.version == newest:
        typer.echo(f"nothing to do: version {newest.version} holds that content already")
        return
    typer.echo(f"version {made.version.version} holds what version {version} holds: {made.version.rows} rows, digest {made.version.digest}")


@app.command()
def compact(model: Model = None) -> None:
    """Rewrite a data set's small files as few larger ones, so that it opens faster. No row and no data version changes; ingests may run.

    \b
    headgate data compact
    headgate data compact --model replies
    """
    from headgate.data import delta

    table = _table(load_settings(), model)
    files = delta.compact(table.lake, table.key)
    told = f"rewrote {files} small files" if files else "nothing to rewrite, or writers were busy: run it again later"
    typer.echo(f"{table.dataset}: {told}")


@app.command()
def vacuum(
    model: Model = None,
    version: Annotated[list[int] | None, typer.Option(help="give up these versions and no other", show_default=False)] = None,
    keep_days: Annotated[float, typer.Option(min=0, help="versions that were the newest within so many days are kept")] = 30.0,
    apply: Annotated[bool, typer.Option("--apply", help="remove the files; without it they are only told")] = False,
    registry: Annotated[
        str | None, typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow, whose registered models hold versions", show_default=False)
    ] = None,
    no_registry: Annotated[bool, typer.Option("--no-registry", help="there is no MLflow that could name a version")] = False,
) -> None:
    """Remove the files that only old versions need which no release and no registered model names. Tells what it would do, until --apply.

    The history of each row, `diff` and `list` stay whole. A version that is named is never given up: asked for one by --version,
    this refuses and says who holds it.

    \b
    headgate data vacuum --registry http://127.0.0.1:5000
    headgate data vacuum --model replies --version 3 --version 4 --registry http://127.0.0.1:5000 --apply
    """
    from headgate.data.retention import plan_vacuum, remove

    table = _table(load_settings(), model)
    plan = plan_vacuum(table, _held(table, registry, no_registry), datetime.now(UTC), keep_days, version or ())
    for fate in plan.fates:
        reason = f"kept: {'; '.join(fate.kept_because)}" if fate.kept_because else "given up"
        typer.echo(f"version {fate.data.version}: {reason}")
    typer.echo(_vacuum_line(plan, apply))
    if apply:
        remove(table.lake, plan)


def _held(table: "DatasetTable", registry: str | None, no_registry: bool) -> "Holders":
    """Everybody who holds a version; BadInput if it is not known whether registered models do."""
    from headgate.release.holders import held_by_models, held_by_releases, together

    if not registry and not no_registry:
        raise BadInput(
            "expected MLflow's address, since registered models hold versions too, found none; "
            "give --registry http://HOST:PORT (`headgate status` tells the local one), or --no-registry if there is none"
        )
    models = held_by_models(registry, table.dataset) if registry and not no_registry else {}
    return together(held_by_releases(table.lake, table.dataset), models)


def _vacuum_line(plan: "VacuumPlan", apply: bool) -> str:
    size = f"{len(plan.files)} files, {sum(plan.files.values()):,} bytes"
    if not plan.files:
        return "nothing to remove"
    return f"removing {size}" if apply else f"would remove {size}; add --apply to do it"


def _table(settings: Settings, model: str | None) -> "DatasetTable":
    """The data set of a model, or of the only one there is."""
    from headgate.data.table import DatasetTable
    from headgate.lake import open_lake

    if model is None and len(settings.models) != 1:
        known = ", ".join(sorted(settings.models)) or "none"
        raise BadInput(f"expected --model, since headgate.toml has {len(settings.models)}: {known}; give one of them")
    return DatasetTable(open_lake(settings.lake), settings.model(model or next(iter(settings.models))).dataset)


def _version_line(version: "MadeVersion") -> str:
    restored = "" if version.restored is None else f", restored from version {version.restored}"
    data = version.data
    return f"version {data.version}: {data.rows} rows, made {version.made_at:%Y-%m-%d %H:%M} UTC, digest {data.digest[:12]}{restored}"


def _change_line(change: "RowChange") -> str:
    """A changed row in one line: its id, how its label changed, its text."""
    before, after = change.before or {}, change.after or {}
    moved = f" (was {before['label']})" if before and after and before["label"] != after["label"] else ""
    return f"{change.id}{moved}: {clipped((after or before)['text'])}"


def _history_line(past: dict[str, Any]) -> str:
    from headgate.data.rows import EPOCH

    if past["removed"]:
        return f"version {past['version']}: removed"
    who = past["annotator"] or "somebody"
    when = "no time given" if past["annotated_at"] == EPOCH else f"{past['annotated_at']:%Y-%m-%d %H:%M} UTC"
    return f"version {past['version']}: {past['label']}, {past['source']} by {who}, {when}"


def clipped(text: str, limit: int | None = SHOWN_TEXT) -> str:
    """A text in one printable line, cut where it is longer than the limit."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if limit is None or len(line) <= limit else f"{line[: limit - 3]}..."
