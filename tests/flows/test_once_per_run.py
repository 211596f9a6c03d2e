import pytest
from prefect import flow

from headgate.errors import Terminal, Unavailable
from tasks.once import once_per_run


def test_two_tasks_with_the_same_arguments_have_results_of_their_own():
    @once_per_run("double")
    def double(number: int) -> int:
        return 2 * number

    @once_per_run("square")
    def square(number: int) -> int:
        return number * number

    @flow
    def both() -> tuple[int, int]:
        return double(7), square(7)

    assert both() == (14, 49)


def test_a_task_is_done_once_a_run_and_again_in_the_next():
    calls = []

    @once_per_run("count")
    def count(name: str) -> int:
        calls.append(name)
        return len(calls)

    @flow
    def twice() -> tuple[int, int]:
        return count("a"), count("a")

    assert twice() == (1, 1)
    assert twice() == (2, 2)


def test_only_transient_errors_are_tried_again():
    tries = {"transient": 0, "terminal": 0}

    @once_per_run("flaky")
    def flaky(kind: str) -> str:
        tries[kind] += 1
        if kind == "terminal":
            raise Terminal("no use")
        if tries[kind] < 3:
            raise Unavailable("not yet")
        return "done"

    quick = flaky.with_options(retry_delay_seconds=0)

    @flow
    def good() -> str:
        return quick("transient")

    @flow
    def bad() -> str:
        return quick("terminal")

    assert good() == "done"
    with pytest.raises(Terminal, match=r"^no use$"):
        bad()
    assert tries == {"transient": 3, "terminal": 1}
