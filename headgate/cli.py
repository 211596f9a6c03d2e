"""The wheel's own commands: train, wrap, test, serve, ship-log, why, data, gates. A checkout adds those of its room `stack`.

Nothing heavy is imported before a command needs it, so that `headgate serve` starts fast.
"""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.models import OptionInfo

from headgate.data_commands import app as data_app
from headgate.errors import BadSettings, HeadgateError
from headgate.feedback_commands import app as feedback_app
from headgate.gates_command import app as gates_app
from headgate.queue_commands import app as queue_app
from headgate.settings import Train
from headgate.signing_commands import sign, verify
from headgate.why_command import why
from headgate.wrap_command import wrap

COMMANDS = "headgate.commands"
DEFAULTS = Train()

app = typer.Typer(
    name="headgate",
    help="Gated continuous delivery of transformer text classifiers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")
app.add_typer(gates_app, name="gates")
app.add_typer(feedback_app, name="feedback")
app.add_typer(queue_app, name="queue")
app.command()(wrap)
app.command()(sign)
app.command()(verify)
app.command()(why)

Rows = typer.Option(help="JSON Lines, CSV or Parquet with at least text and label", exists=True, dir_okay=False, show_default=False)
BundleFolder = typer.Option(help="folder that `headgate wrap` wrote", exists=True, file_okay=False, show_default=False)


def _setting(name: str, metavar: str | None = None) -> OptionInfo:
    """An option for one parameter of the training, described where the settings describe it."""
    found: OptionInfo = typer.Option(help=Train.model_fields[name].description, metavar=metavar)
    return found


def main_of_process() -> None:
    """Run the command line as all that this process does, which ends with it."""
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            _leave(end.code or 0)
        raise


def main() -> None:
    """Run the command line; an error of ours is one message and exit status 1, never a traceback."""
    _add_commands_of_the_checkout(sys.argv[1:])
    try:
        app(prog_name="headgate")
    except (HeadgateError, OSError) as fault:
        sys.stderr.write(f"headgate: {fault}\n")
        sys.exit(1)
    except ModuleNotFoundError as fault:
        if (fault.name or "").startswith("headgate"):
            raise
        sys.stderr.write(f"headgate: this command needs the package {fault.name}; install headgate with its extra `train`\n")
        sys.exit(1)


def _leave(status: int) -> None:
    """End at once where tables were touched.

    A thread of delta-rs that lets go of a Python object while the interpreter takes itself apart aborts the process (status 134, seen
    in one of ten short commands), long after the work is done.
    """
    if "deltalake" not in sys.modules:
        return
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _add_commands_of_the_checkout(arguments: list[str]) -> None:
    """Commands of other rooms, unless one of our own is asked for or those rooms are not here."""
    own = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback} | {"data", "gates"}
    if arguments and arguments[0] in own:
        return
    for entry in entry_points(group=COMMANDS):
        try:
            app.add_typer(entry.load())
        except ModuleNotFoundError as fault:
            if fault.name not in (entry.module, entry.module.split(".")[0]):
                raise


