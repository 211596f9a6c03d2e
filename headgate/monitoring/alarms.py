"""When traffic is an alarm, and telling each change of it once: raised, changed, cleared.

Records `<lake>/watching/<model>/alarms/NNNNNN.json` are written put-if-absent before anything is sent, and a mark for each way that one
was told after it. So
a look that is killed tells what it found at the next look; told twice is only what was sent in the moment before the mark.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from headgate.lake import Lake
from headgate.monitoring.calibrated_drift import Drift
from headgate.monitoring.estimated_accuracy import more_contradicted
from headgate.monitoring.hours import OF_ANSWER
from headgate.monitoring.traffic import Traffic
from headgate.record import Record
from headgate.settings import Watch

ACCURACY, CORRECTIONS = "estimated accuracy", "corrections"
TIMES, PEOPLE = 2.0, 2  # more contradictions than before are an alarm at twice as many, from two users or more

Way = Literal["event", "webhook"]


class Alarm(Record):
    """What is alarming from now on, each reason with its words; no reasons: all is over."""

    number: int
    model: str
    release: str
    at: datetime
    window_end: datetime
    reasons: dict[str, str]

    @property
    def name(self) -> str:
        """The number as the lake's keys have it."""
        return f"{self.number:06d}"


def alarms(traffic: Traffic, watch: Watch) -> dict[str, str]:
    """What is alarming about a look, in words. Pure."""
    found = {drift.column: drift_words(drift) for drift in traffic.drifts if drift.drifted}
    now, before = traffic.estimate, traffic.estimate_before
    if now and before and min(now.answers, before.answers) >= watch.min_answers and before.accuracy - now.high > watch.max_accuracy_drop:
        found[ACCURACY] = (
            f"estimated accuracy {now.accuracy:.1%} (95%: {now.low:.1%} to {now.high:.1%}), before {before.accuracy:.1%}; "
            f"a fall of {watch.max_accuracy_drop:.1%} is allowed"
        )
    if told := _more_contradicted(traffic, watch):
        found[CORRECTIONS] = told
    return found


def _more_contradicted(traffic: Traffic, watch: Watch) -> str:
    now, before = traffic.corrected, traffic.corrected_before
    if not now or not before or now.contradicted < watch.min_corrections or now.people < PEOPLE or not before.answers:
        return ""
    rate, rate_before = now.contradicted / max(1, now.answers), before.contradicted / before.answers
    if rate < TIMES * rate_before or more_contradicted(before, now) > watch.false_alarm_share:
        return ""
    return (
        f"{now.contradicted} of {now.answers} answers were contradicted by {now.people} users ({rate:.2%}), "
        f"before {before.contradicted} of {before.answers} ({rate_before:.2%})"
    )


def drift_words(drift: Drift) -> str:
    """How a column drifted, for a reader."""
    size = f"distance {drift.distance:.3g} where chance gives at most {drift.chance:.3g}, p {drift.p:.2g}"
    if drift.shift is None:
        return f"texts are unlike those before: {size}, {drift.rows} texts against {drift.reference_rows}"
    told = f"{grown} {drift.grown.before:.1%} -> {drift.grown.now:.1%}, " if drift.grown and (grown := slice_words(drift)) else ""
    return f"{told}PSI {drift.shift.psi:.2f}, {size}, {drift.rows} answers against {drift.reference_rows}"


def slice_words(drift: Drift) -> str:
    """The part that grew, for a reader."""
    part = drift.grown
    if part is None:
        return ""
    if part.name is not None:
        return part.name
    spelt = "{:.0f}" if drift.column == "characters" else "{:.3f}"
    low, high = (None if edge is None else spelt.format(edge) for edge in (part.low, part.high))
    span = f"{low} to {high}" if low and high else (f"up to {high}" if high else f"above {low}")
    return f"texts of {span} characters" if drift.column == "characters" else f"{drift.column} {span}"


def changed(last: Alarm | None, traffic: Traffic, watch: Watch) -> Alarm | None:
    """The alarm to tell now, or None where the reasons are those that were told last. Pure.

    A reason that could not be judged this time stays, but for those about answers of a release that is no longer the champion.
    """
    reasons = alarms(traffic, watch)
    before = last.reasons if last else {}
    gone = last is not None and last.release != traffic.release
    for name, words in before.items():
        unjudged = (
            name in traffic.not_judged
            or (name == ACCURACY and not _enough(traffic, watch))
            or (name == CORRECTIONS and not traffic.corrected)
        )
        if unjudged and name not in reasons and not (gone and name in {*OF_ANSWER, ACCURACY, CORRECTIONS}):
            reasons[name] = words
    if reasons.keys() == before.keys():
        return None
    return Alarm(
        number=last.number + 1 if last else 1,
        model=traffic.model,
        release=traffic.release,
        at=traffic.at,
        window_end=traffic.end,
        reasons=reasons,
    )


def _enough(traffic: Traffic, watch: Watch) -> bool:
    return traffic.estimate is not None and traffic.estimate.answers >= watch.min_answers


def alarm_words(alarm: Alarm, before: Mapping[str, str]) -> str:
    """One message: what began, what goes on, what is over. Pure."""
    about = f"{alarm.model}: release {alarm.release[:12]}, traffic up to {alarm.window_end:%Y-%m-%d %H:%M} UTC"
    new = [f"{name}: {words}" for name, words in alarm.reasons.items() if name not in before]
    same = [name for name in alarm.reasons if name in before]
    over = [name for name in before if name not in alarm.reasons]
    lines = [*new, *([f"goes on: {', '.join(same)}"] if same else []), *([f"over: {', '.join(over)}"] if over else [])]
    return "\n".join([f"{'ALARM' if alarm.reasons else 'all clear'} {about}", *lines])


def newest_alarms(lake: Lake, model: str, count: int = 2) -> list[Alarm]:
    """The last alarm records, oldest first."""
    return [Alarm.model_validate_json(lake.read(key)) for key in lake.keys(f"watching/{model}/alarms")[-count:]]


def keep_alarm(lake: Lake, alarm: Alarm) -> Alarm:
    """Write the record, unless another look has written one of that number; the one that stands."""
    key = f"watching/{alarm.model}/alarms/{alarm.name}.json"
    lake.put_if_absent(key, alarm.to_bytes())
    return Alarm.model_validate_json(lake.read(key))


def untold(lake: Lake, model: str, way: Way) -> list[tuple[Alarm, dict[str, str]]]:
    """The alarms that were not told in a way yet, oldest first, each with the reasons before it; only the newest ten are looked at."""
    told = {key.rpartition("/")[2] for key in lake.keys(f"watching/{model}/told")}
    found = newest_alarms(lake, model, 11)
    before: list[dict[str, str]] = [{}, *(alarm.reasons for alarm in found)]
    pairs = list(zip(found, before, strict=False))
    return [(alarm, old) for alarm, old in pairs[-10:] if f"{alarm.name}-{way}.json" not in told]


def mark_told(lake: Lake, alarm: Alarm, way: Way) -> None:
    """Say that an alarm was told."""
    lake.put_if_absent(f"watching/{alarm.model}/told/{alarm.name}-{way}.json", b"{}")
