"""The pure parts of the benchmark of data versions; the measurements themselves are run by hand."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def round_of(**cpu_s: float) -> dict[str, object]:
    return {"comparison": "ingest", "costs": {side: {"cpu_s": seconds, "wall_s": 2 * seconds} for side, seconds in cpu_s.items()}}


def test_a_ratio_is_the_median_of_the_rounds_ours_over_each_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    rows = [round_of(write=1, parse=2, ours=4), round_of(write=1, parse=2, ours=8), round_of(write=2, parse=3, ours=6)]
    assert importlib.import_module("data").ratios(rows) == {
        "ingest": 4,
        "ingest_wall": 4,
        "ingest_over_parse": 2,
        "ingest_over_parse_wall": 2,
    }