@app.command()
def train(
    train: Annotated[Path, Rows],
    out: Annotated[Path, typer.Option(help="folder for the classifier and metrics.json", file_okay=False, show_default=False)],
    test: Annotated[
        Path | None, typer.Option(help="rows to measure on; a held-out part of --train if left out", exists=True, dir_okay=False)
    ] = None,
    base_model: Annotated[str, _setting("base_model")] = DEFAULTS.base_model,
    method: Annotated[Literal["auto", "fine-tune", "linear-head"], _setting("method")] = DEFAULTS.method,
    epochs: Annotated[str, _setting("epochs", metavar="<auto|int>")] = str(DEFAULTS.epochs or "auto"),
    batch_size: Annotated[int, _setting("batch_size")] = DEFAULTS.batch_size,
    learning_rate: Annotated[float, _setting("learning_rate")] = DEFAULTS.learning_rate,
    warm_up_share: Annotated[float, _setting("warm_up_share")] = DEFAULTS.warm_up_share,
    weight_decay: Annotated[float, _setting("weight_decay")] = DEFAULTS.weight_decay,
    label_smoothing: Annotated[float, _setting("label_smoothing")] = DEFAULTS.label_smoothing,
    dropout: Annotated[float, _setting("dropout")] = DEFAULTS.dropout,
    frozen_embeddings: Annotated[bool, _setting("frozen_embeddings")] = DEFAULTS.frozen_embeddings,
    class_weight: Annotated[Literal["auto", "balanced", "none"], _setting("class_weight")] = DEFAULTS.class_weight or "none",
    label_names: Annotated[Literal["auto", "on", "off"], _setting("label_names")] = DEFAULTS.label_names,
    lexical: Annotated[Literal["auto", "on", "off"], _setting("lexical")] = DEFAULTS.lexical,
    validation_share: Annotated[float, _setting("validation_share")] = DEFAULTS.validation_share,
    max_length: Annotated[int, _setting("max_length")] = DEFAULTS.max_length,
    seed: Annotated[int, _setting("seed")] = DEFAULTS.seed,
    current_reply: Annotated[
        bool, typer.Option("--current-reply/--whole-text", help="drop quoted history and signatures, as serving will")
    ] = True,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            help="folder where a killed training goes on from when the same command runs again; removed at the end",
            show_default="OUT.checkpoints",
            file_okay=False,
        ),
    ] = None,
    checkpoint_every_steps: Annotated[int, typer.Option(min=0, help="steps between two checkpoints; 0: none are kept")] = 100,
) -> None:
    """Train a classifier on texts and labels, and measure it beside a linear model.

    The defaults are one recipe for every data set: below a few hundred rows it tries fine-tuning and simpler methods by
    cross-validation, and the model card says what was chosen and why. Any value given here is kept.

    \b
    headgate train --train examples/replies/day0.jsonl --test examples/replies/regression.jsonl --out out/classifier
    headgate train --train tickets.csv --out out/tickets --epochs 5 --class-weight balanced --whole-text
    """
    given = locals()
    from headgate.model.classifier import TransformerClassifier
    from headgate.model.estimator_input import parameters_of
    from headgate.model.filters import FilterConfig
    from headgate.model.training_run import checkpoints_beside, log_to_mlflow, train_file

    options = {name: given[name] for name in Train.model_fields} | {"epochs": _epochs(epochs)}
    classifier = TransformerClassifier(**parameters_of(options).model_dump())
    kept = checkpoints_beside(out, checkpoints, checkpoint_every_steps, _warn)
    metrics = train_file(train, test, out, classifier, FilterConfig(current_reply=current_reply), warn=_warn, checkpoints=kept)
    log_to_mlflow(classifier, metrics, _warn)
    for line in (*_told(classifier.choice_, classifier.validation_), *_summary(metrics, out)):
        typer.echo(line)


