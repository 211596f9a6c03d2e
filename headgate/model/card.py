"""The model card: what a classifier is, how it was made and how good it is, in Markdown."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

RECIPES = {
    "fine-tune": "Fine-tuned with plain PyTorch: mean pooling over the encoder's last layer, a linear head that starts from the mean "
    "embedding of each label, {embeddings} token embeddings, label smoothing, linear warm-up and decay.",
    "linear-head": "A linear head on the embeddings of the encoder as it was published (mean pooling over its last layer): nothing below "
    "the head was trained.",
}
NOT_HERE = (
    "Measured in the regression test of each release, not here, beside a TF-IDF + linear model of the same training rows that it has to "
    "beat (gate `beats_linear_floor`)."
)


def model_card(name: str, record: Mapping[str, Any], provenance: Mapping[str, Any], metrics: Mapping[str, Any] | None = None) -> str:
    """Markdown that is the same for the same inputs.

    record: classifier.json as `headgate.model.saved.read_record` gives it. metrics: metrics.json of `headgate train`, if there is one.
    """
    labels = [str(label) for label in record["labels"]]
    parts = [
        f"# {name}",
        f"Says which of {len(labels)} labels a text has, with a probability for each.",
        "## Labels\n\n" + "\n".join(f"- {_code(label)}" for label in labels),
        "## Training\n\n" + _recipe(record) + "\n\n" + _table(("parameter", "value"), sorted(record["parameters"].items())),
        _choice(record.get("choice")),
        _quality(metrics),
        _calibration(record),
        "## Limits\n\n" + _limits(record),
        "## Provenance\n\n" + _table(("of", "value"), sorted(_origin(provenance, record["parameters"]))) if provenance else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _origin(provenance: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Provenance as rows, a record's entries one each; what the table of parameters says is not said again."""
    for name, value in provenance.items():
        for key, entry in value.items() if isinstance(value, Mapping) else [("", value)]:
            if name == "train" and key in parameters and parameters[key] == entry:
                continue
            shown = entry if isinstance(entry, str) else "unknown" if entry is None else json.dumps(entry, ensure_ascii=False)
            yield f"{name}.{key}" if key else name, shown


def _recipe(record: Mapping[str, Any]) -> str:
    method = (record.get("choice") or {}).get("method", "fine-tune")
    frozen = record["parameters"].get("frozen_embeddings", True)
    return RECIPES[method].format(embeddings="frozen" if frozen else "trained")


def _choice(choice: Mapping[str, Any] | None) -> str:
    """What was chosen for the parameters that were left to the recipe, and why."""
    if not choice:
        return ""
    told = f"Chosen: **{choice['method']}**{''.join(f', {part}' for part in _parts(choice))}. {choice['why'].rstrip('.')}."
    tried = [(one["candidate"], one["metric"], f"{one['score']:.4f}") for one in choice["candidates"]]
    times = "held out once" if choice["folds"] is None else f"held out in {choice['folds']} folds"
    table = [f"Compared on training rows, {times}:", _table(("candidate", "measured", "score"), tried)] if tried else []
    return "\n\n".join(["## What was chosen, and why", told, *table])


def _parts(choice: Mapping[str, Any]) -> Iterator[str]:
    if 0 < (share := choice.get("fine_tuned_share", 1.0)) < 1:
        yield f"{share:.0%} of the way from the linear head to the fine-tuned weights"
    yield f"class weights {choice['class_weight'] or 'none'}"
    if choice["epochs"] is not None:
        yield f"{choice['epochs']} epochs"
    if choice.get("label_names"):
        yield "label names trained on as rows"
    if choice.get("lexical_scale"):
        yield f"n-grams beside the encoder (scale {choice['lexical_scale']:g})"


def _calibration(record: Mapping[str, Any]) -> str:
    """How far the probabilities can be taken at their word."""
    validation, temperature = record.get("validation"), record.get("temperature", 1.0)
    if not validation or not validation.get("rows"):
        return "## Calibration\n\nNot calibrated: no rows were held out for it. Read the probabilities as an order, not as shares."
    before, after = (f"{validation[name]:.3f}" for name in ("ece_before", "ece_after"))
    return (
        f"## Calibration\n\nTemperature {temperature:.3f}, fitted on {validation['rows']} training rows that were held out. "
        f"Expected calibration error there (mean gap between probability and share right): {before} before, {after} after."
    )


def _quality(metrics: Mapping[str, Any] | None) -> str:
    if not metrics or metrics.get("accuracy") is None:
        return f"## Quality\n\n{NOT_HERE}"
    floor = metrics["linear_floor"]
    overall = [
        ("this classifier", f"{metrics['accuracy']:.4f}", f"{metrics['macro_f1']:.4f}"),
        ("TF-IDF + linear model", f"{floor['accuracy']:.4f}", f"{floor['macro_f1']:.4f}"),
    ]
    each = [(one["label"], one["support"], *(f"{one[key]:.3f}" for key in ("precision", "recall", "f1"))) for one in metrics["per_label"]]
    return "\n\n".join(
        [
            "## Quality",
            f"On {metrics['test_rows']} rows ({metrics['tested_on']}), none of them used in training.",
            _table(("model", "accuracy", "macro-F1"), overall),
            _table(("label", "rows", "precision", "recall", "F1"), each),
        ]
    )


def _limits(record: Mapping[str, Any]) -> str:
    most = record["parameters"]["max_length"]
    return (
        f"A text of more than {most} tokens is read at its head and its tail only. That is its first {most // 2} tokens and its last "
        f"{most - most // 2}, special ones included. "
        "It always answers with one of its labels: texts unlike the training data get one too, often with a low score."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def _code(label: str) -> str:
    """A label of any characters as Markdown code on one line."""
    shown = label if label.isprintable() else repr(label)[1:-1]
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if "`" in shown else ""
    return f"{fence}{space}{shown}{space}{fence}"
