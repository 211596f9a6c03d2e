"""Behavioural tests: pairs of texts, and what a changed text may do to the label (Ribeiro et al. 2020, CheckList).

Invariance: the label stays (another name, another signature, a typo). Directional: the label becomes what the row expects ("not interested"
added to a yes must not stay a yes). A file of JSON Lines holds the rows; each name is one test with its own tolerance.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, ValidationError, model_validator

from headgate.data.version import DataVersion
from headgate.errors import BadInput
from headgate.evaluation.report import Behaviour, BehaviourCase
from headgate.record import Record

CASES_SHOWN = 20
FAULTS_SHOWN = 10
NOTHING = "(skipped)"


class BehaviourRow(Record):
    """One pair of texts. `expected`, of directional rows: a label or its first level, "!" before it for anything but that.

    A directional row without `expected` wants another label than that of `text`. `tolerance` is the share of this test's rows that may
    fall; all rows of one name that give it give the same.
    """

    name: str = Field(min_length=1)
    kind: Literal["invariance", "directional"]
    text: str = Field(min_length=1)
    changed: str = Field(min_length=1)
    expected: str | None = Field(None, pattern=r"^!?[^!]+$")
    tolerance: float | None = Field(None, ge=0, le=1)

    @model_validator(mode="after")
    def _makes_sense(self) -> "BehaviourRow":
        if self.text == self.changed:
            raise ValueError("`changed` is the same as `text`")
        if self.kind == "invariance" and self.expected is not None:
            raise ValueError("`expected` belongs to directional rows; an invariance row expects the label of `text`")
        return self

    def held(self, said: str | None, said_of_changed: str | None) -> bool:
        """Whether the answer to the changed text is what it should be; None is what an endpoint skipped."""
        if self.kind == "invariance":
            return said == said_of_changed
        if said_of_changed is None:
            return False
        if self.expected is None:
            return said != said_of_changed
        wanted = self.expected.removeprefix("!")
        matches = said_of_changed == wanted or said_of_changed.startswith(f"{wanted}/")
        return matches != self.expected.startswith("!")


def read_behaviour(path: Path) -> tuple[BehaviourRow, ...]:
    """The rows of a file of behavioural tests; BadInput lists the lines that are not what they should be."""
    if not path.is_file():
        raise BadInput(f"expected a file of behavioural tests, found none at {path}; correct behaviour_rows in headgate.toml")
    rows: list[BehaviourRow] = []
    faults: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows.append(BehaviourRow.model_validate(json.loads(line)))
        except ValidationError as fault:
            faults += [f"  line {number}: {'.'.join(map(str, e['loc'])) or 'row'}: {e['msg']}" for e in fault.errors()]
        except ValueError as fault:
            faults.append(f"  line {number}: no JSON: {fault}")
    faults += _disagreements(rows)
    if faults or not rows:
        shown = "\n".join(faults[:FAULTS_SHOWN]) or "  no row"
        raise BadInput(f"{path.name}: expected rows with name, kind, text and changed, found {len(faults)} fault(s):\n{shown}")
    return tuple(rows)


def behaviour_version(name: str, rows: Sequence[BehaviourRow]) -> DataVersion:
    """What the rows are named by where their answers are kept."""
    digest = sha256(b"\n".join(row.to_bytes() for row in rows)).hexdigest()
    return DataVersion(dataset=name, version=0, digest=digest, rows=len(texts_to_score(rows)))


def texts_to_score(rows: Sequence[BehaviourRow]) -> pd.DataFrame:
    """Every text and changed text once, as rows that an endpoint can be asked: id, text, and label as nothing but a name."""
    texts = list(dict.fromkeys(text for row in rows for text in (row.text, row.changed)))
    return pd.DataFrame({"id": [f"behaviour-{i:05}" for i in range(len(texts))], "text": texts, "label": ""}, dtype=object)


def measure_behaviours(
    rows: Sequence[BehaviourRow], candidate: pd.DataFrame, champion: pd.DataFrame | None = None, tolerance: float = 0.1
) -> tuple[Behaviour, ...]:
    """How many rows of each test fell, by the answers to `texts_to_score(rows)`: frames with text, predicted and outcome.

    BadInput where a text has no answer. `tolerance` is for tests whose rows give none.
    """
    said, was_said = _answers(candidate), None if champion is None else _answers(champion)
    tests: dict[str, list[BehaviourRow]] = {}
    for row in rows:
        tests.setdefault(row.name, []).append(row)
    return tuple(_measured(name, test, said, was_said, tolerance) for name, test in tests.items())


def _measured(
    name: str, rows: Sequence[BehaviourRow], said: Mapping[str, str | None], was_said: Mapping[str, str | None] | None, default: float
) -> Behaviour:
    fallen = _fallen(rows, said)
    tolerance = next((row.tolerance for row in rows if row.tolerance is not None), default)
    return Behaviour(
        name=name,
        kind=rows[0].kind,
        rows=len(rows),
        fell=len(fallen),
        champion_fell=None if was_said is None else len(_fallen(rows, was_said)),
        tolerance=tolerance,
        verdict="passed" if len(fallen) <= tolerance * len(rows) + 1e-9 else "failed",
        cases=tuple(
            BehaviourCase(text=row.text, changed=row.changed, said=said[row.text] or NOTHING, said_of_changed=said[row.changed] or NOTHING)
            for row in fallen[:CASES_SHOWN]
        ),
    )


def _fallen(rows: Sequence[BehaviourRow], said: Mapping[str, str | None]) -> list[BehaviourRow]:
    missing = [row.name for row in rows if row.text not in said or row.changed not in said]
    if missing:
        raise BadInput(f"behavioural test {missing[0]}: {len(missing)} rows have no answer; score texts_to_score(rows) with each model")
    return [row for row in rows if not row.held(said[row.text], said[row.changed])]


def _answers(frame: pd.DataFrame) -> dict[str, str | None]:
    columns: tuple[list[Any], ...] = tuple(frame[name].tolist() for name in ("text", "predicted", "outcome"))
    return {text: None if outcome == "skipped" else label for text, label, outcome in zip(*columns, strict=True)}


def _disagreements(rows: Sequence[BehaviourRow]) -> list[str]:
    """Names whose rows differ in kind or tolerance."""
    seen: dict[str, tuple[set[str], set[float]]] = {}
    for row in rows:
        kinds, tolerances = seen.setdefault(row.name, (set(), set()))
        kinds.add(row.kind)
        tolerances.update([row.tolerance] if row.tolerance is not None else [])
    return [
        f"  {name}: its rows differ in {what}; give one of them another name"
        for name, found in seen.items()
        for what, differ in (("kind", len(found[0]) > 1), ("tolerance", len(found[1]) > 1))
        if differ
    ]
