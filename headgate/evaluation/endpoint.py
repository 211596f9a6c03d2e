"""The endpoint test: does an endpoint serve this very bundle, and does it answer as when the bundle was written?"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headgate.errors import HeadgateError
from headgate.model.bundle import Bundle, open_bundle

TOLERANCE = 1e-3

Invoke = Callable[[dict[str, Any]], dict[str, Any]]


def endpoint_test(invoke: Invoke, bundle: Path | str, recorded: Mapping[str, Any] | None = None) -> list[str]:
    """The faults of an endpoint; none if it answers the bundle's example inputs with the recorded outputs and names its provenance.

    invoke: sends one body to the endpoint and returns the answer. Probabilities may differ by 0.001.
    recorded: Release.provenance, where a release record says what serves here besides the bundle. Raises BadBundle.
    """
    opened = open_bundle(bundle)
    examples = [json.loads(line) for line in (opened.path / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
    try:
        answer = invoke({"instances": [example["input"] for example in examples]})
    except HeadgateError as fault:
        return [f"the endpoint did not answer the example inputs: {fault}"]
    return [*_identity_faults(answer.get("model"), opened, recorded or {}), *_answer_faults(answer.get("predictions"), examples)]


def _identity_faults(model: Any, bundle: Bundle, recorded: Mapping[str, Any]) -> list[str]:
    if not isinstance(model, Mapping):
        return ["the answer does not say which model it is from: no field `model`"]
    provenance = bundle.provenance
    expected = {"bundle_digest": bundle.digest, **{name: provenance.get(name) for name in ("data_version", "commit")}}
    expected |= {"name" if name == "model" else name: value for name, value in recorded.items()}
    return [f"model.{name}: expected {value!r}, found {model.get(name)!r}" for name, value in expected.items() if model.get(name) != value]


def _answer_faults(predictions: Any, examples: list[dict[str, Any]]) -> list[str]:
    if not isinstance(predictions, list) or len(predictions) != len(examples):
        found = len(predictions) if isinstance(predictions, list) else "no list"
        return [f"predictions: expected {len(examples)}, one an example, found {found}"]
    return [
        f"example {number}, {name}: expected {expected!r}, found {prediction.get(name)!r}"
        for number, (prediction, example) in enumerate(zip(predictions, examples, strict=True))
        for name, expected in example["output"].items()
        if not _same(expected, prediction.get(name))
    ]


def _same(expected: Any, found: Any) -> bool:
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(_same(value, found[name]) for name, value in expected.items())
    if isinstance(expected, float) and isinstance(found, int | float):
        return math.isclose(expected, found, abs_tol=TOLERANCE)
    return bool(expected == found)
