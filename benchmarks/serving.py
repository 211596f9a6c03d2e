"""Serving: Headgate against mlflow models serve, BentoML, Ray Serve, LitServe and FastAPI + pipeline(), the same fine-tuned model in all.

Two workers each, one thread a worker, every server in an environment of its own; wrk sends texts of BANKING77 over 1, 16 and 64
connections, first distinct ones (Headgate's cache off), then every second one of 100 that it has sent before (cache on).
The servers take turns in each round, each started for its turn alone; medians of the rounds.
The machine's cores serve wrk too: requests per CPU-second of all the server's processes (psutil) are the steadier comparison.
wrk waits for each answer before it sends the next on a connection, so that p50 and p99 are those of a full queue at 16 and 64.

The stock peers run `transformers.pipeline("text-classification")` in float32; its pooling is custom code (serving_peers/mean_pooling.py),
since transformers has no class with it. LitServe also runs with Headgate's engine. Then, in each round: Headgate's engine without a server,
one Headgate process that answers from its cache alone, and a server that does nothing, which shows what wrk can ask for here.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from peers import CHECKOUT
from serving_load import Body, check_wrk, run_wrk, write_texts
from serving_model import default_classifier, stock_form
from serving_processes import Running, free_port, started
from serving_servers import OURS, PEERS, Model, Server, choose_servers, saved_at
from serving_table import BASIS, Found, find_ratios, markdown, summarise, unlike

from headgate.model.runtime import Runtime

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("HEADGATE_SHARED", CHECKOUT.parent / "shared"))
WORKERS, WARM_UP_S, CHECKED = 2, 2.0, 50
LEAST_AGREEMENT = 0.9


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON; the exit status is 1 where an answer was missing or wrong."""
    options = parse(arguments)
    check_wrk()
    model = prepare(options)
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, model, Path(folder))
        ready = [server for server in options.servers if bench.ready(server, failed)]
        rounds = [found for number in range(options.rounds) for found in bench.round(ready, number, failed)]
    stock = [server.name for server in ready if server.stock]
    rows = summarise(rounds, stock)
    extra = {name: median(values) for name, values in bench.extra.items()}
    ratios = find_ratios(rows, extra["engine_texts_per_cpu_s"], extra["cache_hits_rps"], extra["wrk_ceiling_rps"])
    show(options, rows, failed, extra, ratios)
    if options.json:
        found = {"rows": rows, "not_measured": failed, "extra": extra, "rounds": rounds, "ratios": ratios}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return int(any(row["errors"] or row["agreement"] < LEAST_AGREEMENT for row in rows))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="folder with banking77/ (default: %(default)s)")
    parser.add_argument("--bundle", type=Path, help="with --classifier: serve these instead of a BANKING77 classifier trained once")
    parser.add_argument("--classifier", type=Path, help="the saved classifier that the bundle was wrapped from (a BERT encoder)")
    parser.add_argument("--peers", metavar="A,B", help="starts of names: fastapi, mlflow, bentoml, ray, litserve (default: all)")
    parser.add_argument("--connections", default="1,16,64", help="of wrk (default: %(default)s)")
    parser.add_argument("--duration-s", type=float, default=5.0, help="of each run of wrk, whole seconds (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="times each server has its turn (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few minutes: FastAPI and LitServe, 1 round of 2 s a run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and ratios there")
    options = parser.parse_args(arguments)
    if options.quick:
        options.peers, options.rounds, options.duration_s = options.peers or "fastapi,litserve", 1, 2.0
    if (options.bundle is None) != (options.classifier is None):
        parser.error("--bundle and --classifier: expected both or neither, since the peers serve the classifier's weights")
    try:
        options.servers = choose_servers(options.peers)
        options.connections = [int(number) for number in options.connections.split(",")]
    except ValueError as fault:
        parser.error(str(fault))
    return options


def prepare(options: argparse.Namespace) -> Model:
    """The model in both forms."""
    given = (options.classifier, options.bundle) if options.bundle else default_classifier(options.data)
    classifier, bundle = (path.resolve() for path in given)
    return Model(stock_form(classifier), bundle)


class Bench:
    """One run of the benchmark: the texts, what the labels should be, and the extra measurements."""

    def __init__(self, options: argparse.Namespace, model: Model, folder: Path) -> None:
        self.options, self.model, self.folder, self.runs = options, model, folder, 0
        found = [path.read_text(encoding="utf-8") for path in (options.data / "banking77" / name for name in ("test.jsonl", "train.jsonl"))]
        texts = [json.loads(line)["text"] for part in found for line in part.splitlines()]
        self.texts = folder / "texts"
        write_texts(texts, self.texts)
        self.checked = texts[:: len(texts) // CHECKED][:CHECKED]
        self.expected = [str(label) for label in Runtime.load(model.bundle).predict(self.checked)]
        self.extra: dict[str, list[float]] = {}

    def ready(self, server: Server, failed: dict[str, str]) -> bool:
        """Whether a server's environment and its form of the model are there, made if need be; the reason goes to `failed`."""
        try:
            python, saved = server.python(), saved_at(server.name, self.model)
            if server.save and not saved.is_dir():
                command = [str(python), str(PEERS / server.save), str(self.model.stock), str(saved)]
                subprocess.run(command, env={**os.environ, **server.settings(self.model, 0)}, check=True)
        except subprocess.CalledProcessError as fault:
            failed[server.name] = str(fault)
        return server.name not in failed

    def round(self, servers: Sequence[Server], number: int, failed: dict[str, str]) -> list[Found]:
        """Each server's turn, begun with another one in each round, then the engine alone, cache hits and wrk's ceiling."""
        found = []
        for place in range(len(servers)):
            server = servers[(place + number) % len(servers)]
            try:
                found += [self.turn(server)] if server.name not in failed else []
            except RuntimeError as fault:
                if server.name == OURS:
                    raise
                failed[server.name] = str(fault)
                print(f"{server.name}: {fault}", file=sys.stderr)
        ours = next(server for server in servers if server.name == OURS)
        for name, value in {"engine_texts_per_cpu_s": self.engine(), **self.cache_hits(ours), **self.ceiling()}.items():
            self.extra.setdefault(name, []).append(value)
        return found

    def turn(self, server: Server) -> Found:
        """Start one server, warm it up, check its labels, load it, read its memory."""
        print(f"{server.name} ...", file=sys.stderr)
        port, loads = free_port(), {}
        with self.start(server, port) as running:
            self.load(running, server, "distinct", 16, WARM_UP_S)
            right = [running.ask(server.body, text) == label for text, label in zip(self.checked, self.expected, strict=True)]
            for texts in ("distinct", "repeats"):
                for connections in self.options.connections:
                    loads[f"{texts} {connections}"] = self.load(running, server, texts, connections, self.options.duration_s)
            memory = running.memory()
        held = {"largest_rss_mb": memory.largest_rss_mb, "pss_mb": memory.pss_mb, "processes": memory.processes}
        return {
            "server": server.name,
            "start_s": running.start_s,
            "start_cpu_s": running.start_cpu_s,
            **held,
            "agreement": sum(right) / len(right),
            "loads": loads,
        }

    def start(self, server: Server, port: int, workers: int = WORKERS) -> Any:
        """A server on its way to its first answer."""
        command = [str(server.python()), *server.filled(self.model, port)]
        if server.name == OURS:
            command[command.index("--workers") + 1] = str(workers)
        return started(command, port, server.settings(self.model, port), server.body, self.folder / "server.log", self.folder)

    def load(self, running: Running, server: Server, texts: Any, connections: int, duration_s: float) -> dict[str, float]:
        """One run of wrk, once nothing of the one before is under way, with the CPU time that all the server's processes took meanwhile."""
        self.runs += 1
        running.settle()
        cpu, cached = running.cpu_s(), texts != "distinct" or server.name != OURS
        address = f"http://127.0.0.1:{running.port}"
        found = run_wrk(address, server.body, self.texts, texts, connections, duration_s, self.runs, cached)
        good = found["requests"] - found["errors"]
        used = max(running.cpu_s() - cpu, 0.01)
        rates = {"rps": good / found["seconds"], "per_cpu_s": good / used, "cores": used / found["seconds"]}
        return {**rates, "p50_ms": found["p50_ms"], "p99_ms": found["p99_ms"], "errors": found["errors"]}

    def engine(self) -> float:
        """Texts per CPU-second of the engine in as many processes as a server has."""
        command = [sys.executable, str(HERE / "serving_engine.py"), str(self.model.bundle), str(self.texts), str(self.options.duration_s)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)]
        found = [json.loads(process.communicate()[0]) for process in running]
        return float(sum(one["texts"] for one in found) / sum(one["cpu_s"] for one in found))

    def cache_hits(self, server: Server) -> dict[str, float]:
        """Rates of one Headgate process at 64 connections, all answered from its cache."""
        with self.start(server, free_port(), workers=1) as running:
            self.load(running, server, "hits", 16, 1.0)
            found = self.load(running, server, "hits", 64, self.options.duration_s)
        return {"cache_hits_rps": found["rps"], "cache_hits_per_cpu_s": found["per_cpu_s"]}

    def ceiling(self) -> dict[str, float]:
        """Rates that wrk reaches at 64 connections against a server that does nothing."""
        nothing, port = Server("nothing", Body("/"), ()), free_port()
        command = [sys.executable, str(HERE / "serving_ceiling.py"), str(port)]
        with started(command, port, {}, nothing.body, self.folder / "server.log", self.folder) as running:
            found = self.load(running, nothing, "hits", 64, self.options.duration_s)
        return {"wrk_ceiling_rps": found["rps"], "wrk_ceiling_per_cpu_s": found["per_cpu_s"]}


def show(
    options: argparse.Namespace, rows: Sequence[Found], failed: dict[str, str], extra: dict[str, float], ratios: dict[str, float]
) -> None:
    """The table, the ratios last."""
    numbers = " / ".join(map(str, options.connections))
    print(
        f"{WORKERS} workers each, {numbers} connections, {options.duration_s:g} s a run, median of {options.rounds} interleaved round(s)\n"
    )
    print(markdown(rows, failed, options.connections) + "\n")
    for row in (row for row in rows if row["errors"] or row["agreement"] < LEAST_AGREEMENT):
        print(f"WRONG: {row['server']}: {row['errors']} requests without a good answer, {row['agreement']:.0%} of the labels agree")
    if warning := unlike(rows):
        print(warning)
    for name, value in extra.items():
        print(f"{name}: {value:,.0f}")
    print(f"memory_mb (largest process of {OURS}): {next(row for row in rows if row['server'] == OURS)['largest_rss_mb']:.0f}")
    for name, value in ratios.items():
        print(f"{name}: {value:.2f} ({BASIS[name]})")


if __name__ == "__main__":
    sys.exit(main())
