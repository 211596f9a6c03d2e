"""How often the answers are right: estimated from their confidences while labels are late, counted where users said something.

The estimate is the mean confidence of the answers that were given (average confidence: Guillory et al. 2021, ICCV). It rests on
calibration: a
change of the texts that the model is unsure about shows, one that it is confidently wrong about does not.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from math import sqrt

import orjson
from scipy.stats import hypergeom

from headgate.lake import Lake
from headgate.monitoring.feedback_ledger import COUNTED, Entry, Ledger
from headgate.monitoring.hours import Hour
from headgate.monitoring.prediction_log import find_predictions, predicted_at
from headgate.record import Record, canonical
from headgate.serving.identifiers import is_prediction_id

Z = 1.959964
NOT_KEPT = "the log keeps"  # how `feedback` begins its reason where only the text is missing: the label counts all the same
DAYS_A_LOOK = 2


class Estimate(Record):
    """Accuracy by confidences, with the interval in which that of so many answers lies 95 times in 100 if they are calibrated."""

    answers: int
    accuracy: float
    low: float
    high: float


class Corrected(Record):
    """What users said of answers: the last label that each user gave. people: how many said something.

    They pick what they look at, mostly mistakes: `share_confirmed` is no accuracy. `at_most` is a bound of it, as what nobody
    contradicted may be wrong too.
    """

    answers: int
    told: int
    contradicted: int
    people: int

    @property
    def share_confirmed(self) -> float:
        """Of the answers that somebody said something about."""
        return 1 - self.contradicted / max(1, self.told)

    @property
    def at_most(self) -> float:
        """The accuracy if all answers were right that nobody contradicted."""
        return 1 - self.contradicted / max(1, self.answers)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's (1927), 95%, of share_confirmed."""
        n = max(1, self.told)
        middle, spread = (
            self.share_confirmed + Z**2 / (2 * n),
            Z * sqrt(self.share_confirmed * (1 - self.share_confirmed) / n + (Z / n) ** 2 / 4),
        )
        return max(0.0, (middle - spread) / (1 + Z**2 / n)), min(1.0, (middle + spread) / (1 + Z**2 / n))


def estimated(hours: Iterable[Hour]) -> Estimate | None:
    """The estimate over hours; None where no answer was given. The interval is that of a sum of unequal coins (Poisson binomial)."""
    found = list(hours)
    answers = sum(hour.scored for hour in found)
    if not answers:
        return None
    accuracy = sum(hour.score_sum for hour in found) / answers
    spread = Z * sqrt(max(0.0, sum(hour.variance_sum for hour in found))) / answers
    return Estimate(answers=answers, accuracy=accuracy, low=max(0.0, accuracy - spread), high=min(1.0, accuracy + spread))


def more_contradicted(before: Corrected, now: Corrected) -> float:
    """p of so many contradictions now if they were as frequent as before (Fisher's exact test, one-sided)."""
    if not before.answers or not now.answers:
        return 1.0
    return float(hypergeom.sf(now.contradicted - 1, before.answers + now.answers, before.contradicted + now.contradicted, now.answers))


def corrected(said: Iterable[tuple[Entry, str]], answers: int) -> Corrected:
    """What was said of answers, each entry with the label that was answered. Pure."""
    last: dict[tuple[str, str], tuple[Entry, str]] = {}
    for entry, label in sorted(said, key=lambda one: (one[0].ts, one[0].key)):
        last[entry.prediction_id, entry.annotator] = entry, label
    told: dict[str, bool] = {}
    for (name, _), (entry, label) in last.items():
        told[name] = told.get(name, False) or entry.label != label
    people = len({who for _, who in last})
    return Corrected(answers=answers, told=len(told), contradicted=sum(told.values()), people=people)


def said_of(lake: Lake, model: str, start: datetime, end: datetime, release: str, today: date) -> list[tuple[Entry, str]]:
    """What users said of the champion's given answers of a release from start to end, with the label that each answered.

    An answer is looked up once and then kept; of days with unknown ones the two newest are read at a look.
    """
    days = [(start.date() + timedelta(days=number)).isoformat() for number in range((today - start.date()).days + 2)]
    found = [entry for entry in Ledger(lake, model).of_days(days) if _counts(entry) and start <= predicted_at(entry.prediction_id) < end]
    known = _known(lake, model, {entry.prediction_id for entry in found})
    told = [(entry, known.get(entry.prediction_id)) for entry in found]
    return [
        (entry, answer["label"]) for entry, answer in told if answer and answer["release"] == release and answer["cohort"] == "champion"
    ]


def _counts(entry: Entry) -> bool:
    counted = entry.state in COUNTED or (entry.state == "refused" and entry.reason.startswith(NOT_KEPT))
    return counted and is_prediction_id(entry.prediction_id)


def _known(lake: Lake, model: str, names: set[str]) -> Mapping[str, Mapping[str, str]]:
    """The answers with these ids, as far as they are known by now."""
    by_day: dict[str, set[str]] = {}
    for name in names:
        by_day.setdefault(f"{predicted_at(name).astimezone(UTC):%Y-%m-%d}", set()).add(name)
    found: dict[str, Mapping[str, str]] = {}
    looks = 0
    for day, wanted in sorted(by_day.items(), reverse=True):
        key = f"watching/{model}/corrected/{day}.json"
        entry = lake.get(key)
        kept = orjson.loads(entry.data) if entry else {}
        if (missing := wanted - kept.keys()) and looks < DAYS_A_LOOK:
            looks += 1
            new = {name: _answer(one.model_dump()) for name, one in find_predictions(lake, model, missing).items()}
            if new:
                kept |= new
                lake.compare_and_swap(key, canonical(kept), entry.tag if entry else None)
        found |= {name: kept[name] for name in wanted if name in kept}
    return found


def _answer(line: Mapping[str, str | None]) -> dict[str, str]:
    return {name: line[name] or "" for name in ("label", "release", "cohort")}
