"""How the traffic of production is watched: docs/watching.md."""

from pydantic import Field, ValidationInfo, field_validator

from headgate.settings.section import Positive, Section, Share

HOURS_PER_DAY = 24


class Watch(Section):
    """What is compared with what, and when it is an alarm."""

    window_hours: int = Field(24, ge=4, multiple_of=4, description="traffic that is judged; 168 where weekends differ from other days")
    reference_days: Positive = Field(28, description="traffic before it that it is compared with")
    min_history_windows: int = Field(7, ge=3, validate_default=True, description="so many windows must lie before one before it is judged")
    min_answers: Positive = Field(200, description="in a window; with fewer it is not judged")
    false_alarm_share: float = Field(
        0.0025,
        ge=0.0001,
        lt=0.5,
        description="of windows in which nothing changed, so many may raise an alarm; four end in a window's time",
    )
    min_psi: float = Field(0.02, ge=0, description="a smaller change (PSI) is no alarm, however certain it is")
    max_accuracy_drop: Share = Field(0.05, description="fall of the estimated accuracy that is an alarm")
    min_corrections: Positive = Field(20, description="corrections that contradict an answer; fewer in a window are no alarm")
    embed_per_look: int = Field(32, ge=0, le=1_000, description="texts of an hour that one look embeds; 0: none")

    @field_validator("min_history_windows")
    @classmethod
    def _room_for_the_history(cls, windows: int, info: ValidationInfo) -> int:
        """A reference that could never hold enough windows would judge nothing, ever."""
        hours, days = info.data.get("window_hours"), info.data.get("reference_days")
        if hours and days and days * HOURS_PER_DAY < windows * hours:
            raise ValueError(
                f"expected reference_days to hold min_history_windows x window_hours = {windows * hours} h, "
                f"found {days} day(s) = {days * HOURS_PER_DAY} h; nothing would ever be judged"
            )
        return windows

    @property
    def block_hours(self) -> int:
        """A quarter of a window: a window ends with each, and is judged then."""
        return self.window_hours // 4
