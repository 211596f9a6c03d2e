"""`headgate gates calibrate` as one function: rows, seeds, trials, history, report."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

from headgate.errors import BadInput
from headgate.evaluation import calibration_text
from headgate.evaluation.calibration import Plan, Progress, calibrate, untold
from headgate.evaluation.calibration_pictures import calibration_figure
from headgate.evaluation.calibration_report import Calibration
from headgate.evaluation.calibration_rows import seed_rows
from headgate.evaluation.load_calibrating import calibrate_load
from headgate.evaluation.pictures import png
from headgate.evaluation.trained_seeds import answers_of_seeds
from headgate.lake import open_lake
from headgate.release.decisions import Agreement, agreement, history
from headgate.settings import Settings, Train

METHODS = ("auto", "fine-tune", "linear-head")


def calibrate_model(
    settings: Settings,
    name: str,
    plan: Plan,
    seeds: int,
    out: Path,
    method: str | None = None,
    load: Path | None = None,
    tell: Callable[[str], None] = untold,
    progress: Progress = untold,
) -> Calibration:
    """Calibrate one model's gates and write the report under `out`; trainings are kept in `out/seeds`."""
    model, lake = settings.model(name), open_lake(settings.lake)
    rows = seed_rows(lake, name, model)
    tell(f"{len(rows.texts)} training rows, {len(rows.frozen_texts)} regression rows; {seeds} trainings, and two on half the rows")
    answers = answers_of_seeds(rows, _parameters(model.train, method), seeds, out / "seeds", tell)
    found = calibrate(answers, name, model.gates, plan, progress)
    if load is not None:
        found = found.model_copy(update={"load": calibrate_load(load, model.load_test, plan.planted_trials)})
    return write_calibration(found, agreement(history(lake, name)), out)


def write_calibration(found: Calibration, decided: Agreement | None, out: Path) -> Calibration:
    """Write calibration.json, calibration.md and the picture, light and dark; returns the calibration that names them."""
    out.mkdir(parents=True, exist_ok=True)
    pictures = {"rates.png": calibration_figure(found), "rates_dark.png": calibration_figure(found, "dark")}
    for file, figure in pictures.items():
        (out / file).write_bytes(png(figure))
    found = found.model_copy(update={"pictures": tuple(pictures)})
    (out / "calibration.json").write_text(found.model_dump_json(indent=1))
    (out / "calibration.md").write_text(calibration_text.markdown(found, decided), encoding="utf-8")
    return found


def _parameters(train: Train, method: str | None) -> Train:
    """The model's own parameters; where a method is asked for, nothing is held out to choose or to calibrate, which no gate looks at."""
    if method is None:
        return train
    if method not in METHODS:
        raise BadInput(f"--method: expected one of {', '.join(METHODS)}, found {method!r}")
    return train.model_copy(update={"method": cast(Literal["auto"], method), "validation_share": 0.0})
