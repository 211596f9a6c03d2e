"""How much of what is refused the log tells."""

from headgate.serving.logs import Bounded


def test_lines_over_the_limit_of_a_second_are_counted_and_told_once_it_is_over() -> None:
    bounded = Bounded(most=2)
    assert [bounded.allows(1.1) for _ in range(5)] == [True, True, False, False, False]
    assert bounded.left_out(1.9) == 0
    assert bounded.left_out(2.0) == 3
    assert bounded.left_out(2.5) == 0
    assert bounded.allows(2.6)
