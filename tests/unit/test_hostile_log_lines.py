"""What strangers can write into the logs ends neither the watch nor the collection of corrections."""

from datetime import UTC, datetime

import pytest

from headgate.monitoring.hourly_log import _readable
from headgate.monitoring.prediction_log import predicted_at
from headgate.serving.identifiers import PredictionIds, is_prediction_id

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ORIGIN = "predictions/replies/date=2026-05-04/predictions-20260504-01JTDQ/000000000000000.jsonl"


def line(at: datetime = NOW, **fields: object) -> dict[str, object]:
    name = PredictionIds("3f9a1c22").fresh(int(at.timestamp() * 1e9)).decode()
    return {"prediction_id": name, "label": "positive", "score": 0.9, "_origin": ORIGIN} | fields


def test_every_id_that_is_taken_has_a_date() -> None:
    latest = f"3f9a1c22-6{'Z' * 25}"
    assert is_prediction_id(latest)
    assert predicted_at(latest).year == 9774
    assert not is_prediction_id(f"3f9a1c22-7{'Z' * 25}")


def test_a_line_of_its_files_day_is_read() -> None:
    assert [answer.label for answer in _readable(line())] == ["positive"]


@pytest.mark.parametrize(
    "fields",
    [
        {"characters": -5},
        {"score": 10.0**300},
        {"score": -0.1},
        {"score": "much"},
        {"prediction_id": "3f9a1c22-7" + "Z" * 25},
        {"prediction_id": 5},
    ],
)
def test_a_line_that_cannot_be_true_is_passed_over(fields: dict[str, object]) -> None:
    assert _readable(line(**fields)) == []


@pytest.mark.parametrize("at", [datetime(1970, 1, 2, tzinfo=UTC), datetime(2500, 1, 1, tzinfo=UTC), datetime(2026, 5, 7, tzinfo=UTC)])
def test_a_line_of_another_time_than_its_file_is_passed_over(at: datetime) -> None:
    assert _readable(line(at)) == []
