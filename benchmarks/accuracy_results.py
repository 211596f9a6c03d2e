"""What `accuracy.py` keeps of one fit: its measures, and the file that a killed run goes on from."""

import ast
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_sets import Rows
from numpy.typing import NDArray
from sklearn.metrics import f1_score, roc_auc_score

Result = dict[str, Any]
# Modules that the classifier uses but that change none of its numbers.
BESIDE_THE_RECIPE = {"saved", "artifact", "bundle", "card", "curves", "progress"}


def measures(found: dict[str, Any], test: Rows) -> dict[str, float]:
    """Percent: accuracy and macro-F1, and where the child gave what they need, ECE and the AUROC of the out-of-scope score."""
    right = np.array([guess == truth for guess, truth in zip(found["predicted"], test.labels, strict=True)])
    told = {"accuracy": right.mean(), "macro-F1": f1_score(test.labels, found["predicted"], average="macro", zero_division=0)}
    if found.get("confidence"):
        told["ECE"] = calibration_error(np.array(found["confidence"]), right)
    if found.get("outside"):
        strange = [0] * len(found["inside"]) + [1] * len(found["outside"])
        told["AUROC out of scope"] = roc_auc_score(strange, found["inside"] + found["outside"])
    return {name: 100 * float(value) for name, value in told.items()}


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error of the top label over bins of equal width, each open on its left (Guo et al. 2017); 0 to 1."""
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = [abs(float((confidence[place == b] - right[place == b]).sum())) for b in range(bins)]
    return sum(gaps) / len(confidence)


def key(**parts: Any) -> str:
    """Name of one fit: equal for equal parts, whatever their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def read_results(path: Path) -> dict[str, Result]:
    """Results by key, the last of each; a line that a killed run left half written counts as not run."""
    found: dict[str, Result] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            result = json.loads(line)
        except ValueError:
            continue
        found[result["key"]] = result
    return found


def append_result(path: Path, result: Result) -> None:
    """Add one line, on a line of its own even after half a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 1, 0))
        torn = file.read(1) not in (b"", b"\n")
        file.write(b"\n" * torn + json.dumps(result).encode() + b"\n")


def recipe_digest(checkout: Path, start: str = "headgate.model.classifier") -> str:
    """sha256 of the code of every headgate.model module that fitting uses; comments, docstrings and layout do not count."""
    codes: dict[str, str] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        path = checkout / (name.replace(".", "/") + ".py")
        if name in codes or name.rpartition(".")[2] in BESIDE_THE_RECIPE or not path.is_file():
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        codes[name] = _code(tree)
        waiting += [module for module in _imported(tree) if module.startswith("headgate.model.")]
    return hashlib.sha256(json.dumps(sorted(codes.items())).encode()).hexdigest()


def _code(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def _imported(tree: ast.Module) -> Sequence[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found
