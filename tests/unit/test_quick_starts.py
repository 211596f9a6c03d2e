"""Each flow run is a process of its own: whoever waits for a rollback or a release also waits for what its flow imports."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
SLOW = {"torch", "transformers", "mlflow", "great_expectations", "matplotlib", "sklearn"}


def test_rollback_release_and_decisions_start_without_the_libraries_of_training() -> None:
    code = f"import flows.rollback, flows.release, flows.retrain, sys; print(sorted({SLOW!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
