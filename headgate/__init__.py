"""Gated continuous delivery of transformer text classifiers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.model.classifier import TransformerClassifier
    from headgate.model.pipeline import MailPipeline
    from headgate.model.runtime import Runtime

__version__ = "0.1.0"


def load(model: str, version: int | str) -> "TransformerClassifier | MailPipeline | Runtime":
    """A registered model's version, however old, for offline analysis: `headgate.load("replies", 3).predict(texts)`.

    version: its number, or an alias such as `champion`. MLflow is found as ever: MLFLOW_TRACKING_URI or `mlflow.set_tracking_uri`.
    What a release registers is a bundle, so that its `predict` filters as serving does: a skipped text has the label None.
    Needs `pip install headgate[train]`. Raises NotFound, BadInput or BadBundle.
    """
    from headgate.model.registered import load_version

    return load_version(model, version)
