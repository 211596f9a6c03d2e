"""SetFit on one data set, in an environment of its own: `accuracy.py` starts it.

From the first path it reads JSON {base_model, train: {texts, labels}, test: {texts}, seed, settings}, to the second it writes
{predicted, confidence, cpu_s}. Nothing of headgate is imported: that environment holds the peer alone.
Settings that are not given are SetFit's own: cosine similarity loss, learning rate 2e-5, a scikit-learn LogisticRegression head.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments


def main(task: dict[str, Any], out: Path) -> None:
    """Fit, predict, write."""
    train, start = task["train"], sum(os.times()[:4])
    classes = sorted(set(train["labels"]))
    rows = Dataset.from_dict({"text": train["texts"], "label": [classes.index(label) for label in train["labels"]]})
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(output_dir=scratch, seed=task["seed"], report_to="none", save_strategy="no", **task["settings"])
        model = SetFitModel.from_pretrained(task["base_model"])
        Trainer(model=model, args=arguments, train_dataset=rows).train()
    cpu_s = sum(os.times()[:4]) - start
    shares = np.asarray(model.predict_proba(task["test"]["texts"], show_progress_bar=False))
    predicted = [classes[best] for best in shares.argmax(axis=1)]
    out.write_text(json.dumps({"predicted": predicted, "confidence": shares.max(axis=1).tolist(), "cpu_s": cpu_s}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
