"""One fit of the default recipe (`ours`) or of the linear floor in a process of its own: `accuracy.py` starts it.

From the first path it reads JSON {system, train: {texts, labels}, test: {texts}, outside: texts out of scope, seed}, to the second it
writes {predicted, confidence, cpu_s, ...}.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def ours(task: dict[str, Any]) -> dict[str, Any]:
    """The classifier as it comes: nothing but the seed is set."""
    from headgate.model.classifier import TransformerClassifier

    start = _cpu_s()
    classifier = TransformerClassifier(seed=task["seed"]).fit(task["train"]["texts"], task["train"]["labels"])
    cpu_s, texts = _cpu_s() - start, task["test"]["texts"]
    shares = classifier.predict_proba(texts)
    found = {
        "predicted": classifier.classes_[shares.argmax(axis=1)].tolist(),
        "confidence": shares.max(axis=1).tolist(),
        "cpu_s": cpu_s,
        "temperature": classifier.temperature_,
        "choice": _plain(getattr(classifier, "choice_", None)),
        "epochs": len(classifier.history_),
    }
    if task["outside"]:
        inside, outside = (_out_of_scope(classifier, each) for each in (texts, task["outside"]))
        found |= {"inside": inside, "outside": outside}
    return found


def floor(task: dict[str, Any]) -> dict[str, Any]:
    """TF-IDF and a linear model; it has no probabilities."""
    from headgate.model.linear_floor import fit_linear_floor

    start = _cpu_s()
    model = fit_linear_floor(task["train"]["texts"], task["train"]["labels"])
    cpu_s = _cpu_s() - start
    return {"predicted": model.predict(task["test"]["texts"]).tolist(), "confidence": None, "cpu_s": cpu_s}


def _out_of_scope(classifier: Any, texts: Sequence[str]) -> list[float]:
    """Higher: more out of scope."""
    scores: list[float] = classifier.out_of_scope_score(texts).tolist()
    return scores


def _plain(choice: Any) -> Any:
    return dataclasses.asdict(choice) if dataclasses.is_dataclass(choice) and not isinstance(choice, type) else choice


def _cpu_s() -> float:
    return sum(os.times()[:4])


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(json.dumps({"ours": ours, "floor": floor}[given["system"]](given), default=str))
