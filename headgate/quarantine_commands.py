"""`headgate data quarantine`: the rows that were refused, and what becomes of them."""

from datetime import UTC, datetime
from getpass import getuser
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup
from typing_extensions import override

from headgate.errors import BadSettings, NotFound
from headgate.settings import ModelSettings, load_settings, settings_file

if TYPE_CHECKING:
    from typer._click.core import Context

    from headgate.data.quarantine_decisions import Decision
    from headgate.lake import Lake


class _ListByDefault(TyperGroup):
    """`quarantine NAME` is `quarantine list NAME`, as it was before there was anything else to do."""

    @override
    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="The rows that were refused: list them, fix one, or release it to try again.", no_args_is_help=True, cls=_ListByDefault
)
RefusedId = Annotated[str, typer.Argument(help="of a refused row, as `list` shows it", show_default=False, metavar="ID")]
Dataset = Annotated[str | None, typer.Option(help="data set; the one that has the row if left out", show_default=False)]
Who = Annotated[str, typer.Option("--as", help="who decides", show_default="you")]
Merge = Annotated[bool, typer.Option("--merge", help="ingest at once; else the next ingest_annotations does, which sets off training")]


@app.command("list")
def list_refused(dataset: Annotated[str, typer.Argument(help="name of the data set", show_default=False)]) -> None:
    """The refused rows that nobody decided about, each with its id, file, line and reason.

    \b
    headgate data quarantine list replies
    """
    from headgate.data.quarantine import with_ids
    from headgate.lake import open_lake

    settings = load_settings()
    rows = with_ids(open_lake(settings.lake), dataset).to_dict("records")
    known = sorted({model.dataset for model in settings.models.values()})
    if not rows and dataset not in known:
        raise BadSettings(f"no model of {settings_file()} reads the data set {dataset!r}; known data sets: {', '.join(known) or 'none'}")
    for row in rows:
        typer.echo(f"{row['id']}  {row['file']}, line {row['line']}: {row['reason']}")


@app.command()
def fix(
    refused: RefusedId,
    label: Annotated[str | None, typer.Option(help="the right label", show_default=False)] = None,
    text: Annotated[str | None, typer.Option(help="the right text", show_default=False)] = None,
    dataset: Dataset = None,
    who: Who = "",
    merge: Merge = False,
) -> None:
    """Land a refused row with another label or text, or both, as a correction. Everything else of the row stays.

    \b
    headgate data quarantine fix 3f9a1c20b7d4-17 --label objection/budget
    headgate data quarantine fix 3f9a1c20b7d4-18 --label other --text "who is this?" --merge
    """
    from headgate.data.quarantine_decisions import fix as fix_row

    lake, name, settings = _place(refused, dataset)
    changed = {field: value for field, value in (("label", label), ("text", text)) if value is not None}
    _finish(lake, name, settings, fix_row(lake, name, refused, changed, who or getuser(), datetime.now(UTC), _labels(settings)), merge)


@app.command()
def release(refused: RefusedId, dataset: Dataset = None, who: Who = "", merge: Merge = False) -> None:
    """Land a refused row again as it is, for example since headgate.toml knows its label now.

    \b
    headgate data quarantine release 3f9a1c20b7d4-17
    """
    from headgate.data.quarantine_decisions import release as release_row

    lake, name, settings = _place(refused, dataset)
    _finish(lake, name, settings, release_row(lake, name, refused, who or getuser(), datetime.now(UTC), _labels(settings)), merge)


def _place(refused: str, dataset: str | None) -> "tuple[Lake, str, ModelSettings | None]":
    """The lake, the data set that has the row, and the settings of its model."""
    from headgate.data.quarantine import decided, with_ids
    from headgate.lake import open_lake

    settings = load_settings()
    lake = open_lake(settings.lake)
    models = {model.dataset: model for model in settings.models.values()}
    if dataset is not None:
        return lake, dataset, models.get(dataset)
    for name in sorted(models):
        if refused in decided(lake, name) or refused in set(with_ids(lake, name)["id"]):
            return lake, name, models[name]
    known = ", ".join(sorted(models)) or "no data set"
    raise NotFound(f"expected a refused row {refused!r}, found none in {known}; `headgate data quarantine list DATASET` shows ids")


def _labels(settings: ModelSettings | None) -> tuple[str, ...]:
    return settings.labels if settings else ()


def _finish(lake: "Lake", dataset: str, settings: ModelSettings | None, decision: "Decision", merge: bool) -> None:
    """Say what was decided, and ingest if that is wanted."""
    typer.echo(f"{decision.id} left the quarantine: row {decision.row.id} landed with the label {decision.row.label}")
    if not merge:
        typer.echo("the next ingest merges it")
        return
    from headgate.data.ingest import ingest

    done = ingest(lake, dataset, _labels(settings), settings.conflicts.policy if settings else "latest")
    found = f"version {done.version.version}, {done.version.rows} rows" if done.version else "no version"
    typer.echo(f"{dataset}: {found} ({done.added} added, {done.corrected} corrected, {done.quarantined} quarantined)")
