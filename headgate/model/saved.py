"""The saved classifier: a folder of safetensors, tokenizer.json, encoder/config.json and the record classifier.json.

Nothing in it is a pickle, and nothing else than these and the files of a training may lie in it. A folder is refused
before any of it is understood: `headgate.model.artifact` says what for.
"""

import json
import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

import headgate
from headgate.errors import BadInput
from headgate.model.architecture import empty_network, save_encoder_config
from headgate.model.artifact import check_folder, read_json, sha256_file, told
from headgate.model.compute import choose_compute
from headgate.model.lexical import FILE as LEXICAL
from headgate.model.lexical import Lexical
from headgate.model.lexical_file import open_lexical
from headgate.model.network import Network
from headgate.model.tokenizer_file import open_tokenizer
from headgate.model.training import Epoch
from headgate.model.weights import read_shapes

FORMAT_VERSION = 2
RECORD = "classifier.json"
WEIGHTS, TOKENIZER, ENCODER = "model.safetensors", "tokenizer.json", "encoder/config.json"
FILES = (WEIGHTS, TOKENIZER, ENCODER)
BESIDE = ("filters.json", "metrics.json", "model_card.md", "training.json")

# What a classifier of format 1 did without saying so, in the words of today's parameters.
OF_FORMAT_1 = {
    "method": "fine-tune",
    "warm_up_share": 0.1,
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
    "dropout": 0.0,
    "frozen_embeddings": True,
    "class_weight": None,
    "label_names": "off",
    "lexical": "off",
    "validation_share": 0.0,
}


@dataclass(frozen=True, slots=True)
class Saved:
    """What a folder keeps of a fitted classifier: its parameters and all that fit learnt.

    labels: in the order of the network's outputs. lexical: what is added to its logits, if anything.
    choice, validation: plain JSON, told in the model card. feature_names: the column of the frame it was fitted on, if it was one.
    """

    parameters: dict[str, Any]
    labels: list[str] | list[int]
    temperature: float
    history: tuple[Epoch, ...]
    network: Network
    tokenizer: Tokenizer
    choice: dict[str, Any] | None = None
    validation: dict[str, Any] | None = None
    lexical: Lexical | None = None
    feature_names: list[str] | None = None


