"""`headgate train`: from a file of texts and labels to a saved classifier and its metrics, beside the linear floor."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headgate.checkout import DIRTY, UNKNOWN, commit
from headgate.data.parsing import read_rows
from headgate.data.rows import Annotation
from headgate.errors import BadInput
from headgate.evaluation.metrics import measure_level
from headgate.evaluation.offline import read_test_rows
from headgate.model import curves
from headgate.model.artifact import read_json
from headgate.model.card import model_card
from headgate.model.checkpoint import Checkpoints
from headgate.model.classifier import TransformerClassifier
from headgate.model.filters import FilterConfig, current_reply
from headgate.model.linear_floor import fit_linear_floor
from headgate.model.saved import check_free, read_record
from headgate.model.training import Epoch
from headgate.settings import Filters

METRICS, FILTERS = "metrics.json", "filters.json"
IN_CURVES = "examples_per_second"
HELD_OUT = "held-out groups of the training file"
FAULTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Rows:
    """What is trained on, what is tested on, and where the latter is from."""

    train: Sequence[Annotation]
    test: Sequence[Annotation]
    tested_on: str


def train_file(
    train: Path,
    test: Path | None,
    out: Path,
    classifier: TransformerClassifier,
    filters: FilterConfig,
    progress: Callable[[Epoch], None] | None = None,
    warn: Callable[[str], None] = lambda _: None,
    checkpoints: Checkpoints | None = None,
) -> dict[str, Any]:
    """Fit on the file's good rows, save classifier, filters.json and metrics.json in `out`, and return the metrics.

    Without a test file the rows of the validation split are held out; a set too small to have any is not measured (None).
    The checkpoints of a call that was killed are gone on from, and removed once all is saved.
    """
    check_free(out)
    rows = _rows(train, test, warn)
    texts, labels = _texts(rows.train, filters), [row.label for row in rows.train]
    warn(f"training on {len(texts)} rows of {len(set(labels))} labels; few rows are trained on several times, to choose and to calibrate")
    started = time.perf_counter()
    classifier.fit(texts, labels, progress=progress, checkpoints=checkpoints)
    seconds = time.perf_counter() - started
    metrics = {
        "train_rows": len(texts),
        "test_rows": len(rows.test),
        "tested_on": rows.tested_on if rows.test else None,
        "train_seconds": round(seconds, 3),
        "examples_per_second": round(examples_per_second(len(texts), classifier, seconds), 1),
        "data": {"file": train.name, "sha256": hashlib.sha256(train.read_bytes()).hexdigest()},
        "labels": [str(label) for label in classifier.classes_],
        **_quality(classifier, rows, texts, labels, filters),
    }
    classifier.save(out)
    _write(out / FILTERS, asdict(filters))
    _write(out / METRICS, metrics)
    if checkpoints:
        checkpoints.clear()
    return metrics


def checkpoints_beside(out: Path, folder: Path | None, every_steps: int, tell: Callable[[str], None]) -> Checkpoints | None:
    """Checkpoints in `<out>.checkpoints`, or in a folder that a person names; None for 0 steps. `tell` hears where a training goes on."""
    if not every_steps:
        return None
    beside = out.absolute()
    return Checkpoints(folder or beside.with_name(f"{beside.name}.checkpoints"), every_steps, tell)


def log_to_mlflow(classifier: TransformerClassifier, metrics: Mapping[str, Any], warn: Callable[[str], None]) -> None:
    """Curves and metrics to the active MLflow run, if there is one; the classifier is saved by then, so a fault of MLflow is a warning."""
    if curves.active_run() is None:
        return
    from mlflow.exceptions import MlflowException

    try:
        curves.log_training(classifier, {name: value for name, value in metrics.items() if name != IN_CURVES})
    except MlflowException as fault:
        warn(f"the classifier is saved, but its curves are not in MLflow: {fault}")


def examples_per_second(rows: int, classifier: TransformerClassifier, seconds: float) -> float:
    """Rows times passes over them (one for a linear head) by the seconds of the whole fit, what was tried on the way included."""
    return rows * max(1, len(classifier.history_)) / seconds


def read_filters(classifier: Path) -> FilterConfig:
    """The filters a classifier was trained with, so that it is served what it learnt from; the defaults if none are kept."""
    file = classifier / FILTERS
    if not file.is_file():
        return FilterConfig()
    try:
        return FilterConfig(**Filters.model_validate(read_json(file)).model_dump())
    except ValidationError as fault:
        faults = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'all of it'}: {one['msg']}" for one in fault.errors())
        raise BadInput(f"{file}: expected filters as in headgate.toml, found {faults}; mend the file or train again") from None
    except ValueError as fault:
        raise BadInput(f"{file}: expected JSON, found none that can be read ({fault}); mend the file or train again") from None


def labelled_texts(file: Path, filters: FilterConfig) -> list[tuple[str, str]]:
    """The good rows of a file as training reads them: text and label."""
    rows = read_rows(file).rows
    return list(zip(_texts(rows, filters), [row.label for row in rows], strict=True))


def read_metrics(classifier: Path) -> dict[str, Any] | None:
    """metrics.json of a saved classifier, or None."""
    file = classifier / METRICS
    return dict(json.loads(file.read_text())) if file.is_file() else None


def provenance_of(classifier: Path) -> dict[str, Any]:
    """What a classifier wrapped by hand was made from; nothing that differs between two equal trainings at one commit."""
    record, metrics = read_record(classifier), read_metrics(classifier)
    known = None if (found := commit()) == UNKNOWN else found
    code = {"commit": known, "dirty": known.endswith(DIRTY) if known else None}
    made = {"model": "by-hand", **code, "classifier": record["files"]["model.safetensors"], "train": record["parameters"]}
    return made | ({"data_version": metrics["data"]} if metrics else {})


def card_of(classifier: Path) -> str:
    """The model card of a classifier wrapped by hand."""
    return model_card("Model card", read_record(classifier), provenance_of(classifier), read_metrics(classifier))


def _rows(train: Path, test: Path | None, warn: Callable[[str], None]) -> Rows:
    parsed = read_rows(train)
    for notice in parsed.notices:
        warn(notice)
    for fault in parsed.bad[:FAULTS_SHOWN]:
        warn(f"left out: {fault}")
    if len(parsed.bad) > FAULTS_SHOWN:
        warn(f"left out: {len(parsed.bad) - FAULTS_SHOWN} more rows of {train.name}")
    if test is not None:
        return Rows(parsed.rows, read_test_rows(test), test.name)
    return Rows([row for row in parsed.rows if row.split == "train"], [row for row in parsed.rows if row.split == "valid"], HELD_OUT)


def _texts(rows: Sequence[Annotation], filters: FilterConfig) -> list[str]:
    return [current_reply(row.text) if filters.current_reply else row.text for row in rows]


def _quality(
    classifier: TransformerClassifier, rows: Rows, texts: Sequence[str], labels: Sequence[str], filters: FilterConfig
) -> dict[str, Any]:
    if not rows.test:
        return {"accuracy": None, "macro_f1": None, "per_label": [], "linear_floor": {"accuracy": None, "macro_f1": None}}
    asked, truth = _texts(rows.test, filters), [row.label for row in rows.test]
    found = measure_level(truth, [str(label) for label in classifier.predict(asked)])
    floor = measure_level(truth, [str(label) for label in fit_linear_floor(texts, labels).predict(asked)])
    return {
        "accuracy": found.accuracy,
        "macro_f1": found.macro_f1,
        "per_label": [label.model_dump(include={"label", "support", "precision", "recall", "f1"}) for label in found.labels],
        "linear_floor": {"accuracy": floor.accuracy, "macro_f1": floor.macro_f1},
    }


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
