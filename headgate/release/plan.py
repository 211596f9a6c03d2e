"""What the machine tells a target that shifts traffic by itself, and what such a target says about how far it is."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from headgate.record import Record


class Plan(Record):
    """How all traffic shall reach a release that stands by, and when it shall go back without anybody asking."""

    release: str
    type: Literal["ALL_AT_ONCE", "CANARY", "LINEAR"]
    size_percent: int | None = Field(None, description="CANARY: the first share; LINEAR: how much each step adds")
    wait_interval_s: float = Field(0, ge=0, description="each share below 100% is held so long")
    bake_time_s: float = Field(0, ge=0, description="the old release stays so long at least after all traffic left it")
    max_error_rate: float = Field(gt=0, le=1, description="share of the new release's calls; beyond it goes back by itself")
    max_p99_ms: float | None = Field(None, gt=0, description="of the new release; None: nothing is known of the champion's latency yet")


class Progress(Record):
    """How far a plan is, as the place says itself.

    idle: no plan is under way. shifting and going_back: wait. done: the release has all traffic. rolled_back: the place went back, by an
    alarm or on our word. failed: the endpoint itself needs repair.
    """

    state: Literal["idle", "shifting", "going_back", "done", "rolled_back", "failed"] = "idle"
    percent: int = Field(0, ge=0, le=100, description="of the requests that the new release answers, by the place's own word")
    since: datetime | None = Field(None, description="since when this share is held; None while it is being set")
    reason: str = ""
