"""A bundle tested in this process, without an endpoint: what `headgate test` does."""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from headgate.data.files import read_annotations
from headgate.data.rows import Annotation, digest_of, parse_row, row_hash
from headgate.data.version import DataVersion
from headgate.errors import BadInput
from headgate.evaluation.regression import regression_test
from headgate.evaluation.report import Report, Subject
from headgate.evaluation.scoring import score_through
from headgate.model.runtime import Message, Runtime
from headgate.settings import Gates

FAULTS_SHOWN = 10


def test_bundle(
    bundle: Path,
    data: Path,
    out: Path,
    gates: Gates | None = None,  # noqa: PT028  # no pytest test, whatever its name
    progress: Callable[[int, int], None] | None = None,  # noqa: PT028  # the same
) -> Report:
    """Score a file of texts and labels with a bundle and write report.json, predictions and pictures under `out`.

    BadInput lists the rows that cannot be tested; BadBundle if the bundle's files are not what they should be.
    """
    rows = read_test_rows(data)
    runtime = Runtime.load(bundle, threads=os.cpu_count() or 1)
    frame = pd.DataFrame([row.model_dump() for row in rows])
    version = DataVersion(dataset=data.stem, version=0, digest=digest_of(sum(map(row_hash, rows))), rows=len(rows))
    subject = Subject(role="bundle", model=bundle.name, bundle_digest=runtime.bundle.digest)
    predictions = score_through(_in_process(runtime), frame, progress=progress)
    return regression_test(subject, version, frame, predictions, gates or Gates(), out)


def read_test_rows(data: Path) -> list[Annotation]:
    """Every row of a file of annotations; BadInput names the lines that are not what they should be, since no row may be left out."""
    if not data.is_file():
        raise BadInput(f"expected a file of rows with text and label, found none at {data}")
    rows: list[Annotation] = []
    faults: list[str] = []
    for found in read_annotations(data.name, data.read_bytes()):
        try:
            if found.raw is None:
                raise BadInput(found.fault)
            rows.append(parse_row(found.raw))
        except BadInput as fault:
            faults.append(f"  line {found.line}: {fault}")
    if faults or not rows:
        shown = "\n".join(faults[:FAULTS_SHOWN]) or "  no row"
        raise BadInput(f"{data.name}: expected rows with text and label, found {len(faults)} that are not; mend or remove them:\n{shown}")
    return rows


def _in_process(runtime: Runtime) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Answers like an endpoint's, from a runtime in this process."""

    def invoke(body: dict[str, Any]) -> dict[str, Any]:
        messages = [Message(one["text"], one.get("headers")) for one in body["instances"]]
        return {"predictions": [asdict(scored) for scored in runtime.score(messages)]}

    return invoke
