"""Runs Locust for a load test, in processes of its own (its gevent must not patch ours)."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headgate.errors import Unavailable
from headgate.evaluation.load_report import LoadStep, Role
from headgate.evaluation.sample_file import Lane
from headgate.evaluation.samples import Samples, read_samples
from headgate.settings import LoadTest

REQUEST_TIMEOUT_S = 10.0
CONNECTIONS = 128
START_AND_STOP_S = 60.0
WORKERS_WAIT_S = 45
MOST_TEXTS = 20_000
TIMES_EACH_CACHED = 4  # how often a text comes with the cache on, in the mean

Cohorts = Mapping[Role, str | None]


@dataclass(frozen=True, slots=True)
class LoadRun:
    """What Locust brought back: samples of the parts, when each part began (UNIX time), and the steps of the stairs."""

    samples: Samples
    began: tuple[float, ...]
    stairs: tuple[LoadStep, ...]
    workers: int


def run_locust(url: str, texts: Sequence[str], cohorts: Cohorts, settings: LoadTest, out: Path) -> LoadRun:
    """Run the whole test; writes load_samples.bin and locust.log under `out`. Unavailable if Locust did not finish."""
    plan = load_plan(url, texts, cohorts, settings, out)
    file, result, log = out / "load_plan.json", Path(plan["result"]), out / "locust.log"
    result.unlink(missing_ok=True)
    file.write_text(json.dumps(plan))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    ended = _ended(_command(settings), environment | {"HEADGATE_LOAD_PLAN": str(file)}, log, _limit_s(plan, settings))
    file.unlink()  # it holds the texts
    if not result.exists():
        last = "\n".join(log.read_text().splitlines()[-5:])
        raise Unavailable(f"load test of {url}: expected samples from Locust, found none; {ended}. Last lines of {log.name}:\n{last}")
    found = json.loads(result.read_text())
    lanes = [Lane.model_validate(lane) for lane in plan["lanes"]]
    samples = read_samples(Path(plan["samples"]), lanes, found["faults"])
    return LoadRun(samples, tuple(found["began"]), tuple(LoadStep.model_validate(step) for step in found["stairs"]), found["workers"])


def load_plan(url: str, texts: Sequence[str], cohorts: Cohorts, settings: LoadTest, out: Path) -> dict[str, Any]:
    """Everything that Locust is told: a part with the cache off, one with it on, each over all models in turn, then the stairs.

    Texts are a seeded sample of the given ones, so that their lengths are spread alike; Locust draws from it with replacement.
    """
    lanes = [Lane(role=role, cohort=cohort, cache=cache) for cache in (False, True) for role, cohort in cohorts.items()]
    drawn = np.random.default_rng(0).permutation(len(texts))[:MOST_TEXTS]
    parts = [_part(list(range(len(cohorts))), settings.duration_s, settings, len(drawn))]
    if settings.cached_duration_s:
        few = max(1, round(settings.cached_duration_s * settings.rate_per_s / TIMES_EACH_CACHED))
        parts.append(_part(list(range(len(cohorts), len(lanes))), settings.cached_duration_s, settings, min(few, len(drawn))))
    return {
        "url": url,
        "timeout_s": REQUEST_TIMEOUT_S,
        "connections": CONNECTIONS,
        "lanes": [lane.model_dump() for lane in lanes],
        "texts": [texts[i] for i in drawn],
        "parts": parts,
        "settings": settings.model_dump(),
        "samples": str(out / "load_samples.bin"),
        "result": str(out / "load_result.json"),
    }


def _part(lanes: list[int], duration_s: float, settings: LoadTest, texts: int) -> dict[str, Any]:
    rounds = int(np.ceil((settings.warm_up_s + duration_s) * settings.rate_per_s))
    return {"lanes": lanes, "rate_per_s": settings.rate_per_s, "rounds": rounds, "texts": texts}


def _limit_s(plan: dict[str, Any], settings: LoadTest) -> float:
    """Seconds after which Locust is surely stuck."""
    parts: float = sum(part["rounds"] / part["rate_per_s"] + REQUEST_TIMEOUT_S for part in plan["parts"])
    roles = len({lane["role"] for lane in plan["lanes"]})
    return parts + roles * settings.stairs_max_steps * (settings.stairs_step_s + REQUEST_TIMEOUT_S) + START_AND_STOP_S


def _command(settings: LoadTest) -> list[str]:
    file, users = Path(__file__).with_name("locustfile.py"), settings.remote_workers or settings.processes
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(file),
        "--headless",
        "--only-summary",
        "--exit-code-on-error",
        "0",
        "-u",
        str(users),
    ]
    if settings.remote_workers:
        host, _, port = settings.master.rpartition(":")
        command += ["--master", "--master-bind-host", host, "--master-bind-port", port]
        command += ["--expect-workers", str(users), "--expect-workers-max-wait", str(WORKERS_WAIT_S)]
    elif users > 1:
        port = str(_free_port())
        command += ["--processes", str(users), "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]
    return command


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _ended(command: list[str], environment: dict[str, str], log: Path, limit_s: float) -> str:
    """Run it to its end and say how it ended; what it started ends with it."""
    with log.open("w") as target:
        process = subprocess.Popen(command, env=environment, cwd=log.parent, stdout=target, stderr=target, start_new_session=True)
        try:
            return f"it ended with code {process.wait(limit_s)}"
        except subprocess.TimeoutExpired:
            return f"it was stopped after {limit_s:g} s"
        finally:
            _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        return
    finally:
        process.wait()
