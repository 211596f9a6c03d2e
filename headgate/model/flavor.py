"""The MLflow flavor `headgate`: classifier, pipeline and bundle folders as MLflow models, loadable by `mlflow.pyfunc`.

A model holds the folder as it is, under `headgate/`; nothing in it is a pickle.
"""

import shutil
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME, ModelInfo
from mlflow.models.utils import _save_example
from mlflow.pyfunc import add_to_model
from mlflow.types import ColSpec, DataType, Schema

import headgate
from headgate.errors import BadInput
from headgate.model.bundle import open_bundle
from headgate.model.classifier import TransformerClassifier
from headgate.model.pipeline import MailPipeline
from headgate.model.runtime import Message, Runtime
from headgate.model.saved import read_record
from headgate.model.saved_pipeline import RECORD as PIPELINE
from headgate.model.saved_pipeline import check_pipeline, load_pipeline
from headgate.model.serving_lock import parse

FLAVOR = "headgate"
FOLDER = "headgate"
Kind = Literal["classifier", "pipeline", "bundle"]
Loaded = TransformerClassifier | MailPipeline | Runtime
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, "text")]),
    outputs=Schema([ColSpec(DataType.string, "label", required=False), ColSpec(DataType.double, "score", required=False)]),
)

EXAMPLE = pd.DataFrame({"text": ["Thursday at three works for me.", "Please take me off your list."]})
TRAINED_WITH = ("mlflow", "numpy", "pandas", "safetensors", "scikit-learn", "tokenizers", "torch", "transformers")


def kind_of(folder: Path) -> Kind:
    """Whether a folder is a classifier, a pipeline or a bundle; BadBundle or BadInput if it is none of them, or damaged."""
    if (folder / "bundle.json").exists():
        open_bundle(folder)
        return "bundle"
    if (folder / PIPELINE).exists():
        check_pipeline(folder)
        return "pipeline"
    read_record(folder)
    return "classifier"


def save_model(folder: TransformerClassifier | Path | str, path: str, mlflow_model: Model | None = None, **_: Any) -> None:
    """Save a fitted classifier, or a folder of a classifier, a pipeline or a bundle, as an MLflow model at `path`."""
    target = Path(path)
    if target.exists() and any(target.iterdir()):
        raise BadInput(f"{target}: expected a new or empty folder")
    kind = _write(folder, target / FOLDER)
    model = mlflow_model or Model()
    model.signature = SIGNATURE
    _save_example(model, EXAMPLE, str(target))
    (target / "requirements.txt").write_text("".join(f"{line}\n" for line in _requirements(kind, target)))
    (target / "python_env.yaml").write_text(f"python: {sys.version.split()[0]}\ndependencies:\n- -r requirements.txt\n")
    add_to_model(model, loader_module=__name__, data=FOLDER, python_env="python_env.yaml")
    model.add_flavor(FLAVOR, kind=kind, folder=FOLDER, version=headgate.__version__)
    model.save(str(target / MLMODEL_FILE_NAME))


def log_model(folder: TransformerClassifier | Path | str, name: str, registered_model_name: str | None = None) -> ModelInfo:
    """Log a classifier, a pipeline or a bundle to the active MLflow run, and register it if a name is given."""
    this = sys.modules[__name__]
    return Model.log(artifact_path=None, flavor=this, name=name, registered_model_name=registered_model_name, folder=folder)


def load_model(model_uri: str, dst_path: str | None = None) -> Loaded:
    """The classifier, the pipeline, or the runtime of the bundle, of a logged or registered model."""
    from mlflow.artifacts import download_artifacts

    return load_folder(Path(download_artifacts(model_uri, dst_path=dst_path)) / FOLDER)


def load_folder(folder: Path) -> Loaded:
    """The classifier, the pipeline, or the runtime of the bundle, of a folder; BadInput or BadBundle where it is not as it was saved."""
    match kind_of(folder):
        case "bundle":
            return Runtime.load(folder)
        case "pipeline":
            return load_pipeline(folder)
        case _:
            return TransformerClassifier.load(folder)


def _load_pyfunc(data_path: str) -> "TextModel":
    return TextModel(load_folder(Path(data_path)))


class TextModel:
    """What `mlflow.pyfunc` calls: texts in, a frame of label and score out."""

    def __init__(self, model: Loaded) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame | Sequence[str], params: object = None) -> pd.DataFrame:  # noqa: ARG002  # pyfunc passes it
        """Score a frame with a column `text`, or a list of texts; a skipped text has neither label nor score."""
        texts = _texts(model_input)
        if isinstance(self.model, Runtime):
            scored = self.model.score([Message(text) for text in texts])
            return pd.DataFrame({"label": [one.label for one in scored], "score": [one.score for one in scored]}, dtype=object)
        probabilities = self.model.predict_proba(texts)
        labels = [str(label) for label in self.model.classes_[probabilities.argmax(axis=1)]]
        return pd.DataFrame({"label": labels, "score": probabilities.max(axis=1)})


def _texts(model_input: pd.DataFrame | Sequence[str]) -> list[str]:
    if isinstance(model_input, pd.DataFrame):
        if "text" not in model_input.columns:
            raise BadInput(f"expected a column `text`, found {', '.join(map(str, model_input.columns)) or 'none'}")
        return [str(text) for text in model_input["text"]]
    return [str(text) for text in model_input]


def _write(folder: TransformerClassifier | Path | str, target: Path) -> Kind:
    if isinstance(folder, TransformerClassifier):
        folder.save(target)
        return "classifier"
    kind = kind_of(Path(folder))
    shutil.copytree(folder, target)
    return kind


def _requirements(kind: Kind, target: Path) -> list[str]:
    """Pinned public packages; a bundle brings headgate's own wheel, the others are read by an installed headgate."""
    if kind != "bundle":
        return _pinned(TRAINED_WITH)
    wheels = sorted(wheel.relative_to(target).as_posix() for wheel in (target / FOLDER / "wheels").glob("*.whl"))
    public = parse((target / FOLDER / "requirements.txt").read_text()).values()
    return [*wheels, *_pinned(("mlflow", "pandas")), *(f"{package.name}=={package.version}" for package in public)]


def _pinned(names: Iterable[str]) -> list[str]:
    return [f"{name}=={version(name).split('+')[0]}" for name in names]


__all__ = ["FLAVOR", "kind_of", "load_folder", "load_model", "log_model", "save_model"]
