"""`benchmarks/switches.py` in small: every switch of a release under load, on a real endpoint with real model servers and Locust."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

RATE_PER_S, SECONDS = 80, 90
SWITCHES = Path(__file__).parents[2] / "benchmarks" / "switches.py"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_request_fails_through_any_switch(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "switches.json"
    command = [
        sys.executable,
        str(SWITCHES),
        "--bundle",
        str(bundle),
        "--rate",
        str(RATE_PER_S),
        "--seconds",
        str(SECONDS),
        "--calm",
        "0.5",
        "--json",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    told, names = found["ratios"], [row["name"] for row in found["rows"]]
    assert (told["failed_requests"], told["load_covered_all"], told["requests"]) == (0, True, RATE_PER_S * SECONDS)
    assert names == [
        "deploy beside the champion",
        "shift 10%",
        "shift 50%",
        "promote",
        "canary of a crash loop, automatic rollback",
        "put back",
        "rollback of the rollback",
        "delete the other endpoint",
        "calm",
        "all",
    ]
    assert all(row["requests"] > 0 for row in found["rows"])
    assert told["rolled_back_because"].startswith("failed: error_rate")
    assert math.isfinite(told["verdict_to_all_weight_s"])
