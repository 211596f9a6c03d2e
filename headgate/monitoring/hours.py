"""The prediction log as counts by the hour: all that trends, drift and estimated accuracy need, however many answers there were.

Counts add up, so an hour may be counted in any number of looks. Numbers are counted in bins that are named by where they begin: lengths in
steps of about an eighth, confidences in even steps of their log-odds, since most of them lie close to 1.
"""

import base64
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from headgate.monitoring.prediction_log import Prediction, predicted_at
from headgate.record import Record

NUMBERS = frozenset(["characters", "confidence"])
OF_TEXT = ("characters", "language", "embedding")
OF_ANSWER = ("label", "outcome", "confidence")
UNSURE = "unsure"
PER_DOUBLING, PER_ODDS, MOST_ODDS = 6, 4, 14
MOST_EMBEDDED, LEAST_EMBEDDED = 512, 2

Features = NDArray[np.float32]
LanguageOf = Callable[[str], str | None]
EmbedSum = Callable[[list[str]], Features]


class Hour(Record):
    """The champion cohort's answers of one release in one hour, UTC.

    answers: without those to Headgate's own messages, which are `own`. counts: rows by column and bin. scored, score_sum, variance_sum:
    answers that
    were not held back, the sum of their confidences p, and of p(1-p). embedded, features: how many texts were embedded, and the sum of
    their features
    as base64 of 32-bit floats.
    """

    hour: datetime
    release: str
    answers: int = 0
    own: int = 0
    counts: dict[str, dict[str, int]] = Field(default_factory=dict)
    scored: int = 0
    score_sum: float = 0.0
    variance_sum: float = 0.0
    embedded: int = 0
    features: str = ""

    @property
    def feature_sum(self) -> Features | None:
        """(features,), or None where nothing was embedded."""
        return np.frombuffer(base64.b64decode(self.features), dtype=np.float32) if self.features else None

    def __add__(self, other: "Hour") -> "Hour":
        """Both together; they are of one hour and release."""
        counts = {
            name: dict(Counter(self.counts.get(name, {})) + Counter(other.counts.get(name, {})))
            for name in sorted({*self.counts, *other.counts})
        }
        sums = [one for one in (self.feature_sum, other.feature_sum) if one is not None]
        return Hour(
            hour=self.hour,
            release=self.release,
            answers=self.answers + other.answers,
            own=self.own + other.own,
            counts=counts,
            scored=self.scored + other.scored,
            score_sum=self.score_sum + other.score_sum,
            variance_sum=self.variance_sum + other.variance_sum,
            embedded=self.embedded + other.embedded,
            features=written(sum(sums[1:], sums[0])) if sums else "",
        )


def written(features: Features) -> str:
    """As a record keeps it."""
    return base64.b64encode(features.astype(np.float32).tobytes()).decode()


def count_hours(
    answers: Iterable[Prediction],
    is_own: Callable[[Prediction], bool],
    language_of: LanguageOf | None = None,
    embed: EmbedSum | None = None,
    most_embedded: int = 0,
) -> list[Hour]:
    """The hours that these answers fall in, challengers' and shadows' left out. Pure but for what language_of and embed do.

    embed: the sum of the features of texts; at most most_embedded of an hour are embedded, drawn by the random part of their ids.
    """
    groups: dict[tuple[datetime, str], list[Prediction]] = defaultdict(list)
    for answer in answers:
        if answer.cohort == "champion":
            hour = predicted_at(answer.prediction_id).replace(minute=0, second=0, microsecond=0)
            groups[hour, answer.release or ""].append(answer)
    most = min(most_embedded, max(LEAST_EMBEDDED, MOST_EMBEDDED // max(1, len(groups))))  # a look at a long log embeds fewer of each hour
    return [_hour(*key, group, is_own, language_of, embed, most) for key, group in sorted(groups.items())]


def merged(hours: Iterable[Hour]) -> list[Hour]:
    """Each hour of each release once, in their order."""
    found: dict[tuple[datetime, str], Hour] = {}
    for hour in hours:
        key = hour.hour.astimezone(UTC), hour.release
        found[key] = found[key] + hour if key in found else hour
    return [found[key] for key in sorted(found)]


def _hour(
    hour: datetime,
    release: str,
    answers: list[Prediction],
    is_own: Callable[[Prediction], bool],
    language_of: LanguageOf | None,
    embed: EmbedSum | None,
    most_embedded: int,
) -> Hour:
    kept = [answer for answer in answers if not is_own(answer)]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for answer in kept:
        for column, name in bins_of(answer, language_of).items():
            counts[column][name] += 1
    scores = [answer.score for answer in kept if answer.outcome == "scored" and answer.score is not None]
    texts = _drawn(kept, most_embedded) if embed else []
    return Hour(
        hour=hour,
        release=release,
        answers=len(kept),
        own=len(answers) - len(kept),
        counts={column: dict(found) for column, found in sorted(counts.items())},
        scored=len(scores),
        score_sum=sum(scores),
        variance_sum=sum(score * (1 - score) for score in scores),
        embedded=len(texts),
        features=written(embed(texts)) if texts and embed else "",
    )


def bins_of(answer: Prediction, language_of: LanguageOf | None) -> Mapping[str, str]:
    """The bin of an answer in each column that the log tells."""
    found = {"outcome": f"{answer.outcome}: {answer.reason}" if answer.reason else answer.outcome}
    if answer.label is not None and answer.outcome != "skipped":
        found["label"] = answer.label
        if answer.score is not None:
            found["confidence"] = confidence_bin(answer.score)
    characters = len(answer.text) if answer.text is not None else answer.characters
    if characters is not None:
        found["characters"] = length_bin(characters)
    if answer.text is not None and language_of:
        found["language"] = language_of(answer.text) or UNSURE
    return found


@cache
def length_bin(characters: int) -> str:
    """The bin of a length, named by its smallest length."""
    step = int(PER_DOUBLING * math.log2(1 + characters) + 1e-9)
    return str(math.ceil(2 ** (step / PER_DOUBLING) - 1 - 1e-9))


def confidence_bin(score: float) -> str:
    """The bin of a probability, named by its lowest."""
    held = min(max(score, 1e-9), 1 - 1e-9)
    odds = min(max(math.log2(held / (1 - held)), -MOST_ODDS), MOST_ODDS)
    return f"{1 / (1 + 2 ** -(math.floor(PER_ODDS * odds) / PER_ODDS)):.6f}"


def _drawn(answers: list[Prediction], most: int) -> list[str]:
    read = [answer for answer in answers if answer.text is not None and answer.outcome != "skipped"]
    return [str(answer.text) for answer in sorted(read, key=lambda answer: answer.prediction_id[-16:])[:most]]
