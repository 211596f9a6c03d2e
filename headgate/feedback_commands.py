"""`headgate feedback`: what became of the corrections by users."""

from collections import Counter
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.errors import BadInput, NotFound
from headgate.queue_commands import Model, model_named
from headgate.settings import load_settings

if TYPE_CHECKING:
    from headgate.lake import Lake
    from headgate.monitoring.feedback_ledger import Entry

app = typer.Typer(help="Corrections by users: what became of them, those that are held, files of your own.", no_args_is_help=True)
STATES = "landed, held, waiting, refused or superseded"


@app.command("list")
def list_corrections(
    model: Model = None,
    state: Annotated[str, typer.Option(help=f"only these: {STATES}", show_default="all, counted")] = "",
    rows: Annotated[int, typer.Option(min=0, help="corrections shown, the newest")] = 20,
) -> None:
    """How many corrections landed, are held, wait or were refused, and why; with --state each of them.

    \b
    headgate feedback list
    headgate feedback list --state held
    """
    from headgate.monitoring.feedback_ledger import Ledger

    name, lake = _place(model)
    known = [entry for entry in Ledger(lake, name).all() if state in ("", entry.state)]
    for (kind, reason), count in sorted(Counter((entry.state, entry.reason) for entry in known).items()):
        typer.echo(f"{count:7d}  {kind}{f': {reason}' if reason else ''}")
    for entry in known[-rows:] if state and rows else ():
        typer.echo(_line(entry))
    if not known:
        typer.echo(f"{name}: no corrections{f' {state}' if state else ''} yet")


@app.command()
def release(
    keys: Annotated[list[str] | None, typer.Argument(help="of held corrections, or their beginnings", show_default=False)] = None,
    annotator: Annotated[str | None, typer.Option(help="all held corrections of this user", show_default=False)] = None,
    model: Model = None,
    who: Annotated[str, typer.Option("--as", help="who decides", show_default="you")] = "",
) -> None:
    """Land corrections that were held because their user sent more than the limit of a day.

    \b
    headgate feedback release 3f9a1c20b7d4
    headgate feedback release --annotator ada@example.com
    """
    from headgate.monitoring.feedback import release_held
    from headgate.monitoring.feedback_ledger import Ledger

    name, lake = _place(model)
    chosen = list(keys or ())
    if annotator is not None:
        chosen += [entry.key for entry in Ledger(lake, name).open() if entry.state == "held" and entry.annotator == annotator]
    if not chosen:
        raise NotFound("expected held corrections, found none; name their keys, or --annotator: `headgate feedback list --state held`")
    files = release_held(lake, name, load_settings().model(name).dataset, chosen, who or getuser(), datetime.now(UTC))
    typer.echo(f"landed in {', '.join(files)}; the next ingest merges them")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="JSON Lines or CSV with prediction_id and label", exists=True, dir_okay=False)],
    model: Model = None,
) -> None:
    """Put a file of corrections where the next collection finds it; the same file counts once.

    \b
    headgate feedback add crm-corrections.csv
    """
    import hashlib

    name, lake = _place(model)
    data = file.read_bytes()
    key = f"corrections/{name}/{hashlib.sha256(data).hexdigest()[:16]}-{file.name}"
    if not data.strip():
        raise BadInput(f"expected corrections in {file}, found an empty file")
    typer.echo(f"{key}{'' if lake.put_if_absent(key, data) else ', as before'}; the next `watch_production` reads it")


@app.command()
def collect(model: Model = None) -> None:
    """Land the corrections that came, and fill the queue, now; `watch_production` does the same on its schedule.

    \b
    headgate feedback collect
    """
    from headgate.monitoring.feedback import collect as collect_corrections
    from headgate.monitoring.feedback_report import lines
    from headgate.monitoring.queueing import fill

    name, lake = _place(model)
    settings, now = load_settings().model(name), datetime.now(UTC)
    for line in lines(collect_corrections(lake, name, settings, now), fill(lake, name, settings, now)):
        typer.echo(line)


def _place(model: str | None) -> "tuple[str, Lake]":
    from headgate.lake import open_lake

    return model_named(model), open_lake(load_settings().lake)


def _line(entry: "Entry") -> str:
    said = f"{entry.annotator or 'unnamed'}: {entry.label or '?'} for {entry.prediction_id or entry.origin}"
    return f"{entry.key[:12]}  {entry.ts:%Y-%m-%d %H:%M}  {said}  {entry.reason}"
