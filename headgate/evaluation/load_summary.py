"""What the samples of a load test say: percentiles, time series and histogram of each lane; pure."""

from collections import Counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headgate.evaluation.load_report import LatencyBin, LoadSide, Role, SecondOfLoad
from headgate.evaluation.samples import Samples
from headgate.settings import LoadTest

MOST_SECONDS = 600
RESAMPLES = 400
FINE_MS = np.geomspace(0.05, 60_000, 2_800)  # half a percent apart

Floats = NDArray[np.float64]


def sides(samples: Samples, settings: LoadTest) -> tuple[LoadSide, ...]:
    """One side for each model with the cache off, then for each with it on."""
    return tuple(_side(samples, role, cache, settings) for role, cache in lanes_of(samples))


def lanes_of(samples: Samples) -> list[tuple[Role, bool]]:
    """Which models were measured, with which cache."""
    seen = set(zip(samples["role"], samples["cache"], strict=True)) if len(samples) else set()
    roles: tuple[Role, ...] = ("candidate", "champion")
    return [(role, cache) for cache in (False, True) for role in roles if (role, cache) in seen]


def of_lane(samples: Samples, role: Role, cache: bool) -> Samples:
    """The samples of one model, warm-up included."""
    return samples[(samples["role"] == role) & (samples["cache"] == cache)]


def latency_ratios(samples: Samples, percentiles: tuple[float, ...], settings: LoadTest) -> dict[float, tuple[float, float]]:
    """Interval of candidate over champion for each percentile, cache off: 9 of 10 such tests would fall in it.

    Bootstrap over blocks of seconds, both models' requests of a block together, since neighbours in time slow down together
    (Künsch 1989, The jackknife and the bootstrap for general stationary observations; blocks do not overlap here).
    """
    first, second = (_by_block(of_lane(samples, role, False), settings) for role in ("candidate", "champion"))
    blocks = min(len(first), len(second))
    chosen = np.random.default_rng(0).multinomial(blocks, np.full(blocks, 1 / blocks), RESAMPLES).astype(float)
    found = {}
    for percentile in percentiles:
        ratio = _quantile(chosen @ first[:blocks], percentile) / _quantile(chosen @ second[:blocks], percentile)
        low, high = np.percentile(ratio, [5, 95])
        found[percentile] = (float(low), float(high))
    return found


def _side(samples: Samples, role: Role, cache: bool, settings: LoadTest) -> LoadSide:
    lane = of_lane(samples, role, cache)
    duration = settings.cached_duration_s if cache else settings.duration_s
    measured = lane[lane["offset_s"] >= settings.warm_up_s]
    latency = measured["latency_ms"].to_numpy(dtype=float)
    faults = Counter(measured["fault"].dropna())
    p50, p95, p99 = (float(value) for value in np.percentile(latency, [50, 95, 99]))
    return LoadSide(
        role=role,
        cache=cache,
        requests=len(measured),
        errors=sum(faults.values()),
        error_rate=sum(faults.values()) / len(measured),
        achieved_rate_per_s=_answers(lane, settings.warm_up_s, duration) / duration,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=float(latency.max()),
        generator_lag_p99_ms=float(np.percentile(measured["delay_ms"], 99)),
        faults=dict(faults.most_common()),
        seconds=_seconds(measured, settings.warm_up_s, duration),
        histogram=_histogram(latency),
    )


def _answers(lane: Samples, warm_up_s: float, duration_s: float) -> int:
    """Good answers that came within the measured time."""
    ended = lane["offset_s"] + lane["latency_ms"] / 1000
    within = (ended >= warm_up_s) & (ended <= warm_up_s + duration_s)
    return int((within & lane["fault"].isna()).sum())


def _seconds(measured: Samples, warm_up_s: float, duration_s: float) -> tuple[SecondOfLoad, ...]:
    """A second each, or several where there are more than MOST_SECONDS."""
    length = max(1, int(np.ceil(duration_s / MOST_SECONDS)))
    second = ((measured["offset_s"] - warm_up_s) // length).astype(int) * length
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


def _histogram(latency: Floats, bins: int = 40) -> tuple[LatencyBin, ...]:
    """Bins of equal ratio, since latencies spread over decades."""
    low, high = max(0.1, float(latency.min()) * 0.99), max(0.2, float(latency.max()) * 1.01)
    counts, edges = np.histogram(np.maximum(latency, low), np.geomspace(low, high, bins + 1))
    return tuple(
        LatencyBin(low_ms=a, high_ms=b, requests=n)
        for a, b, n in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    )


def _by_block(lane: Samples, settings: LoadTest) -> Floats:
    """Blocks x fine bins of latency: how many requests of each block fell in each bin."""
    length = max(1.0, settings.duration_s / MOST_SECONDS)
    measured = lane[lane["offset_s"] >= settings.warm_up_s]
    block = ((measured["offset_s"] - settings.warm_up_s) // length).to_numpy(dtype=int)
    bin_ = np.clip(np.searchsorted(FINE_MS, measured["latency_ms"]), 0, len(FINE_MS) - 1)
    counts = np.zeros((block.max() + 1, len(FINE_MS)))
    np.add.at(counts, (block, bin_), 1)
    return counts


def _quantile(counts: Floats, percentile: float) -> Floats:
    """The latency below which so many percent of each row's requests lie."""
    total = counts.cumsum(axis=1)
    place: Floats = FINE_MS[(total >= percentile / 100 * total[:, -1:]).argmax(axis=1)]
    return place


def frame_of(samples: Samples) -> Samples:
    """The samples with role and cache, which are the candidate's with its cache off where they do not say."""
    missing = {name: value for name, value in (("role", "candidate"), ("cache", False)) if name not in samples}
    return samples.assign(**missing) if missing else pd.DataFrame(samples)
