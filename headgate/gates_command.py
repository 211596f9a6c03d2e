"""`headgate gates calibrate`: the gates themselves, measured."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from headgate.settings import load_settings

app = typer.Typer(help="Measure the gates: how often they stop good models and miss bad ones.", no_args_is_help=True)


@app.callback()
def gates() -> None:
    """Measure the gates: how often they stop good models and miss bad ones."""


@app.command()
def calibrate(
    model: Annotated[str, typer.Option(help="table of headgate.toml")] = "replies",
    seeds: Annotated[int, typer.Option(min=2, help="trainings that differ in their seed alone; each is done once and kept")] = 6,
    wanted_false_stops: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="share of equally good models that may be stopped by chance")
    ] = 0.05,
    trials: Annotated[int, typer.Option(min=20, help="trials with equally good models; half as many of each planted regression")] = 400,
    method: Annotated[
        str | None,
        typer.Option(help="fine-tune or linear-head, in place of the model's own: faster where rows are few", show_default=False),
    ] = None,
    load: Annotated[
        Path | None, typer.Option(help="folder of a finished load test, to calibrate the load gates on", exists=True, file_okay=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for tables and pictures", file_okay=False, show_default="HOME/calibration/MODEL")
    ] = None,
) -> None:
    """Train a few seeds, plant regressions in what they answer, and count how often each gate stops what; recommends margins.

    Writes calibration.md, calibration.json and rates.png. Trainings are kept in the folder and taken again, so that a repeated or
    stopped command goes on where it was.

    \b
    headgate gates calibrate --model replies
    headgate gates calibrate --model tickets --seeds 8 --wanted-false-stops 0.02 --out out/calibration
    """
    from headgate.evaluation.calibration import Plan
    from headgate.evaluation.calibration_run import calibrate_model

    settings = load_settings()
    folder = out or settings.home / "calibration" / model
    plan = Plan(equal_trials=trials, planted_trials=max(1, trials // 2), wanted_false_stops=wanted_false_stops)
    calibrate_model(settings, model, plan, seeds, folder, method=method, load=load, tell=_tell, progress=_progress)
    typer.echo((folder / "calibration.md").read_text(encoding="utf-8"))
    typer.echo(f"tables and picture: {folder}")


def _tell(line: str) -> None:
    typer.echo(line, err=True)


def _progress(done: int, total: int) -> None:
    """One line that is written over, or lines now and then where nobody watches."""
    if sys.stderr.isatty():
        typer.echo(f"\r{done:,} of {total:,} trials" + ("\n" if done == total else ""), err=True, nl=False)
    elif done == total or done * 10 // total != (done - 20) * 10 // total:
        typer.echo(f"{done:,} of {total:,} trials", err=True)
