"""The samples of a load test as a frame."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from headgate.evaluation.sample_file import SAMPLE, Lane

Samples = pd.DataFrame  # columns offset_s, delay_ms, latency_ms, fault (None where there is none), role, cache


def read_samples(file: Path, lanes: Sequence[Lane], faults: Sequence[str]) -> Samples:
    """The samples in the file, one row a request; a lane's number is its place in `lanes`, a fault's its place in `faults`, from 1."""
    found = np.fromfile(file, dtype=SAMPLE)
    frame = pd.DataFrame({name: found[name].astype(float) for name in ("offset_s", "delay_ms", "latency_ms")})
    frame["fault"] = np.array([None, *faults], dtype=object)[found["fault"]]
    frame["role"] = np.array([lane.role for lane in lanes], dtype=object)[found["lane"]]
    frame["cache"] = np.array([lane.cache for lane in lanes])[found["lane"]]
    return frame
