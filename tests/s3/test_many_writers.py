"""Many processes at once on a real S3. `benchmarks/s3_writers.py --commits 1000` is the long form of the first test."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from headgate.errors import Conflict, Stale
from headgate.lake import Lake, open_lake
from headgate.release.champion import champion, crown

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "s3_writers.py"
COMMITS = os.environ.get("HEADGATE_S3_COMMITS", "64")


def test_sixteen_writers_lose_and_double_nothing_and_every_version_holds_what_its_digest_says(s3_uri: str, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    command = [sys.executable, BENCHMARK, "--writers", "16", "--commits", COMMITS, "--peer-commits", "0", "--lake", s3_uri, "--json", told]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(told.read_text())["rows"][0]
    assert (report["writers that gave up"], report["faults"]) == ([], {})
    assert report["commits"] >= int(COMMITS)


def crown_again_and_again(uri: str, writer: int, gate: Any, results: Any) -> None:
    """Be champion five times, each time after whoever is."""
    lake, crowned = open_lake(uri), list[str]()
    gate.wait()
    while len(crowned) < 5:
        live = champion(lake, "replies", "production")
        release = f"{writer}-{len(crowned)}"
        try:
            crown(lake, "replies", "production", release, live.release if live else None, datetime.now(UTC))
            crowned.append(release)
        except (Conflict, Stale):
            continue
    results.put(crowned)


def test_of_champions_crowned_at_once_each_follows_the_one_before(lake: Lake) -> None:
    context = get_context("spawn")
    gate, results = context.Barrier(4), context.Queue()
    processes = [context.Process(target=crown_again_and_again, args=(lake.uri, writer, gate, results)) for writer in range(4)]
    for process in processes:
        process.start()
    crowned = [release for _ in processes for release in results.get(timeout=120)]
    for process in processes:
        process.join()
    live = champion(lake, "replies", "production")
    assert live is not None
    assert len(crowned) == 20
    assert sorted([live.release, *live.previous]) == sorted(crowned)
