"""Who says yes, and how a release reaches production."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, field_validator

from headgate.settings.faults import part_of, validated
from headgate.settings.section import Name, Percent, Positive, Section, Share

SHARE_OF = {"CANARY": "canary_size_percent", "LINEAR": "linear_step_size_percent"}


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

    @field_validator("auto_after")
    @classmethod
    def _signed_or_automatic(cls, auto_after: AutoAfter | None, info: ValidationInfo) -> AutoAfter | None:
        """A machine has no key of its own here."""
        if auto_after and (people := info.data.get("signatures")):
            raise ValueError(
                f"expected signatures or auto_after, found both: {people} people must sign, so the gate cannot answer itself; "
                "set signatures = 0 or leave auto_after out"
            )
        return auto_after


class TrafficRouting(Section):
    """How requests move to a new release, in SageMaker's words and within its bounds; each share is watched beside the champion's."""

    type: Literal["ALL_AT_ONCE", "CANARY", "LINEAR"] = "CANARY"
    canary_size_percent: int | None = Field(None, ge=1, le=50, validate_default=True, description="CANARY: the challenger's share")
    linear_step_size_percent: int | None = Field(
        None, ge=10, le=50, validate_default=True, description="LINEAR: the share grows by so much at each step"
    )
    wait_interval_s: float = Field(0, ge=0, le=3600, description="each share is watched so long; the last one for the bake time besides")

    @field_validator("canary_size_percent", "linear_step_size_percent")
    @classmethod
    def _belongs_to_its_type(cls, percent: int | None, info: ValidationInfo) -> int | None:
        """The share that the type needs, and no other."""
        routing = info.data.get("type", "")
        own = SHARE_OF.get(routing)
        if routing and own == info.field_name and percent is None:
            raise ValueError(f"expected a share for type = {routing}, found none; set {own}")
        if routing and own != info.field_name and percent is not None:
            raise ValueError(f"expected none for type = {routing}, found {percent}; {f'set {own} in its place' if own else 'leave it out'}")
        return percent

    @field_validator("wait_interval_s")
    @classmethod
    def _waits_between_shares(cls, wait_s: float, info: ValidationInfo) -> float:
        """With one share there is no interval."""
        if wait_s and info.data.get("type") == "ALL_AT_ONCE":
            raise ValueError(f"expected none for type = ALL_AT_ONCE, found {wait_s:g}; use bake_time_s")
        return wait_s

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

    @field_validator("min_effect")
    @classmethod
    def _decides_by_something(cls, effect: float | None, info: ValidationInfo) -> float | None:
        """An effect is one of a metric."""
        if effect is not None and info.data.get("primary_metric", "at fault itself") is None:
            raise ValueError(f"expected a primary_metric for min_effect = {effect:g}, found none; name one, or leave min_effect out")
        return effect


class Stage(Section):
    """One environment that a release goes through, in order."""

    environment: Name
    target: Name = Field("local", description="local: this machine; else the NAME of a table [kubernetes.NAME] or [sagemaker.NAME]")
    traffic_routing: TrafficRouting = TrafficRouting(type="CANARY", canary_size_percent=10)
    bake_time_s: float = Field(600, ge=0, le=86400, description="the last share is watched so long before promotion")
    ab_test: ABTest | None = Field(None, description="hold at a split between the canary and promotion; off by default")
    auto_rollback: AutoRollback = Field(AutoRollback(), validate_default=True)
    probe_rate_per_s: float = Field(
        0, ge=0, description="requests with regression texts that the rollout adds, for endpoints without traffic"
    )

    @field_validator("ab_test")
    @classmethod
    def _splits_after_the_canary(cls, ab_test: ABTest | None, info: ValidationInfo) -> ABTest | None:
        """A split needs somebody on each side, and gives the challenger no less than it had."""
        routing = info.data.get("traffic_routing")
        if ab_test is None or routing is None or ab_test.challenger_percent >= (last := routing.shares[-1]):
            return ab_test
        if last == 100:
            raise ValueError(
                "expected no A/B test for traffic_routing.type = ALL_AT_ONCE, which leaves no champion to compare with, found one; "
                "set type = CANARY or LINEAR, or leave ab_test out"
            )
        raise ValueError(
            f"expected challenger_percent of at least {last}, the last share before it, found {ab_test.challenger_percent}; "
            "raise it, or let the canary end at a smaller share"
        )

    @field_validator("auto_rollback", mode="wrap")
    @classmethod
    def _time_for_the_bake(cls, given: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> AutoRollback:
        """A deadline before the end of the bake time could never be met."""
        routing, bake_time_s = info.data.get("traffic_routing"), info.data.get("bake_time_s")

        def too_short(limits: AutoRollback) -> str:
            if routing is None or bake_time_s is None or limits.max_duration_s >= (longest := routing.wait_interval_s + bake_time_s):
                return ""
            return (
                f"expected max_duration_s of at least wait_interval_s + bake_time_s = {longest:g}, found {limits.max_duration_s:g}; "
                "raise it, or bake for less time"
            )

        limits: AutoRollback = validated(given, validate, too_short, lambda given: part_of(AutoRollback, given, "max_duration_s"))
        return limits

    @property
    def looks(self) -> int:
        """At how many splits answers are judged, one after the other."""
        return len(self.traffic_routing.shares) + (self.ab_test is not None)


class Shadow(Section):
    """Copies of production's requests to a candidate before anybody is asked to approve it; no user sees its answers (docs/shadow.md)."""

    sampling_percentage: Percent = Field(20, description="of the champion's requests that the candidate answers too; 0: no shadow")
    min_requests: Positive = Field(500, description="answered by both, before it can pass")
    max_duration_s: float = Field(3600, gt=0, le=7 * 86400, description="neither passed nor failed after so long is inconclusive")


def named_stages(given: Any) -> tuple[Stage, ...]:
    """The stages whose environment and target are valid, whatever else is wrong with them."""
    found = (part_of(Stage, one, "environment", "target") for one in given) if isinstance(given, list | tuple) else ()
    return tuple(stage for stage in found if stage)


class Rollout(Section):
    """Where the endpoint test runs first, and the stages after approval."""

    staging: Name = "staging"
    rollback_window_revisions: int = Field(20, ge=1, le=20, description="`headgate rollback --to` goes back by so many releases at most")
    shadow: Shadow = Shadow()
    stages: tuple[Stage, ...] = Field((Stage(environment="production"),), validate_default=True)

    @field_validator("stages", mode="wrap")
    @classmethod
    def _has_stages(cls, given: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> tuple[Stage, ...]:
        """The last stage is production; two of one name would share an endpoint."""
        staging = info.data.get("staging")

        def shared(stages: tuple[Stage, ...]) -> str:
            names = [stage.environment for stage in stages]
            if names and len({*names, staging}) == len(names) + 1:
                return ""
            besides = f", other than staging {staging}" if staging else ""
            return f"expected stages with an environment each of its own{besides}, found {', '.join(names) or 'none'}"

        return validated(given, validate, shared, named_stages)
