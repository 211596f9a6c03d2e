"""Choosing what a bundle serves: eight bits where they answer as fp32 does, else the second feed-forward product in fp32, else all fp32."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from headgate.model.activations import observe
from headgate.model.encoder_weights import Encoder
from headgate.model.engine_check import Checked, check_engine
from headgate.model.graph import build
from headgate.model.quantise import quantise
from headgate.model.runtime import Runtime, open_session

Precision = Literal["int8", "int8-mixed", "fp32"]
Row = tuple[str, str]

REFERENCE, EIGHT_BITS = "model.onnx", "model.int8.onnx"
LADDER: Mapping[Precision, tuple[str, ...]] = {"int8": (), "int8-mixed": ("down",)}
CALIBRATE_ON, CHECK_ON, MIN_CHECKED = 320, 500, 30
EXPORTED = "this architecture is exported as it is; BERT, RoBERTa, XLM-R and DistilBERT encoders are served in eight bits"
NO_ROWS = "no rows were given to calibrate on"


@dataclass(frozen=True, slots=True)
class Tried:
    """A rung of the ladder, and what was found of it."""

    precision: Precision
    checked: Checked


@dataclass(frozen=True, slots=True)
class Choice:
    """What is served; model: the graph's bytes, None for the reference. reason: why not plain eight bits, if so."""

    precision: Precision
    model: bytes | None
    checked: Checked | None
    tried: tuple[Tried, ...]
    reason: str | None

    def record(self) -> dict[str, Any]:
        """What engine.json says of it, beside what any engine needs."""
        return {
            "engine": "onnxruntime",
            "precision": self.precision,
            "file": EIGHT_BITS if self.model else REFERENCE,
            "reference": REFERENCE,
            "checked": asdict(self.checked) if self.checked else None,
            "tried": [{"precision": one.precision, **asdict(one.checked), "faults": one.checked.faults} for one in self.tried],
            "reason": self.reason,
        }

    def card(self) -> str:
        """A line of Markdown for the model card."""
        why = f" ({self.reason})" if self.reason else ""
        if self.checked is None:
            return f"Served in {self.precision}{why}."
        found = self.checked
        return (
            f"Served in {self.precision}{why}. Against fp32 on {found.rows} training rows: the same label for {found.agreement:.2%}, "
            f"accuracy {100 * found.accuracy_change:+.2f} points, mean probability error {found.mean_probability_error:g}, largest change "
            f"by what shares the batch {found.max_probability_change_in_batch:g}."
        )


def choose_engine(reference: Runtime, encoder: Encoder | None, rows: Iterable[Row] | None) -> Choice:
    """The first rung that passes; encoder: None where no graph of ours can be written. The same arguments give the same choice."""
    if encoder is None or rows is None:
        return Choice("fp32", None, None, (), EXPORTED if encoder is None else NO_ROWS)
    calibration, held = sample(rows)
    if len(held) < MIN_CHECKED:
        few = f"{len(calibration) + len(held)} different texts are too few to calibrate on and to check {MIN_CHECKED} others"
        return Choice("fp32", None, None, (), few)
    tried: list[Tried] = []
    for precision, model, checked in _rungs(reference, encoder, calibration, held):
        tried.append(Tried(precision, checked))
        if model is None or not checked.faults:
            return Choice(precision, model, checked, tuple(tried), _told(tried[:-1]))
    raise AssertionError("the last rung is always taken")


def sample(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Rows to calibrate on and others to check, at most 320 and 500 different texts, the same whatever the rows' order."""
    distinct = {text: label for text, label in sorted(rows) if text.strip()}
    ordered = sorted(distinct.items(), key=lambda row: hashlib.sha256(row[0].encode("utf-8", "replace")).digest())
    cut = min(CALIBRATE_ON, 2 * len(ordered) // 5)
    return ordered[:cut], ordered[cut : cut + CHECK_ON]


def _rungs(
    reference: Runtime, encoder: Encoder, calibration: Sequence[Row], held: Sequence[Row]
) -> Iterator[tuple[Precision, bytes | None, Checked]]:
    expected = reference.probabilities([text for text, _ in held])
    ranges = observe(encoder, reference.encode([text for text, _ in calibration]))
    for precision, skipped in LADDER.items():
        model = build(encoder, quantise(encoder, ranges, skipped)).SerializeToString(deterministic=True)
        yield precision, model, check_engine(reference.with_engine(open_session(model, threads=1)), held, expected)
    yield "fp32", None, check_engine(reference, held, expected)


def _told(failed: Sequence[Tried]) -> str | None:
    return "; ".join(f"{one.precision}: {', '.join(one.checked.faults)}" for one in failed) or None
