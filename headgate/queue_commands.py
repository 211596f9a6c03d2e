"""`headgate queue`: which texts annotators should label next, and giving them out."""

import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headgate.data_commands import clipped
from headgate.errors import BadInput
from headgate.settings import load_settings

if TYPE_CHECKING:
    from headgate.data.queue import Queue, QueuedText

app = typer.Typer(help="The texts that annotators should label next: look at them, give them out.", no_args_is_help=True)
Model = Annotated[str | None, typer.Option(help="table of headgate.toml; may be left out where there is one only", show_default=False)]


@app.command("list")
def list_queue(model: Model = None, rows: Annotated[int, typer.Option(min=0, help="texts shown")] = 10) -> None:
    """How many texts wait, by reason, and the first of them in the order in which they would be given out.

    \b
    headgate queue list
    headgate queue list --model replies --rows 50
    """
    name, queue = _queue(model)
    known = queue.rows()
    states = Counter(row.state for row in known)
    typer.echo(f"{name}: {', '.join(f'{states[state]} {state}' for state in ('open', 'exported', 'annotated'))}")
    for reason, count in Counter(row.reason for row in known if row.state == "open").most_common():
        typer.echo(f"{count:7d}  {reason}")
    settings = load_settings().model(name).queue
    for row in queue.next_batch(settings, max(rows, settings.batch), datetime.now(UTC))[:rows] if rows else ():
        typer.echo(_line(row))


@app.command()
def export(
    model: Model = None,
    form: Annotated[Literal["label-studio", "jsonl"], typer.Option("--format", help="tasks for Label Studio, or JSON Lines")] = "jsonl",
    limit: Annotated[int | None, typer.Option(min=1, help="texts", show_default="queue.batch of headgate.toml")] = None,
    out: Annotated[Path | None, typer.Option(help="a new file", dir_okay=False, show_default="standard output")] = None,
    again_after_days: Annotated[
        float | None, typer.Option(min=0, help="also what annotators have had for longer, since it may be lost", show_default=False)
    ] = None,
) -> None:
    """Give out the next texts, the most useful first, and mark them as given out once they are written.

    \b
    headgate queue export --format label-studio --out tasks.json
    headgate queue export --limit 20 > batch.jsonl
    """
    from headgate.data.queue_export import exported

    if out is not None and out.exists():
        raise BadInput(f"expected a new file for --out, found {out} there already; give another name")
    name, queue = _queue(model)
    settings, now = load_settings().model(name).queue, datetime.now(UTC)
    again = None if again_after_days is None else timedelta(days=again_after_days)
    batch = queue.next_batch(settings, limit or settings.batch, now, again)
    text = exported(batch, form, name, now)
    if out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        out.write_text(text, encoding="utf-8")
    queue.export(batch, now)
    typer.echo(f"{len(batch)} text(s) given out; what comes back lands like any annotation (`headgate ingest FILE`)", err=True)


@app.command()
def show(text_id: Annotated[str, typer.Argument(help="id of a text", metavar="ID", show_default=False)], model: Model = None) -> None:
    """Everything that is known of one text in the queue, as JSON.

    \b
    headgate queue show 3f9a1c20b7d45e66
    """
    _, queue = _queue(model)
    found = next((row for row in queue.rows() if row.id == text_id), None)
    if found is None:
        raise BadInput(f"expected the id of a text in the queue, found {text_id!r}; `headgate queue list` shows ids")
    typer.echo(json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False))


def model_named(model: str | None) -> str:
    """The model, or the only one there is; BadInput where there are several."""
    models = load_settings().models
    if model is None and len(models) != 1:
        raise BadInput(f"expected --model, since headgate.toml has {len(models)}: {', '.join(sorted(models)) or 'none'}; give one of them")
    name = model or next(iter(models))
    load_settings().model(name)
    return name


def _queue(model: str | None) -> "tuple[str, Queue]":
    from headgate.data.queue import Queue
    from headgate.lake import open_lake

    name = model_named(model)
    return name, Queue(open_lake(load_settings().lake), name)


def _line(row: "QueuedText") -> str:
    return f"{row.id}  {', '.join(row.reasons)}  {clipped(row.text)}"
