"""Save the model with MLflow's transformers flavor, for `mlflow models serve`: `python mlflow_save.py MODEL OUT`."""

import sys

import mlflow
import torch
import transformers

classifier = transformers.pipeline("text-classification", model=sys.argv[1], trust_remote_code=True, device="cpu")
# The requirements are named, since MLflow would name torchvision among them, which a text model has no use for.
needed = [f"mlflow=={mlflow.__version__}", f"torch=={torch.__version__}", f"transformers=={transformers.__version__}"]
mlflow.transformers.save_model(classifier, sys.argv[2], pip_requirements=needed, input_example=["A text."])
