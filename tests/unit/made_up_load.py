"""A load test that never was: two models, both caches, stairs and memory."""

import numpy as np
import pandas as pd

from headgate.evaluation.load import summarise
from headgate.evaluation.load_report import LoadReport, LoadStep, MemoryUse, Role
from headgate.evaluation.samples import Samples
from headgate.settings import LoadTest


def lane(role: Role, cache: bool, median_ms: float, seed: int, seconds: float = 15, rate: float = 20) -> Samples:
    rng = np.random.default_rng(seed)
    count = int(rate * (seconds + 2))
    latency = median_ms * np.exp(0.25 * rng.standard_normal(count)) + 60 * (rng.random(count) < 0.02)
    columns = {"offset_s": np.arange(count) / rate, "delay_ms": rng.gamma(1.5, 0.4, count), "latency_ms": latency}
    return pd.DataFrame(columns | {"fault": None, "role": role, "cache": cache})


def samples(candidate_ms: float = 14, champion_ms: float = 14, seed: int = 1, seconds: float = 15) -> Samples:
    lanes = [
        lane("candidate", False, candidate_ms, 4 * seed, seconds),
        lane("champion", False, champion_ms, 4 * seed + 1, seconds),
        lane("candidate", True, 3, 4 * seed + 2, 4),
        lane("champion", True, 3, 4 * seed + 3, 4),
    ]
    return pd.concat(lanes, ignore_index=True)


def step(role: Role, rate: float, achieved: float, p95_ms: float = 20, sustained: bool = True, late_ms: float = 0.5) -> LoadStep:
    return LoadStep(
        role=role,
        rate_per_s=rate,
        achieved_rate_per_s=achieved,
        p95_ms=p95_ms,
        errors=0,
        sustained=sustained,
        generator_lag_p99_ms=late_ms,
    )


def stairs(role: Role, most: float) -> list[LoadStep]:
    rates = (20, 60, 180, 540, 1620, 935, 711)
    return [step(role, rate, min(rate, most), 20 if rate <= most else 900, rate <= most) for rate in rates]


def load_report(settings: LoadTest | None = None, candidate_ms: float = 14) -> LoadReport:
    memory = [
        MemoryUse(role="candidate", samples_mb=(180, 181, 181), growth=0.006),
        MemoryUse(role="champion", samples_mb=(179, 179, 180), growth=0.002),
    ]
    steps = [*stairs("candidate", 620), *stairs("champion", 650)]
    return summarise("http://127.0.0.1:8400", samples(candidate_ms), settings or LoadTest(), steps, memory)
