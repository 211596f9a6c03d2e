"""An endpoint is changed by one run at a time, as Prefect's server counts it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

from prefect.client.orchestration import get_client

from tasks.one_at_a_time import alone_at


def held(endpoint: str) -> int:
    with get_client(sync_client=True) as api:
        return api.read_global_concurrency_limit_by_name(f"endpoint-{endpoint}").active_slots


def test_a_second_run_waits_until_the_first_is_done_and_another_endpoint_is_another_matter() -> None:
    in_turn, entered = list[str](), Event()

    def second() -> None:
        entered.set()
        with alone_at("replies-here"):
            in_turn.append("second")

    with ThreadPoolExecutor() as pool:
        with alone_at("replies-here"):
            waiting = pool.submit(second)
            entered.wait()
            with alone_at("replies-there"):
                assert (held("replies-here"), held("replies-there")) == (1, 1)
            in_turn.append("first")
        waiting.result(timeout=120)
    assert in_turn == ["first", "second"]
    assert (held("replies-here"), held("replies-there")) == (0, 0)
