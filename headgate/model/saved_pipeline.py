"""The saved pipeline: a folder with the saved classifier, filters.json, and the record pipeline.json that lists both with their sha256."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from headgate.errors import BadInput
from headgate.model.artifact import check_folder, read_json, sha256_file, told
from headgate.model.classifier import TransformerClassifier
from headgate.model.filters import FilterConfig
from headgate.model.pipeline import MailPipeline
from headgate.model.saved import read_record

FORMAT_VERSION = 1
RECORD, FILTERS, CLASSIFIER = "pipeline.json", "filters.json", "classifier"


def save_pipeline(classifier: Path, filters: FilterConfig, folder: Path) -> None:
    """Write a saved classifier and the filters around it into a new folder, the record last."""
    read_record(classifier)
    shutil.copytree(classifier, folder / CLASSIFIER)
    (folder / FILTERS).write_text(json.dumps(asdict(filters), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    files = {file.relative_to(folder).as_posix(): sha256_file(file) for file in sorted(folder.rglob("*")) if file.is_file()}
    (folder / RECORD).write_text(json.dumps({"format_version": FORMAT_VERSION, "files": files}, indent=2) + "\n", encoding="utf-8")


def check_pipeline(folder: Path) -> None:
    """BadInput with all that is wrong, where a folder is not the pipeline that was saved."""
    try:
        record = read_json(folder / RECORD)
    except (OSError, ValueError) as fault:
        raise BadInput(f"{folder} is not a saved pipeline: expected a readable {RECORD} in it ({fault})") from None
    if not isinstance(record, dict) or record.get("format_version") != FORMAT_VERSION or not isinstance(record.get("files"), dict):
        raise BadInput(f"{folder / RECORD}: expected format_version {FORMAT_VERSION} and files; load it with the headgate that wrote it")
    faults = [f"{FILTERS} is not listed"] if FILTERS not in record["files"] else []
    if faults := [*faults, *check_folder(folder, record["files"], RECORD)]:
        raise BadInput(f"{folder} is not the pipeline that was saved, {len(faults)} fault(s):\n{told(faults)}")


def load_pipeline(folder: Path) -> MailPipeline:
    """The pipeline of a folder, with its fitted classifier; BadInput where it is not as it was saved."""
    check_pipeline(folder)
    try:
        filters = FilterConfig(**read_json(folder / FILTERS))
    except (TypeError, ValueError) as fault:
        raise BadInput(f"{folder / FILTERS}: expected the fields of FilterConfig, found others: {fault}") from None
    pipeline = MailPipeline(TransformerClassifier.load(folder / CLASSIFIER), filters)
    pipeline.classes_ = pipeline.classifier.classes_
    return pipeline
