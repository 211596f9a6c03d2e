"""The pipeline with scikit-learn's face: the classifier reads what serving lets it read."""

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from headgate.model.estimator_input import texts_of
from headgate.model.filters import FilterConfig, current_reply


class Classifier(Protocol):
    """What a pipeline wraps: `TransformerClassifier` or any scikit-learn classifier of texts."""

    classes_: Any

    def fit(self, X: Sequence[str], y: Sequence[Any], **parameters: Any) -> Any:
        """Train on texts and their labels."""

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities, (texts, labels)."""


class MailPipeline(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Prepares texts as the filters say, then trains or asks the classifier.

    Only `current_reply` acts here, in training and in prediction alike. The screening filters (machine mail, empty, too long,
    low confidence) act in the regression test and in serving, where a skipped message has no label: see `headgate.model.runtime`.
    """

    def __init__(self, classifier: Classifier, filter_config: FilterConfig | None = None) -> None:
        self.classifier = classifier
        self.filter_config = filter_config

    def fit(self, X: Sequence[str], y: Sequence[Any], **parameters: Any) -> Self:
        """Train the classifier on the prepared texts; parameters are passed on to its fit."""
        self.classifier.fit(self.prepare(X), y, **parameters)
        self.classes_ = self.classifier.classes_
        return self

    def predict(self, X: Sequence[str]) -> NDArray[Any]:
        """The most probable label of each text."""
        found: NDArray[Any] = np.asarray(self.classifier.classes_)[self.predict_proba(X).argmax(axis=1)]
        return found

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities, (texts, labels) in the order of `classes_`."""
        return self.classifier.predict_proba(self.prepare(X))

    def prepare(self, X: Sequence[str]) -> list[str]:
        """What the classifier reads of each text."""
        config = self.filter_config or FilterConfig()
        texts = texts_of(X)
        return [current_reply(text) for text in texts] if config.current_reply else texts
