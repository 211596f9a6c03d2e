"""The load test: arrivals at a set rate against an endpoint, made by Locust in its own process (its gevent must not patch ours)."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from headgate.errors import BadInput, Unavailable
from headgate.evaluation import load_pictures
from headgate.evaluation.gates import overall
from headgate.evaluation.load_report import LatencyBin, LoadReport, SecondOfLoad
from headgate.evaluation.report import GateResult, Verdict
from headgate.settings import LoadTest

REQUEST_TIMEOUT_S = 10.0
CONNECTIONS = 128
START_AND_STOP_S = 60.0
KEPT_PACE = 0.95

Samples = pd.DataFrame  # columns offset_s, delay_ms, latency_ms, fault


def run_load_test(url: str, texts: Sequence[str], settings: LoadTest, out: Path) -> LoadReport:
    """Request evenly spaced predictions of shuffled `texts` for the warm-up and then `duration_s`, one text each, cache off.

    Writes load.json, pictures and Locust's log under `out`. Unavailable if Locust itself did not finish.
    """
    if not texts:
        raise BadInput("load test: expected at least one text to send, found none")
    if settings.rate_per_s * settings.duration_s < 1:
        raise BadInput(
            f"load test: expected a request or more, found {settings.rate_per_s:g}/s for {settings.duration_s:g} s; test for longer"
        )
    out = out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    samples = _run_locust(url, texts, settings, out)
    report = summarise(url, samples, settings)
    report = report.model_copy(update={"pictures": load_pictures.draw_load(report, out)})
    (out / "load.json").write_text(report.model_dump_json(indent=1))
    return report


def summarise(url: str, samples: Samples, settings: LoadTest) -> LoadReport:
    """Percentiles, time series and verdict of the requests whose intended start lies after the warm-up."""
    measured = samples[samples["offset_s"] >= settings.warm_up_s]
    latency = measured["latency_ms"].to_numpy(dtype=float)
    faults = Counter(measured["fault"].dropna())
    p50, p95, p99 = (float(value) for value in np.percentile(latency, [50, 95, 99]))
    achieved = _answers(samples, settings) / settings.duration_s
    error_rate = sum(faults.values()) / len(measured)
    delay = float(np.percentile(measured["delay_ms"], 99))
    gates = _judge(settings, p95, p99, error_rate, achieved, delay)
    return LoadReport(
        url=url,
        rate_per_s=settings.rate_per_s,
        achieved_rate_per_s=achieved,
        duration_s=settings.duration_s,
        warm_up_s=settings.warm_up_s,
        requests=len(measured),
        errors=sum(faults.values()),
        error_rate=error_rate,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=float(latency.max()),
        generator_lag_p99_ms=delay,
        faults=dict(faults.most_common()),
        seconds=_seconds(measured, settings),
        histogram=_histogram(latency),
        gates=gates,
        verdict=overall(gate.verdict for gate in gates),
    )


def _run_locust(url: str, texts: Sequence[str], settings: LoadTest, out: Path) -> Samples:
    plan, samples, log = out / "load_plan.json", out / "load_samples.json", out / "locust.log"
    samples.unlink(missing_ok=True)
    plan.write_text(json.dumps(_plan(url, texts, settings, samples)))
    seconds = settings.warm_up_s + settings.duration_s + REQUEST_TIMEOUT_S + START_AND_STOP_S
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    file = Path(__file__).with_name("locustfile.py")
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "-u", "1", "--only-summary", "--exit-code-on-error", "0"]
    with log.open("w") as target:
        try:
            ended = subprocess.run(
                command, env=environment | {"HEADGATE_LOAD_PLAN": str(plan)}, cwd=out, stdout=target, stderr=target, timeout=seconds
            ).returncode
        except subprocess.TimeoutExpired:
            ended = None
    if not samples.exists():
        how = f"it ended with code {ended}" if ended is not None else f"it was stopped after {seconds:g} s"
        last = "\n".join(log.read_text().splitlines()[-5:])
        raise Unavailable(f"load test of {url}: expected samples from Locust, found none; {how}. Last lines of {log.name}:\n{last}")
    return pd.DataFrame(json.loads(samples.read_text()), columns=["offset_s", "delay_ms", "latency_ms", "fault"])


def _plan(url: str, texts: Sequence[str], settings: LoadTest, samples: Path) -> dict[str, object]:
    requests = int(np.ceil((settings.warm_up_s + settings.duration_s) * settings.rate_per_s))
    order = np.random.default_rng(0).permutation(len(texts))[:requests]
    return {
        "url": url,
        "rate_per_s": settings.rate_per_s,
        "requests": requests,
        "timeout_s": REQUEST_TIMEOUT_S,
        "connections": CONNECTIONS,
        "texts": [texts[i] for i in order],
        "samples": str(samples),
    }


def _answers(samples: Samples, settings: LoadTest) -> int:
    """Good answers that came within the measured time."""
    ended = samples["offset_s"] + samples["latency_ms"] / 1000
    within = (ended >= settings.warm_up_s) & (ended <= settings.warm_up_s + settings.duration_s)
    return int((within & samples["fault"].isna()).sum())


def _seconds(measured: Samples, settings: LoadTest) -> tuple[SecondOfLoad, ...]:
    second = (measured["offset_s"] - settings.warm_up_s).astype(int)
    return tuple(
        SecondOfLoad(
            second=int(str(number)),
            requests=len(part),
            errors=int(part["fault"].notna().sum()),
            p50_ms=float(part["latency_ms"].quantile(0.5)),
            p95_ms=float(part["latency_ms"].quantile(0.95)),
        )
        for number, part in measured.groupby(second)
    )


def _histogram(latency: "np.ndarray[tuple[int], np.dtype[np.float64]]", bins: int = 40) -> tuple[LatencyBin, ...]:
    """Bins of equal ratio, since latencies spread over decades."""
    low, high = max(0.1, float(latency.min()) * 0.99), max(0.2, float(latency.max()) * 1.01)
    counts, edges = np.histogram(np.maximum(latency, low), np.geomspace(low, high, bins + 1))
    return tuple(
        LatencyBin(low_ms=a, high_ms=b, requests=n)
        for a, b, n in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    )


def _judge(settings: LoadTest, p95: float, p99: float, error_rate: float, achieved: float, delay: float) -> tuple[GateResult, ...]:
    wanted = KEPT_PACE * settings.rate_per_s
    late = f"99 of 100 requests were sent at most {delay:.0f} ms late"
    return (
        _gate("latency_p95", p95 <= settings.max_p95_ms, f"at most {settings.max_p95_ms:,.0f} ms", f"{p95:,.0f} ms", late),
        _gate("latency_p99", p99 <= settings.max_p99_ms, f"at most {settings.max_p99_ms:,.0f} ms", f"{p99:,.0f} ms", late),
        _gate("error_rate", error_rate <= settings.max_error_rate, f"at most {settings.max_error_rate:.2%}", f"{error_rate:.2%}"),
        _gate("arrival_rate", achieved >= wanted, f"at least {wanted:.1f} good answers a second", f"{achieved:.1f}"),
    )


def _gate(name: str, good: bool, expected: str, found: str, detail: str = "") -> GateResult:
    verdict: Verdict = "passed" if good else "failed"
    return GateResult(name=name, verdict=verdict, expected=expected, found=found, detail=detail)
