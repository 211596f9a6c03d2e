"""The pure parts of the benchmark of switches; the measurement itself is run by hand, and in small by tests/contract."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headgate.evaluation.load_run import LoadRun
from headgate.model.bundle import open_bundle

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def switches(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("switches")


class MadeUp:
    """A world after its switches, which took from second 10 to 12 and from 20 to 21 of the load."""

    verdict_at, weightless_at, reason = 1020.5, 1020.6, "failed: error_rate"

    def __init__(self, timed: Any) -> None:
        self.done = [timed("promote", 1010.0, 1012.0), timed("put back", 1020.0, 1021.0)]

    def last_answer_s(self) -> float:
        return -0.25


def samples(seconds: int = 30, lost_at: int | None = None) -> pd.DataFrame:
    """10 requests a second that take 5 ms, 50 ms from second 10 to 12."""
    offset = np.arange(0, seconds, 0.1)
    slow = (offset >= 10) & (offset <= 12)
    fault = np.full(len(offset), None, dtype=object)
    if lost_at is not None:
        fault[int(lost_at * 10)] = "HTTP 503"
    return pd.DataFrame({"offset_s": offset, "latency_ms": np.where(slow, 50.0, 5.0), "fault": fault})


def summary(switches: ModuleType, found: pd.DataFrame) -> Any:
    world = MadeUp(sys.modules["switches_world"].Timed)
    return switches.summary(world, LoadRun(found, (1000.0,), (), 1), 14.3, 10.0)


def test_a_switch_has_the_requests_that_began_during_it_and_shortly_after(switches: ModuleType) -> None:
    found = summary(switches, samples())
    assert [(row["name"], row["requests"], row["failed"]) for row in found["rows"]] == [
        ("promote", 41, 0),
        ("put back", 31, 0),
        ("calm", 228, 0),
        ("all", 300, 0),
    ]
    told = found["ratios"]
    assert told["worst_p99_over_calm"] == pytest.approx(10)
    assert told["verdict_to_all_weight_s"] == pytest.approx(0.1)
    assert (told["requests_beside_switches"], told["failed_requests"], told["load_covered_all"]) == (72, 0, True)


def test_a_lost_request_is_counted_where_it_was_lost(switches: ModuleType) -> None:
    found = summary(switches, samples(lost_at=11))
    assert found["ratios"]["failed_requests"] == 1
    assert [row["faults"] for row in found["rows"]] == [{"HTTP 503": 1}, {}, {}, {"HTTP 503": 1}]
    assert "    1 x HTTP 503" in switches.table(found)


def test_a_load_that_ended_before_the_last_switch_covers_not_all(switches: ModuleType) -> None:
    assert summary(switches, samples(20))["ratios"]["load_covered_all"] is False


def test_the_three_bundles_are_real_ones_with_digests_of_their_own(switches: ModuleType, bundle: Path, tmp_path: Path) -> None:
    made = sys.modules["switches_world"].three_releases(bundle, tmp_path)
    assert [open_bundle(one.bundle).digest for one in made] == [one.release.bundle_digest for one in made]
    assert len({one.release.id for one in made}) == len({one.release.bundle_digest for one in made}) == 3
    examples = json.loads((made[0].bundle / "examples.jsonl").read_text().splitlines()[0])
    assert switches.example_texts(bundle)[0] == f"{examples['input']['text']} 0"
