"""Fine-tuning of a candidate, with its progress in the log."""

import json
import shutil
import time
from pathlib import Path

from prefect.logging import get_run_logger

from headgate.data.near_duplicates import near_groups
from headgate.data.table import DatasetTable
from headgate.model.checkpoint import Checkpoints
from headgate.model.classifier import TransformerClassifier
from headgate.model.filters import current_reply
from headgate.model.training import Epoch
from headgate.model.training_run import examples_per_second
from headgate.release.candidate import Candidate
from headgate.settings import ModelSettings, load_settings
from tasks.once import once_per_run
from tasks.places import the_lake, workplace


def training_texts(settings: ModelSettings, texts: list[str]) -> list[str]:
    """The texts as the classifier sees them, in training as in serving."""
    return [current_reply(text) for text in texts] if settings.filters.current_reply else texts


def training_rows(candidate: Candidate) -> tuple[list[str], list[str]]:
    """Texts, as the classifier sees them, and labels of the candidate's data version."""
    settings = load_settings().model(candidate.model)
    frame = DatasetTable(the_lake(), settings.dataset).load(candidate.data_version.version)
    return training_texts(settings, frame["text"].tolist()), frame["label"].tolist()


def training_weights(candidate: Candidate) -> list[float] | None:
    """One weight a row of the same rows, as `feedback.weight` has it for corrections; None where all weigh the same."""
    settings = load_settings().model(candidate.model)
    if settings.feedback.weight == 1:
        return None
    frame = DatasetTable(the_lake(), settings.dataset).load(candidate.data_version.version)
    return [settings.feedback.weight if source == "correction" else 1.0 for source in frame["source"]]


def training_groups(candidate: Candidate, texts: list[str]) -> list[int]:
    """A number for each of the same rows: one for a thread and for near copies, which are trained on or held out together."""
    settings = load_settings().model(candidate.model)
    frame = DatasetTable(the_lake(), settings.dataset).load(candidate.data_version.version)
    groups: list[int] = near_groups(texts, frame["group_id"].tolist()).tolist()
    return groups


@once_per_run("fine-tune")
def fine_tune(candidate: Candidate) -> Path:
    """Fine-tune on the data version; returns the classifier's folder. A finished folder is taken as it is, a killed training goes on."""
    out = workplace(candidate.key) / "classifier"
    if out.is_dir():
        return out
    settings = load_settings().model(candidate.model)
    texts, labels = training_rows(candidate)
    weights = training_weights(candidate)
    classifier = TransformerClassifier(**settings.train.model_dump())
    started = time.perf_counter()
    checkpoints = Checkpoints(workplace(candidate.key) / "checkpoints", tell=get_run_logger().warning)
    groups = training_groups(candidate, texts)
    classifier.fit(texts, labels, weights, progress=_log_epoch, checkpoints=checkpoints, groups=groups)
    seconds = time.perf_counter() - started
    _log_fit(classifier, len(texts), seconds)
    _save(classifier, out, {"train_seconds": seconds, "examples_per_second": examples_per_second(len(texts), classifier, seconds)})
    checkpoints.clear()
    return out


def _log_epoch(epoch: Epoch) -> None:
    told = "epoch %d of %d: loss %.3f, %.0f examples/s"
    get_run_logger().info(told, epoch.number, epoch.epochs, epoch.loss, epoch.examples_per_second)


def _log_fit(classifier: TransformerClassifier, rows: int, seconds: float) -> None:
    logger = get_run_logger()
    logger.info("fine-tuned on %d rows in %.0f s", rows, seconds)
    if choice := classifier.choice_:
        logger.info("%s, class weights %s: %s", choice["method"], choice["class_weight"] or "none", choice["why"])


def _save(classifier: TransformerClassifier, out: Path, metrics: dict[str, float]) -> None:
    """A folder that is there is complete: it gets its name last."""
    unfinished = out.with_name("classifier.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    classifier.save(unfinished)
    (unfinished / "training.json").write_text(json.dumps(metrics))
    unfinished.rename(out)