def save(saved: Saved, folder: Path) -> None:
    """Write the folder, its record last, so that an interrupted save is no classifier; BadInput where something else lies in it."""
    check_free(folder)
    try:
        (folder / "encoder").mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise BadInput(
            f"{folder}: expected a folder that can be written, found: {fault.strerror}; nothing is lost, name another"
        ) from fault
    (folder / RECORD).unlink(missing_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in saved.network.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    saved.tokenizer.save(str(folder / TOKENIZER))
    save_encoder_config(saved.network.encoder, folder / "encoder")
    (folder / LEXICAL).unlink(missing_ok=True)
    if saved.lexical is not None:
        save_arrays(asdict(saved.lexical), folder / LEXICAL)
    content = json.dumps(_record(saved, folder), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / RECORD).write_text(content + "\n", encoding="utf-8")


def check_free(folder: Path) -> None:
    """Whether a classifier may be saved here; BadInput if other files lie here, since the folder could not be loaded again."""
    known = {RECORD, LEXICAL, *BESIDE, *(name.split("/")[0] for name in FILES)}
    if others := sorted(found.name for found in folder.iterdir() if found.name not in known) if folder.exists() else []:
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise BadInput(f"{folder}: expected a folder for the classifier alone, found {shown} in it; name a new folder")


def load(folder: Path, known: Collection[str]) -> Saved:
    """Read a folder that `save` of this or an older headgate wrote; known: the parameters that a classifier takes. Raises BadInput."""
    record = read_record(folder)
    if unknown := sorted(set(record["parameters"]) - set(known)):
        raise BadInput(
            f"{folder / RECORD}: this is headgate {headgate.__version__}, which has no {', '.join(unknown)}; "
            f"load the classifier with headgate {record['headgate']}, which wrote it"
        )
    return Saved(
        parameters=record["parameters"],
        labels=record["labels"],
        temperature=float(record["temperature"]),
        history=tuple(Epoch(**epoch) for epoch in record["history"]),
        network=load_network(folder, len(record["labels"]), choose_compute().attention),
        tokenizer=_load_tokenizer(folder / TOKENIZER),
        choice=record["choice"],
        validation=record["validation"],
        feature_names=record["feature_names"],
        lexical=load_lexical(folder, len(record["labels"])) if LEXICAL in record["files"] else None,
    )


def load_network(folder: Path, labels: int, attention: str) -> Network:
    """The network of a saved classifier, ready to score; BadInput where weights and configuration do not fit, or are no numbers."""
    try:
        shapes = read_shapes(folder / WEIGHTS)
    except ValueError as fault:
        raise BadInput(f"{folder / WEIGHTS} cannot be loaded: {fault}") from None
    try:
        with torch.random.fork_rng():
            network = empty_network(folder / ENCODER, shapes, labels, attention)
    except ValueError as fault:
        raise BadInput(f"{folder / ENCODER} cannot be loaded: {fault}") from None
    weights = load_file(folder / WEIGHTS)
    if broken := sorted(name for name, tensor in weights.items() if not bool(torch.isfinite(tensor).all())):
        raise BadInput(f"{folder / WEIGHTS}: expected finite numbers, found others in {broken[0]}; train again")
    network.load_state_dict(weights, strict=True)
    return network.eval()


def load_lexical(folder: Path, labels: int) -> Lexical:
    """The lexical features of a saved classifier; BadInput where they are not of these labels, or are no numbers."""
    try:
        return open_lexical(folder / LEXICAL, labels)
    except ValueError as fault:
        raise BadInput(f"{folder / LEXICAL} cannot be loaded: {fault}") from None


def read_record(folder: Path) -> dict[str, Any]:
    """What classifier.json says, in today's form, after checking that the folder is as it was saved; BadInput lists all that is wrong."""
    if folder.is_symlink():
        raise BadInput(f"{folder} is a link: name the folder that it leads to")
    try:
        record = read_json(folder / RECORD)
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else str(fault)
        raise BadInput(f"{folder} is not a saved classifier: expected a readable {RECORD} in it ({reason})") from None
    if not isinstance(record, dict):
        raise BadInput(f"{folder} is not a saved classifier: expected an object in {RECORD}, found {type(record).__name__}")
    version = record.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        wrote = record.get("headgate", "that wrote it")
        raise BadInput(
            f"{folder / RECORD}: expected format_version 1 to {FORMAT_VERSION}, found {version!r}; load it with headgate {wrote}"
        )
    if faults := [*_wrong_fields(record), *check_folder(folder, _listed(record), RECORD, BESIDE)]:
        raise BadInput(f"{folder} is not the classifier that was saved, {len(faults)} fault(s):\n{told(faults)}")
    return _of_today(record)


def _listed(record: dict[str, Any]) -> dict[str, str]:
    """The files that are named, as far as they are names and digests, and always those that a classifier has."""
    named = record.get("files")
    good = {name: digest for name, digest in named.items() if isinstance(digest, str)} if isinstance(named, dict) else {}
    return dict.fromkeys(FILES, "") | good


def _wrong_fields(record: dict[str, Any]) -> list[str]:
    files = record.get("files")
    faults = {
        "labels: expected at least two different texts, whole numbers or bools": not _labels(record.get("labels")),
        "temperature: expected a positive number": not _positive(record.get("temperature")),
        "parameters: expected an object": not isinstance(record.get("parameters"), dict),
        "history: expected a list of epochs": not _epochs(record.get("history")),
        f"files: expected {', '.join(FILES)}": not isinstance(files, dict) or set(files) - {LEXICAL} != set(FILES),
        "choice: expected an object or null": not isinstance(record.get("choice"), (dict, type(None))),
        "validation: expected an object or null": not isinstance(record.get("validation"), (dict, type(None))),
        "feature_names: expected a list of one name, or null": not _names(record.get("feature_names")),
    }
    return [f"{RECORD}: {fault}" for fault, found in faults.items() if found]


def _labels(found: Any) -> bool:
    return isinstance(found, list) and {type(label) for label in found} in ({str}, {int}, {bool}) and len(set(found)) == len(found) > 1


def _names(found: Any) -> bool:
    return found is None or (isinstance(found, list) and len(found) == 1 and isinstance(found[0], str))


def _positive(found: Any) -> bool:
    return type(found) in (int, float) and 0 < found < math.inf


def _epochs(history: Any) -> bool:
    try:
        return isinstance(history, list) and all(Epoch(**epoch) for epoch in history)
    except TypeError:
        return False


def _of_today(record: dict[str, Any]) -> dict[str, Any]:
    before = OF_FORMAT_1 if record["format_version"] == 1 else {}
    return {
        "headgate": "0.1",
        "choice": None,
        "validation": None,
        "feature_names": None,
        **record,
        "parameters": {**before, **record["parameters"]},
    }


def _record(saved: Saved, folder: Path) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "headgate": headgate.__version__,
        "labels": saved.labels,
        "parameters": saved.parameters,
        "temperature": saved.temperature,
        "history": [asdict(epoch) for epoch in saved.history],
        "choice": saved.choice,
        "validation": saved.validation,
        "feature_names": saved.feature_names,
        "files": {name: sha256_file(folder / name) for name in (*FILES, LEXICAL) if (folder / name).exists()},
    }


def _load_tokenizer(file: Path) -> Tokenizer:
    try:
        return open_tokenizer(file)
    except ValueError as fault:
        raise BadInput(f"{file} cannot be loaded: {fault}") from None
