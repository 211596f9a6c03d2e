"""Two minutes of load at 80% of saturation with workers killed at random; `benchmarks/soak.py --seconds 1800` is the same for longer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_workers_cause_no_wrong_answer_and_memory_stays_flat(bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(SOAK), str(bundle), "--seconds", "120", "--json", str(tmp_path / "soak.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads((tmp_path / "soak.json").read_text())["rows"]
    assert found["kills"] >= 4
    assert found["answered"] > 1_000
