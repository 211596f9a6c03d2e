"""How long statistics and evidence page take for a large regression set, and how much memory: 100,000 rows of 150 labels by default.

No peer makes such a page, so that this is measured against the bounds of the project alone: 20 s and 1 GiB on 2 cores.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROWS, LABELS, MAX_SECONDS, MAX_MIB = 100_000, 150, 20.0, 1024.0
WORDS = (
    *("we", "have", "no", "budget", "for", "this", "please", "take", "me", "off", "the", "list"),
    *("call", "on", "thursday", "not", "now", "who", "is", "in", "charge", "of", "procurement", "thanks"),
)


def measure_page(rows: int = ROWS, labels: int = LABELS) -> dict[str, float]:
    """Statistics and page in a process of its own; names page_seconds_100k_rows, cpu seconds, peak MiB and page MiB."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", "--rows", str(rows), "--labels", str(labels)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: float(value) for name, value in json.loads(done.stdout.splitlines()[-1]).items()}


def _measure_here(rows: int, labels: int) -> dict[str, float]:
    """Imports and the making of the answers are not part of the time; they are part of the memory."""
    from headgate.data.version import DataVersion
    from headgate.evaluation.evidence import Evidence, ReleaseSubject, write_evidence
    from headgate.evaluation.regression import regression_test
    from headgate.evaluation.report import Subject
    from headgate.settings import Gates

    frame, candidate, champion = _answers(rows, labels)
    data = DataVersion(dataset="large", version=0, digest="0" * 32, rows=rows)
    with tempfile.TemporaryDirectory(prefix="headgate-") as name:
        out = Path(name)
        started, cpu = time.perf_counter(), time.process_time()
        subject = Subject(role="candidate", model="large", bundle_digest="0" * 64)
        report = regression_test(subject, data, frame, candidate, Gates(), out, champion=champion)
        middle, middle_cpu = time.perf_counter(), time.process_time()
        evidence = Evidence(
            model="large",
            subject=ReleaseSubject(bundle_digest="0" * 64, data=data, commit="0" * 40, started_by="person:benchmark", champion="1" * 64),
            report=report,
            load=None,
            data_checks=(),
            provenance={},
            gates=Gates(),
            made_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        write_evidence(out, evidence)
        ended = time.perf_counter()
        return {
            "page_seconds_100k_rows": ended - started,
            "statistics_seconds": middle - started,
            "cpu_seconds": time.process_time() - cpu,
            "statistics_cpu_seconds": middle_cpu - cpu,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "page_mib": (out / "index.html").stat().st_size / 2**20,
            "flips": float(len(report.harmful) + len(report.beneficial)),
        }


def _answers(rows: int, labels: int):  # type: ignore[no-untyped-def]  # frames, which are imported by the child only
    """Rows, and two models that are right on 88 and 87 of 100 of them, in part on the same ones."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    names = np.array([f"topic-{i // 10:02}/label-{i:03}" for i in range(labels)])
    truth = names[rng.integers(0, labels, rows)]
    lengths = rng.integers(4, 60, rows)
    words = np.array(WORDS)
    texts = [" ".join(words[rng.integers(0, len(words), length)]) for length in lengths]
    ids = [f"r{i:06}" for i in range(rows)]
    frame = pd.DataFrame({"id": ids, "text": texts, "label": truth, "source": rng.choice(["annotation", "correction"], rows)})
    ease = rng.random(rows)
    answers = []
    for share in (0.88, 0.87):
        right = ease + rng.normal(0, 0.03, rows) < share
        said = np.where(right, truth, names[rng.integers(0, labels, rows)])
        score = np.clip(np.where(right, 0.6 + 0.4 * rng.random(rows), 0.3 + 0.5 * rng.random(rows)), 0, 1)
        columns = {"predicted": said, "score": score, "outcome": "scored", "reason": None, "prediction_id": "p"}
        answers.append(frame[["id", "text", "label"]].assign(**columns).astype(object))
    return frame, *answers


def main() -> None:
    """Print the table, or write it with --json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--labels", type=int, default=LABELS)
    parser.add_argument("--json", type=Path, help="write rows and ratios here")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(_measure_here(given.rows, given.labels)))
        return
    found = measure_page(given.rows, given.labels)
    print(f"| of {given.rows:,} rows x {given.labels} labels | found | bound |\n| --- | --- | --- |")
    bounds = {"page_seconds_100k_rows": f"{MAX_SECONDS:g}", "peak_mib": f"{MAX_MIB:g}"}
    for name, value in found.items():
        print(f"| {name} | {value:.1f} | {bounds.get(name, '')} |")
    if given.json:
        given.json.write_text(
            json.dumps({"rows": [found], "ratios": {"page_seconds_100k_rows": found["page_seconds_100k_rows"]}}, indent=1)
        )


if __name__ == "__main__":
    main()