@app.command()
def test(
    bundle: Annotated[Path, BundleFolder],
    data: Annotated[Path, Rows],
    out: Annotated[Path, typer.Option(help="folder for report.json and the pictures", file_okay=False, show_default=False)],
) -> None:
    """Measure a bundle on rows it was not trained on: quality overall and by label, coverage, confusion.

    \b
    headgate test --bundle out/bundle --data examples/replies/regression.jsonl --out out/report
    """
    from headgate.evaluation.offline import test_bundle

    report = test_bundle(bundle, data, out)
    found = report.candidate
    typer.echo(f"accuracy {found.accuracy:.4f}, macro-F1 {found.macro_f1:.4f}, coverage {found.coverage:.4f} on {found.rows} rows")
    typer.echo(f"no bounds are applied by hand, they are the release's; see {out / 'report.json'}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def serve(context: typer.Context) -> None:
    """Answer POST /invocations with a bundle, until SIGTERM: `headgate serve --help`."""
    # Listed here for `headgate --help`; headgate/__main__.py hands it over before this module is imported.
    from headgate.serving.__main__ import main as serve_bundle

    raise typer.Exit(serve_bundle(context.args, program="headgate serve", name="headgate"))


@app.command("check-lake")
def check_lake(
    lake: Annotated[str | None, typer.Option(help="a folder or s3://bucket/prefix; left out: headgate.toml's", show_default=False)] = None,
) -> None:
    """Try out whether the lake's store keeps what Headgate needs of it. Writes a few small objects under lake-check/, which stay.

    \b
    headgate check-lake
    headgate check-lake --lake s3://company-models/headgate
    """
    from headgate.lake import open_lake
    from headgate.lake_check import tried_out
    from headgate.settings import load_settings

    uri, broken = lake or load_settings().lake, 0
    for promise, found in tried_out(open_lake(uri)):
        broken += bool(found)
        typer.echo(f"NOT KEPT  {promise}: {found}" if found else f"kept      {promise}")
    if broken:
        raise BadSettings(f"{uri}: expected a store that keeps every promise, found {broken} broken; do not use it as a lake: docs/s3.md")


@app.command("ship-log")
def ship_log(
    log_dir: Annotated[Path, typer.Option(help="folder that `headgate serve --log-dir` writes", file_okay=False, show_default=False)],
    to: Annotated[str, typer.Option(help="lake: a folder or s3://bucket/prefix", show_default=False)],
    every_s: Annotated[float, typer.Option(min=0.1, help="seconds between two rounds")] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="ship what is there, then end")] = False,
    keep_days: Annotated[float, typer.Option(min=0, help="shipped files that are older are deleted here")] = 7.0,
) -> None:
    """Ship the prediction log and the corrections to the lake, until SIGTERM; a line is shipped once, however often this is killed.

    \b
    headgate ship-log --log-dir /var/log/headgate --to s3://company-models/headgate
    """
    from headgate.lake import open_lake
    from headgate.monitoring.shipping import check_folder, ship_again_and_again, ship_once

    check_folder(log_dir)
    if once:
        typer.echo(ship_once(open_lake(to), log_dir, keep_days))
    else:
        ship_again_and_again(open_lake(to), log_dir, keep_days, every_s, typer.echo)


def _epochs(given: str) -> int | str:
    """A number, where one is given; anything else but `auto` is refused with the other parameters."""
    return int(given) if given.isascii() and given.isdigit() else given


def _told(choice: dict[str, Any] | None, validation: dict[str, Any] | None) -> Iterator[str]:
    """What the recipe chose, and how far the probabilities can be trusted."""
    if choice:
        yield f"chosen: {choice['method']}, class weights {choice['class_weight'] or 'none'}. {choice['why']}"
    if validation:
        errors = f"ECE {validation['ece_before']:.3f} before, {validation['ece_after']:.3f} after"
        yield f"calibrated on {validation['rows']} rows that were not trained on: {errors}"


def _summary(metrics: dict[str, Any], out: Path) -> Iterator[str]:
    speed = f"{metrics['train_seconds']:.1f} s, {metrics['examples_per_second']:.1f} examples/s"
    yield f"{metrics['train_rows']} rows in {speed}; saved in {out}"
    if metrics["accuracy"] is None:
        yield "not measured: the file is too small to hold rows out; give rows with --test"
        return
    floor = metrics["linear_floor"]
    yield f"on {metrics['test_rows']} rows ({metrics['tested_on']}):"
    yield f"  classifier    accuracy {metrics['accuracy']:.4f}  macro-F1 {metrics['macro_f1']:.4f}"
    yield f"  linear floor  accuracy {floor['accuracy']:.4f}  macro-F1 {floor['macro_f1']:.4f}"
    if metrics["macro_f1"] <= floor["macro_f1"] < 1:
        yield "  the linear model is as good: the gate beats_linear_floor would stop this classifier"


def _warn(line: str) -> None:
    typer.echo(line, err=True)
