"""The history of regression tests of live champions, and when it is alarming."""

from collections.abc import Sequence
from datetime import datetime

from headgate.lake import Lake
from headgate.record import Record
from headgate.settings import Gates


class Measurement(Record):
    """One regression test of a live champion."""

    model: str
    release: str
    at: datetime
    rows: int
    accuracy: float
    macro_f1: float
    coverage: float
    verdict: str


def add_measurement(lake: Lake, measurement: Measurement) -> None:
    """Keep a measurement under its time; the first one of a moment stays."""
    lake.put_if_absent(f"regression/{measurement.model}/{measurement.at:%Y%m%dT%H%M%S%f}.json", measurement.to_bytes())


def history(lake: Lake, model: str) -> list[Measurement]:
    """All measurements of a model, oldest first."""
    return [Measurement.model_validate_json(lake.read(key)) for key in lake.keys(f"regression/{model}")]


def alarm(measurements: Sequence[Measurement], gates: Gates) -> str | None:
    """What is wrong with the newest measurement, or None.

    The rows and the model are the same as before, so any fall beyond the margins is a fault of the serving side.
    """
    newest = measurements[-1]
    if newest.verdict != "passed":
        return f"the regression test {newest.verdict}"
    before = [old for old in measurements[:-1] if old.release == newest.release]
    if not before:
        return None
    for name, margin in (("accuracy", gates.max_accuracy_drop), ("macro_f1", gates.max_macro_f1_drop)):
        was, now = getattr(before[0], name), getattr(newest, name)
        if was - now > margin:
            return f"{name} fell from {was:.3f} to {now:.3f} for the same release and rows, allowed {margin:.3f}"
    return None
