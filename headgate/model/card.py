"""The model card: what a classifier is, how it was made and how good it is, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

RECIPE = (
    "Fine-tuned with plain PyTorch: mean pooling over the encoder's last layer, a linear head that starts from the mean embedding "
    "of each label, frozen token embeddings, label smoothing, linear warm-up and decay."
)


def model_card(name: str, record: Mapping[str, Any], provenance: Mapping[str, Any], metrics: Mapping[str, Any] | None = None) -> str:
    """Markdown that is the same for the same inputs.

    record: classifier.json as `headgate.model.classifier.read_record` gives it. metrics: metrics.json of `headgate train`, if there is one.
    """
    labels = [str(label) for label in record["labels"]]
    parts = [
        f"# {name}",
        f"Says which of {len(labels)} labels a text has, with a probability for each.",
        "## Labels\n\n" + "\n".join(f"- `{label}`" for label in labels),
        "## Training\n\n" + RECIPE + "\n\n" + _table(("parameter", "value"), sorted(record["parameters"].items())),
        _quality(metrics),
        "## Limits\n\n" + _limits(record),
        "## Provenance\n\n" + _table(("of", "value"), sorted(provenance.items())) if provenance else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _quality(metrics: Mapping[str, Any] | None) -> str:
    if not metrics or metrics.get("accuracy") is None:
        return "## Quality\n\nMeasured in the regression test of each release, not here."
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
    return (
        f"A text of more than {record['parameters']['max_length']} tokens is read at its head and its tail only. "
        "It always answers with one of its labels: texts unlike the training data get one too, often with a low score."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
