"""Scoring for the regression test against the engine alone: what HTTP, chunks on disk and the client cost.

The same rows of BANKING77, cache off. Engine: `Runtime.score` over batches of 32 in as many processes as the server has workers, which
start together after a warm-up. Ours: `score_in_chunks` through `python -m headgate.serving --workers N`, chunks written to disk. The
two take turns; medians of the rounds. CPU-seconds of all processes of a side (the client's too) are the steadier comparison where the
machine is shared; the wall clock also sees idle cores, on a quiet machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pandas as pd
import psutil
from serving_processes import free_port

from headgate.evaluation.asking import Endpoint
from headgate.evaluation.chunks import score_in_chunks
from headgate.model.bundle import open_bundle
from headgate.settings import Scoring

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
READY_S = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=CHECKOUT / ".headgate/bench/serving/bundle", help="default: %(default)s")
    parser.add_argument("--data", type=Path, default=CHECKOUT.parent / "shared/data", help="folder with banking77/ (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=4_000, help="rows a round, texts repeat where there are fewer (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=2, help="of the server, and processes of the engine (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and ratios there")
    options = parser.parse_args(arguments)
    found = measure(options.bundle, options.rows, options.data, options.rounds, options.workers)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one side took: seconds of the wall clock, and CPU-seconds of all its processes."""

    wall_s: float
    cpu_s: float


def measure(bundle: Path, rows: int, data: Path = CHECKOUT.parent / "shared/data", rounds: int = 3, workers: int = 2) -> dict[str, Any]:
    """{rows, ratios}: the cost of both sides in each round, and `scoring_over_engine` by CPU-seconds and by the wall clock."""
    texts = read_texts(data / "banking77", rows)
    found = []
    with tempfile.TemporaryDirectory() as folder, serving(bundle, workers) as server:
        server.score(texts[:500], Path(folder) / "warm-up")
        for number in range(rounds):
            sides = {
                "engine": lambda: engine(bundle, texts, workers),
                "scoring": lambda chunks=Path(folder) / str(number): server.score(texts, chunks),
            }
            order = list(sides)[:: 1 if number % 2 == 0 else -1]
            found.append({"rows": rows, "workers": workers} | {side: asdict(sides[side]()) for side in order})
    return {"rows": found, "ratios": {"scoring_over_engine": ratio(found, "cpu_s"), "scoring_over_engine_wall": ratio(found, "wall_s")}}


def ratio(rounds: Sequence[dict[str, Any]], what: str) -> float:
    """The median of the rounds' ratios."""
    return median(one["scoring"][what] / one["engine"][what] for one in rounds)


def show(found: dict[str, Any]) -> None:
    """The table, the ratios last."""
    print("| round | rows | engine, rows/s | scoring, rows/s | engine, rows/CPU-s | scoring, rows/CPU-s |\n|---|---|---|---|---|---|")
    for number, row in enumerate(found["rows"], 1):
        rates = [f"{row['rows'] / row[side][what]:.0f}" for what in ("wall_s", "cpu_s") for side in ("engine", "scoring")]
        print(f"| {number} | {row['rows']} | {' | '.join(rates)} |")
    print()
    for name, value in found["ratios"].items():
        print(f"{name}: {value:.2f}")


def read_texts(folder: Path, rows: int) -> list[str]:
    """So many texts, from the test set on."""
    lines = [line for name in ("test.jsonl", "train.jsonl") for line in (folder / name).read_text(encoding="utf-8").splitlines()]
    return list(islice(cycle(json.loads(line)["text"] for line in lines), rows))


def engine(bundle: Path, texts: Sequence[str], processes: int) -> Cost:
    """The cost of so many processes, which share the texts out and start together; the slowest counts."""
    command = [sys.executable, str(HERE / "scoring_engine.py"), str(bundle)]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    for number, process in enumerate(running):
        tell(process, json.dumps(list(texts[number::processes])))
    assert [hear(process) for process in running] == ["ready"] * processes
    begun = time.perf_counter()
    for process in running:
        tell(process, "go")
    cpu_s = sum(float(hear(process)) for process in running)
    wall_s = time.perf_counter() - begun
    for process in running:
        process.communicate(timeout=60)
    return Cost(wall_s, cpu_s)


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Write a line to a process."""
    assert process.stdin
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    """The next line of a process."""
    assert process.stdout
    return process.stdout.readline().strip()


@dataclass(frozen=True, slots=True)
class Server:
    """A running server of a bundle."""

    process: psutil.Process
    url: str
    digest: str

    def score(self, texts: Sequence[str], folder: Path) -> Cost:
        """Score the texts through it with the settings' defaults, chunks kept under `folder`."""
        frame = pd.DataFrame({"id": [f"{n:06d}" for n in range(len(texts))], "text": texts, "label": ""})
        settings = Scoring()
        where = Endpoint(self.url, self.digest, "champion", settings.request_rows, settings.requests_at_once)
        cpu, begun = self.cpu_s() + time.process_time(), time.perf_counter()
        with ThreadPoolExecutor(settings.chunks_at_once) as pool:
            found = score_in_chunks({"champion": where}, frame, "bench", folder, pool, settings.chunk_rows, settings.chunks_at_once)
        cost = Cost(time.perf_counter() - begun, self.cpu_s() + time.process_time() - cpu)
        assert found["champion"]["outcome"].notna().all()
        return cost

    def cpu_s(self) -> float:
        """CPU-seconds of the supervisor and its workers so far."""
        times = [process.cpu_times() for process in (self.process, *self.process.children(recursive=True))]
        return sum(one.user + one.system for one in times)


@contextmanager
def serving(bundle: Path, workers: int) -> Iterator[Server]:
    """A server that is ready; it drains at the end."""
    port = free_port()
    command = [sys.executable, "-m", "headgate.serving", str(bundle), "--port", str(port), "--workers", str(workers)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(url := f"http://127.0.0.1:{port}")
            yield Server(psutil.Process(process.pid), url, open_bundle(bundle).digest)
        finally:
            process.terminate()


def _wait(url: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/ping", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            time.sleep(1)  # the other workers are as good as ready
            return
    raise RuntimeError(f"{url} was not ready after {READY_S:g} s")


if __name__ == "__main__":
    sys.exit(main())
