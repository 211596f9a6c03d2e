"""Where a prediction is looked for in the shipped log: in the files that may hold it, and no more of them than need be."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from made_up_predictions import MODEL, identifier, predicted, ship

from headgate.lake import FolderLake
from headgate.monitoring.prediction_log import find_predictions

MIDNIGHT = datetime(2026, 5, 5, tzinfo=UTC)


class Counting(FolderLake):
    """A lake in a folder that counts what is read."""

    reads = 0

    def read(self, key: str) -> bytes:
        self.reads += 1
        return super().read(key)


@pytest.fixture
def lake(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


def small_files(lake: Counting, count: int) -> list[str]:
    """The ids of predictions in a file each, one a minute, as captures of SageMaker have them."""
    return [predicted(lake, "a text", at=MIDNIGHT + timedelta(minutes=number))[0] for number in range(count)]


@pytest.mark.parametrize("number", [0, 100, 199])
def test_of_a_day_with_many_small_files_those_around_the_prediction_alone_are_read(lake: Counting, number: int) -> None:
    name = small_files(lake, 200)[number]
    assert find_predictions(lake, MODEL, [name]).keys() == {name}
    assert lake.reads <= 6  # files opened up to five minutes later may hold it too


def test_all_of_several_predictions_are_found_in_one_pass(lake: Counting) -> None:
    names = small_files(lake, 60)
    assert find_predictions(lake, MODEL, [names[50], names[10]]).keys() == {names[10], names[50]}
    assert lake.reads == 46  # from five minutes after the later one back to the earlier one, each file once


def test_a_prediction_after_midnight_is_found_in_a_capture_that_began_before(lake: Counting) -> None:
    small_files(lake, 20)
    before, after = MIDNIGHT - timedelta(seconds=2), MIDNIGHT + timedelta(seconds=2)
    names = [identifier(before), identifier(after)]
    ship(lake, "predictions", before, [{"prediction_id": name, "model": MODEL} for name in names])
    assert find_predictions(lake, MODEL, names).keys() == {*names}
    assert find_predictions(lake, MODEL, names[1:]).keys() == {names[1]}


def test_for_a_prediction_that_nobody_logged_little_of_the_day_before_is_read(lake: Counting) -> None:
    predicted(lake, "long ago", at=MIDNIGHT - timedelta(hours=5))
    predicted(lake, "late", at=MIDNIGHT - timedelta(minutes=1))
    assert find_predictions(lake, MODEL, [identifier(MIDNIGHT + timedelta(minutes=1))]) == {}
    assert lake.reads == 1
    assert find_predictions(lake, MODEL, [identifier(MIDNIGHT + timedelta(hours=2))]) == {}
    assert lake.reads == 1


def test_a_broken_line_is_passed_over_and_the_whole_one_is_found(lake: Counting) -> None:
    (name,) = predicted(lake, "a text", at=MIDNIGHT)
    key = f"predictions/{MODEL}/date=2026-05-05/predictions-20260505-{identifier(MIDNIGHT + timedelta(seconds=1))[9:]}/{0:015d}.jsonl"
    assert lake.put_if_absent(key, f'24,"prediction_id":"{name}","label":"b"}}\n'.encode())
    assert find_predictions(lake, MODEL, [name])[name].text == "a text"
