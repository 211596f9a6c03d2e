"""A look's measures in CloudWatch, and when they say that a release failed: only of that release, and only for its own answers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.sagemaker_quality import Serving, quality_data
from headgate.monitoring.alarms import Alarm
from headgate.monitoring.calibrated_drift import Drift
from headgate.monitoring.estimated_accuracy import Corrected, Estimate
from headgate.monitoring.quality import Measure, blamed, quality
from headgate.monitoring.traffic import Traffic
from headgate.settings import Watch

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
WATCH = Watch()
ENDPOINT = "replies-production"


def drift(column: str, drifted: bool, distance: float = 0.2) -> Drift:
    return Drift(column=column, rows=500, reference_rows=9000, distance=distance, chance=0.1, p=0.001, drifted=drifted)


def traffic(*drifts: Drift, release: str = "new", **more: Any) -> Traffic:
    times = {"since": NOW - timedelta(days=9), "at": NOW, "start": NOW - timedelta(days=1), "end": NOW}
    return Traffic(
        model="replies", release=release, answers=500, own=3, drifts=drifts, reference_start=NOW - timedelta(days=8), **times, **more
    )


def alarm(release: str = "new", **reasons: str) -> Alarm:
    told = {name.replace("_", " "): words for name, words in reasons.items()}
    return Alarm(number=1, model="replies", release=release, at=NOW, window_end=NOW, reasons=told)


def test_the_measures_are_the_numbers_of_the_page() -> None:
    found = traffic(
        drift("label", True, 0.31),
        drift("embedding", False, 0.02),
        estimate=Estimate(answers=480, accuracy=0.91, low=0.89, high=0.93),
        corrected=Corrected(answers=500, told=9, contradicted=7, people=3),
    )
    assert quality(found, alarm(label="moved")) == [
        Measure("Answers", 500, "Count"),
        Measure("StandingAlarms", 1, "Count"),
        Measure("DriftedColumns", 1, "Count"),
        Measure("LabelDrift", 0.31, "None"),
        Measure("EmbeddingDrift", 0.02, "None"),
        Measure("EstimatedAccuracy", 91.0, "Percent"),
        Measure("ContradictedAnswers", 7, "Count"),
    ]


def test_what_could_not_be_judged_is_left_out_and_no_alarm_is_zero() -> None:
    assert quality(traffic(drift("label", False, float("inf"))), None)[1:] == [
        Measure("StandingAlarms", 0, "Count"),
        Measure("DriftedColumns", 0, "Count"),
    ]
    assert [one.name for one in quality(traffic(), None)] == ["Answers", "StandingAlarms"]


def test_a_release_is_blamed_for_its_own_answers_alone() -> None:
    assert blamed(traffic(drift("label", True)), None, WATCH).keys() == {"label"}
    assert blamed(traffic(drift("label", False), drift("embedding", True), drift("characters", True)), None, WATCH) == {}


def test_a_reason_that_stands_counts_for_the_release_that_it_was_raised_for() -> None:
    mine = alarm(estimated_accuracy="fell", language="other")
    assert blamed(traffic(), mine, WATCH) == {"estimated accuracy": "fell"}
    assert blamed(traffic(release="newer"), mine, WATCH) == {}
    assert blamed(traffic(drift("label", True), release="newer"), alarm(label="moved"), WATCH).keys() == {"label"}


@pytest.mark.parametrize(
    ("serving", "failed", "expected"),
    [
        (Serving("c1"), False, [("c1", 0.0)]),
        (Serving("c1"), True, [("c1", 1.0)]),
        (Serving(None, "c2", moving=True), True, [("c2", 1.0)]),
        (Serving(None, "c2", moving=True), False, []),  # the machine may have put 1
        (Serving("c1", None, moving=True), False, []),
        (Serving("c1", "c2", moving=True), True, [("c1", 1.0), ("c2", 1.0)]),
        (Serving(), True, []),
    ],
)
def test_the_word_is_put_of_configurations_that_serve_the_release(
    serving: Serving, failed: bool, expected: list[tuple[str, float]]
) -> None:
    data = quality_data(ENDPOINT, [], serving, failed)
    assert [(one["Dimensions"][1]["Value"], one["Value"]) for one in data] == expected


def test_measures_are_the_endpoints_while_it_serves_the_release() -> None:
    measure = Measure("LabelDrift", 0.3, "None")
    (first, word) = quality_data(ENDPOINT, [measure], Serving("c1"), False)
    where = [{"Name": "EndpointName", "Value": ENDPOINT}]
    assert first == {"MetricName": "LabelDrift", "Dimensions": where, "Value": 0.3, "Unit": "None"}
    assert word["Dimensions"] == [*where, {"Name": "EndpointConfigName", "Value": "c1"}]
    assert [one["MetricName"] for one in quality_data(ENDPOINT, [measure], Serving(None, "c2", moving=True), True)] == ["ReleaseFailed"]
