"""Who says yes, and how a release reaches production."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from headgate.settings.section import Name, Percent, Positive, Section, Share


class AutoAfter(Section):
    """When the gates answer for themselves: people agreed with them so often in a row."""

    agreements: int = Field(ge=1, description="so many of the newest releases that passed were approved by people")
    disagreements: int = Field(0, ge=0, description="so many rejected or rolled back ones may lie among them")


class Approval(Section):
    """Who has to say yes before a release."""

    signatures: int = Field(0, ge=0, le=20, description="0: the form's answer counts; N: N people sign with `headgate approve --key`")
    allowed_signers: Path = Field(Path("allowed_signers"), description="whose SSH keys count, in the form of ssh-keygen(1)")
    timeout_days: float = Field(7, gt=0, le=3650, description="an answer, an approval and a signature each count for so long")
    forbid_self_approval: bool = Field(False, description="who started the training may not approve; an automation forbids nobody")
    auto_after: AutoAfter | None = Field(None, description="when the gates may answer without a person; off by default")

    @model_validator(mode="after")
    def _signed_or_automatic(self) -> Self:
        """A machine has no key of its own here."""
        if self.signatures and self.auto_after:
            raise ValueError(
                f"expected signatures or auto_after, found both: {self.signatures} people must sign, so the gate cannot answer itself; "
                "set signatures = 0 or leave auto_after out"
            )
        return self


class TrafficRouting(Section):
    """How requests move to a new release, in SageMaker's words and within its bounds; each share is watched beside the champion's."""

    type: Literal["ALL_AT_ONCE", "CANARY", "LINEAR"] = "CANARY"
    canary_size_percent: int | None = Field(None, ge=1, le=50, description="CANARY: the challenger's share")
    linear_step_size_percent: int | None = Field(None, ge=10, le=50, description="LINEAR: the share grows by so much at each step")
    wait_interval_s: float = Field(0, ge=0, le=3600, description="each share is watched so long; the last one for the bake time besides")

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        """The share that the type needs, and no other."""
        wanted = {"CANARY": "canary_size_percent", "LINEAR": "linear_step_size_percent"}
        own = wanted.get(self.type)
        faults = [f"{self.type}: expected {own}, found none"] if own and getattr(self, own) is None else []
        faults += [
            f"{self.type}: expected no {other}, found {getattr(self, other)}"
            for other in wanted.values()
            if other != own and getattr(self, other) is not None
        ]
        if self.type == "ALL_AT_ONCE" and self.wait_interval_s:
            faults.append(f"ALL_AT_ONCE: expected no wait_interval_s, found {self.wait_interval_s:g}; use bake_time_s")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def shares(self) -> tuple[int, ...]:
        """Percent of the requests that the challenger answers, one step after the other; what follows is promotion."""
        if self.type == "CANARY":
            return (self.canary_size_percent or 0,)
        step = self.linear_step_size_percent or 100
        return tuple(range(step, 100, step)) or (100,)


class AutoRollback(Section):
    """When a release goes back by itself: beyond which limits, and on how much evidence (docs/rollout.md)."""

    max_error_rate: Share = Field(0.01, description="of the challenger alone")
    max_error_rate_increase: Share = Field(0.005, description="over the champion's at the same time; so are all others")
    max_p95_ratio: float = Field(1.2, ge=1, le=100)
    max_p99_ratio: float = Field(1.5, ge=1, le=100)
    max_label_share_change: Share = Field(0.05, description="of any one label, up or down")
    max_abstention_change: Share = Field(0.05, description="up or down")
    max_confidence_drop: Share = Field(0.05, description="of the mean score")
    max_correction_rate_increase: Share = Field(0.02, description="of the answers that users gave another label in time")
    correction_wait_s: float = Field(
        120, gt=0, le=7 * 86400, description="a correction is in time so long after its answer; younger answers do not count yet"
    )
    max_false_rollback_rate: float = Field(
        0.01, gt=0, le=0.5, description="chance that a release within all limits goes back, however often it is looked at"
    )
    failure_limit: int = Field(0, ge=0, le=100, description="so many looks at a step may find it failed before it goes back")
    min_requests: Positive = Field(500, description="answered by each cohort in a step, before any verdict")
    max_duration_s: float = Field(
        3600, gt=0, le=7 * 86400, description="a step that is neither passed nor failed after so long is inconclusive"
    )


class ABTest(Section):
    """A split that is held for a set time after the canary, and told of with statistics (docs/ab-test.md)."""

    challenger_percent: int = Field(50, ge=1, le=99, description="the challenger's share meanwhile")
    hold_s: float = Field(gt=0, le=7 * 86400, description="fixed before: what is told covers exactly this time")
    confidence_level: float = Field(0.95, ge=0.8, lt=1, description="of the intervals; the tests' level is what is left to 1")
    primary_metric: Literal["right_share", "correction_rate", "error_rate", "abstention_rate", "confidence"] | None = Field(
        None, description="named before, so that it is tested by itself; the others are corrected for their number"
    )
    min_effect: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="promotion needs the primary metric shown to be better by so much, as a share; below 0: no worse than that; "
        "none: the numbers inform only",
    )

    @model_validator(mode="after")
    def _decides_by_something(self) -> Self:
        """An effect is one of a metric."""
        if self.min_effect is not None and self.primary_metric is None:
            raise ValueError(f"expected a primary_metric for min_effect = {self.min_effect:g}, found none")
        return self


class Stage(Section):
    """One environment that a release goes through, in order."""

    environment: Name
    target: Literal["local"] = "local"
    traffic_routing: TrafficRouting = TrafficRouting(type="CANARY", canary_size_percent=10)
    bake_time_s: float = Field(600, ge=0, le=86400, description="the last share is watched so long before promotion")
    ab_test: ABTest | None = Field(None, description="hold at a split between the canary and promotion; off by default")
    auto_rollback: AutoRollback = AutoRollback()
    probe_rate_per_s: float = Field(
        0, ge=0, description="requests with regression texts that the rollout adds, for endpoints without traffic"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """A deadline before the end of the bake time could never be met, and a split needs somebody on each side."""
        longest = self.traffic_routing.wait_interval_s + self.bake_time_s
        faults = []
        if self.auto_rollback.max_duration_s < longest:
            faults.append(
                f"expected auto_rollback.max_duration_s of at least wait_interval_s + bake_time_s = {longest:g}, "
                f"found {self.auto_rollback.max_duration_s:g}"
            )
        last = self.traffic_routing.shares[-1]
        if self.ab_test and self.ab_test.challenger_percent < last:
            told = (
                f"ab_test.challenger_percent of at least {last}, the last share before it" if last < 100 else "no ab_test after ALL_AT_ONCE"
            )
            faults.append(f"expected {told}, found {self.ab_test.challenger_percent}")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def looks(self) -> int:
        """At how many splits answers are judged, one after the other."""
        return len(self.traffic_routing.shares) + (self.ab_test is not None)


class Shadow(Section):
    """Copies of production's requests to a candidate before anybody is asked to approve it; no user sees its answers (docs/shadow.md)."""

    sampling_percentage: Percent = Field(20, description="of the champion's requests that the candidate answers too; 0: no shadow")
    min_requests: Positive = Field(500, description="answered by both, before it can pass")
    max_duration_s: float = Field(3600, gt=0, le=7 * 86400, description="neither passed nor failed after so long is inconclusive")


class Rollout(Section):
    """Where the endpoint test runs first, and the stages after approval."""

    staging: Name = "staging"
    rollback_window_revisions: int = Field(20, ge=1, le=20, description="`headgate rollback --to` goes back by so many releases at most")
    shadow: Shadow = Shadow()
    stages: tuple[Stage, ...] = (Stage(environment="production"),)

    @model_validator(mode="after")
    def _has_stages(self) -> Self:
        """The last stage is production; two of one name would share an endpoint."""
        names = [stage.environment for stage in self.stages]
        if not names or len({*names, self.staging}) != len(names) + 1:
            told = ", ".join(names) or "none"
            raise ValueError(f"expected stages with an environment each of its own, other than staging {self.staging}, found {told}")
        return self
