from datetime import UTC, datetime, timedelta

from headgate.lake import FolderLake
from headgate.monitoring.history import Measurement, add_measurement, alarm, history
from headgate.settings import Gates

FIRST = Measurement(
    model="replies",
    release="r1",
    at=datetime(2026, 5, 1, 6, tzinfo=UTC),
    rows=300,
    accuracy=0.82,
    macro_f1=0.81,
    coverage=0.9,
    verdict="passed",
)
GATES = Gates(max_accuracy_drop=0.02, max_macro_f1_drop=0.03)


def _later(days: int, **changed: object) -> Measurement:
    return FIRST.model_copy(update={"at": FIRST.at + timedelta(days=days), **changed})


def test_measurements_are_read_back_oldest_first(tmp_path):
    lake = FolderLake(tmp_path)
    for measurement in (_later(2), FIRST, _later(1)):
        add_measurement(lake, measurement)
    assert history(lake, "replies") == [FIRST, _later(1), _later(2)]


def test_an_unchanged_champion_raises_no_alarm():
    assert alarm([FIRST, _later(1)], GATES) is None


def test_a_fall_beyond_the_margin_is_an_alarm_that_says_from_what_to_what():
    assert alarm([FIRST, _later(1, accuracy=0.79)], GATES) == (
        "accuracy fell from 0.820 to 0.790 for the same release and rows, allowed 0.020"
    )


def test_slow_decay_is_compared_with_the_release_s_first_measurement():
    decay = [FIRST, _later(1, accuracy=0.81), _later(2, accuracy=0.80), _later(3, accuracy=0.79)]
    assert alarm(decay, GATES) is not None


def test_another_release_starts_its_own_history():
    assert alarm([FIRST, _later(1, release="r2", accuracy=0.7)], GATES) is None


def test_a_failed_regression_test_is_an_alarm():
    assert alarm([_later(1, verdict="failed")], GATES) == "the regression test failed"
