"""What one serving process is told at its start."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LogText = Literal["none", "hash", "full"]
COHORTS = ("champion", "challenger", "shadow")


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """Identity, limits and log of one server; sizes are in bytes or items, times in seconds."""

    model: str | None = None
    release: str | None = None
    cohort: str = "champion"
    log_dir: Path | None = None
    log_text: LogText = "hash"
    max_body_bytes: int = 5 * 2**20
    max_instances: int = 256
    max_waiting: int = 2_000
    max_cached: int = 10_000
    body_timeout_s: float = 30.0
