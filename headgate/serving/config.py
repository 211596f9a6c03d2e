"""What one server is told at its start, and the bounds that protect it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LogText = Literal["none", "hash", "full"]
MAX_CACHED = 10_000
MIRROR_HEADER = "X-Headgate-Mirror"
LOG_KEEP_BYTES = "HEADGATE_LOG_KEEP_BYTES"  # a variable: servers of older bundles do not start with an option that they do not know
LEAST_LOG_BYTES = 2**20
COHORTS = ("champion", "challenger", "shadow")


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """Identity, limits and log of one server; sizes are in bytes or items, times in seconds."""

    model: str | None = None
    release: str | None = None
    cohort: str = "champion"
    mirror_header: str = MIRROR_HEADER
    log_dir: Path | None = None
    log_text: LogText = "hash"
    log_keep_bytes: int | None = None
    workers: int = 1
    max_head_bytes: int = 64 * 2**10
    max_body_bytes: int = 5 * 2**20
    max_instances: int = 256
    max_waiting: int = 2_000
    max_cached: int = MAX_CACHED
    max_cached_bytes: int = 16 * 2**20
    head_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    keep_alive_s: float = 75.0
    write_timeout_s: float = 30.0
    drain_s: float = 25.0  # SageMaker kills after 30 s
    drain_idle_s: float = 3.0
